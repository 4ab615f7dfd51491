"""Writes the fixture of llm_core::math::positions: NumPy for the tables, transformers for ALiBi and rope.

    python tools/oracle/positions.py        # from the repository root

Sinusoids follow the formula of the 2017 paper (sine and cosine alternate). ALiBi's slopes are read
off the bias that BLOOM's code builds. Rope runs through Llama's own functions in f64.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

OUT = Path("crates/llm-core/tests/fixtures/math/positions.json")
rng = np.random.default_rng(5)
torch.set_num_threads(1)


def draw(*shape):
    return np.round(rng.standard_normal(shape), 3)


def sinusoids(positions, channels):
    i = np.arange(channels // 2)
    angles = np.arange(positions)[:, None] / 10000.0 ** (2 * i / channels)
    table = np.zeros((positions, channels))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return table


def slopes(heads):
    """BLOOM's bias is slope * position in a row of two keys: the second entry is the slope."""
    bias = build_alibi_tensor(torch.ones(1, 2, dtype=torch.long), heads, torch.float64)
    return bias.reshape(heads, 2)[:, 1].numpy()


def alibi_attention():
    """One head, causal, whose bias is -slope * (position - key)."""
    q, k, v, slope = draw(5, 4), draw(5, 4), draw(5, 4), 0.25
    distance = np.arange(5)[:, None] - np.arange(5)[None, :]
    mask = np.where(distance >= 0, -slope * distance, -np.inf)
    y = F.scaled_dot_product_attention(*(torch.tensor(x)[None] for x in (q, k, v)), attn_mask=torch.tensor(mask))
    return {"q": q, "k": k, "v": v, "slope": np.array([slope]), "y": y[0].numpy()}


def rope_scores():
    """Products of turned queries and keys at pairs of positions."""
    d, pairs = 8, [(0, 0), (3, 1), (103, 101), (1, 3), (2000, 1500), (7, 0)]
    q, k = draw(d), draw(d)
    inverse = 1.0 / 10000.0 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)

    def turned(x, position):
        angles = torch.cat((position * inverse, position * inverse))[None, None]
        x = torch.tensor(x)[None, None, None]
        return apply_rotary_pos_emb(x, x, angles.cos(), angles.sin())[0].flatten()

    scores = [float(turned(q, m) @ turned(k, n)) for m, n in pairs]
    return {"q": q, "k": k, "pairs": np.array(pairs, dtype=float), "scores": np.array(scores)}


cases = {
    "sinusoids": {"d4": sinusoids(3, 4), "d16": sinusoids(20, 16), "late": sinusoids(5001, 6)[5000]},
    "slopes": {f"h{h}": slopes(h) for h in (1, 2, 4, 8, 12, 16, 20)},
    "alibi_attention": alibi_attention(),
    "rope_scores": rope_scores(),
}


def flat(value):
    value = np.asarray(value)
    return {"shape": list(value.shape), "values": value.reshape(-1).tolist()}


versions = {"numpy": np.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
lines = [f'"versions": {json.dumps(versions)}']
for name, case in cases.items():
    body = ",\n".join(f'  "{key}": {json.dumps(flat(value))}' for key, value in case.items())
    lines.append(f'"{name}": {{\n{body}\n}}')
OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(OUT, OUT.stat().st_size)
