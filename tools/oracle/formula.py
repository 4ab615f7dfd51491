"""Weights by formula: the same numbers in Python here and in Rust in
crates/llm-core/tests/it/formula.rs, so that a fixture need not carry its weights.

With 64-bit wrapping arithmetic:

    mix(z)      = the SplitMix64 finaliser
    key         = mix(fnv1a64(name) ^ seed * GOLDEN)
    u(i)        = mix(key + (i + 1) * GOLDEN) >> 40             24 random bits
    x(i)        = (u(i) - 2^23) / 2^23                          in [-1, 1), exact in f32
    value(i)    = f32(centre + bound * x(i))                    computed in f64, rounded once

where i is the row-major index and

    one axis,  name ends in .bias                  centre 0, bound 0.3
    one axis,  otherwise (norm weights)            centre 1, bound 0.5
    two axes,  an embedding or the output head     centre 0, bound 1.5 * sqrt(3 / columns)
    two axes,  the B of an adapter                 centre 0, bound 0.3 * sqrt(6 / (rows + columns))
    two axes,  otherwise                           centre 0, bound sqrt(6 / (rows + columns))

Every operation is one IEEE operation (sqrt included), so both languages agree to the last bit.
Norm weights and biases are far from 1 and 0: a model that ignores one of them is visibly wrong.
The head's bound gives logits of size O(1..10), where f32 has an absolute error near 1e-6.
"""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
TABLES = ("embed_tokens.weight", "wte.weight", "wpe.weight", "lm_head.weight")


def fnv1a64(name):
    """The FNV-1a hash of the bytes of `name`."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def mix(z):
    """The SplitMix64 finaliser on an array of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def unit(seed, name, count):
    """`count` numbers in [-1, 1) as f64."""
    start = np.array([fnv1a64(name) ^ (seed * GOLDEN & MASK)], dtype=np.uint64)
    index = np.arange(1, count + 1, dtype=np.uint64)
    u = mix(mix(start) + index * np.uint64(GOLDEN)) >> np.uint64(40)
    return (u.astype(np.float64) - 2.0**23) / 2.0**23


def centre_and_bound(name, shape):
    """The range of the tensor called `name`."""
    if len(shape) == 1:
        return (0.0, 0.3) if name.endswith(".bias") else (1.0, 0.5)
    rows, columns = shape
    if name.endswith(TABLES):
        return 0.0, 1.5 * np.sqrt(3.0 / columns)
    gain = 0.3 if name.endswith("lora_B.weight") else 1.0
    return 0.0, gain * np.sqrt(6.0 / (rows + columns))


def weight(seed, name, shape):
    """The tensor called `name` as an f32 array."""
    centre, bound = centre_and_bound(name, shape)
    x = unit(seed, name, int(np.prod(shape)))
    return (centre + bound * x).astype(np.float32).reshape(shape)
