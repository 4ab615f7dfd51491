"""Writes the fixtures of llm_core::math: NumPy for attention step by step, PyTorch for the rest.

    python tools/oracle/math_twins.py        # from the repository root

Everything is f64. Inputs are drawn here and stored beside the results, so the tests need no Python.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

OUT = Path("crates/llm-core/tests/fixtures/math/math.json")
rng = np.random.default_rng(7)
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def draw(*shape):
    """N(0, 1) draws rounded to three decimals, so that the file stays readable."""
    return np.round(rng.standard_normal(shape), 3)


def attention_steps():
    """B03: three tokens of four channels, every matrix on the way, in NumPy alone."""
    x, wq, wk, wv = draw(3, 4), draw(4, 4), draw(4, 4), draw(4, 4)
    q, k, v = x @ wq.T, x @ wk.T, x @ wv.T
    scores = q @ k.T
    scaled = scores / np.sqrt(4)
    masked = np.where(np.tri(3, dtype=bool), scaled, -np.inf)
    e = np.exp(masked - masked.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1, keepdims=True)
    out = {"x": x, "wq": wq, "wk": wk, "wv": wv, "q": q, "k": k, "v": v}
    # JSON has no infinity; the mask is told by the zeros of the weights.
    out |= {"scores": scores, "scaled": scaled, "weights": weights, "output": weights @ v}
    return out


def graded(f, **inputs):
    """f's value and the gradients of sum(value * c) for a fixed random c."""
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in inputs.items()}
    y = f(**tensors)
    c = torch.tensor(draw(*y.shape)) if y.dim() else torch.tensor(1.0)
    (y * c).sum().backward()
    out = {name: value for name, value in inputs.items()}
    out |= {"y": y.detach().numpy(), "d_y": c.numpy()}
    out |= {f"d_{name}": tensor.grad.numpy() for name, tensor in tensors.items()}
    return out


def rms_norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight, 1e-6)


def rope(x):
    """[T, H, D], halves paired, positions 3, 4, …"""
    t, _, d = x.shape
    frequencies = 10000.0 ** (-2 * torch.arange(d // 2) / d)
    angles = (3 + torch.arange(t))[:, None] * frequencies
    cos, sin = torch.cos(angles)[:, None, :], torch.sin(angles)[:, None, :]
    a, b = x[..., : d // 2], x[..., d // 2 :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def sdpa(window=None):
    """[H, T, D] by [K, S, D]; queries are the last T of S."""

    def f(q, k, v):
        (h, t, _), (kv, s, _) = q.shape, k.shape
        position, key = torch.arange(s - t, s)[:, None], torch.arange(s)[None, :]
        keep = key <= position
        if window is not None:
            keep &= key > position - window
        k, v = (x.repeat_interleave(h // kv, 0) for x in (k, v))
        return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=keep)[0]

    return f


TARGETS = [2, -100, 0, 6]

cases = {
    "attention_steps": attention_steps(),
    "softmax": graded(lambda x: F.softmax(x, -1), x=draw(6)),
    "cross_entropy": graded(lambda x: F.cross_entropy(x, torch.tensor(TARGETS)), x=draw(4, 7)),
    "linear": graded(F.linear, input=draw(3, 5), weight=draw(4, 5), bias=draw(4)),
    "layer_norm": graded(
        lambda x, weight, bias: F.layer_norm(x, (6,), weight, bias, 1e-5),
        x=draw(3, 6), weight=draw(6), bias=draw(6),
    ),
    "rms_norm": graded(rms_norm, x=draw(3, 6), weight=draw(6)),
    "rope": graded(rope, x=draw(3, 2, 8)),
    "gelu_erf": graded(F.gelu, x=draw(9) * 2),
    "gelu_tanh": graded(lambda x: F.gelu(x, approximate="tanh"), x=draw(9) * 2),
    "swiglu": graded(lambda gate, up: F.silu(gate) * up, gate=draw(3, 4), up=draw(3, 4)),
    "relu_mlp": graded(
        lambda x, w1, b1, w2, b2: F.linear(F.relu(F.linear(x, w1, b1)), w2, b2),
        x=draw(3, 4), w1=draw(8, 4), b1=draw(8), w2=draw(4, 8), b2=draw(4),
    ),
    "causal": graded(sdpa(), q=draw(2, 5, 4), k=draw(2, 5, 4), v=draw(2, 5, 4)),
    "grouped": graded(sdpa(), q=draw(4, 3, 4), k=draw(2, 6, 4), v=draw(2, 6, 4)),
    "window": graded(sdpa(window=3), q=draw(4, 7, 4), k=draw(1, 7, 4), v=draw(1, 7, 4)),
}


def flat(value):
    """Row-major numbers with their shape."""
    value = np.asarray(value)
    return {"shape": list(value.shape), "values": value.reshape(-1).tolist()}


OUT.parent.mkdir(parents=True, exist_ok=True)
versions = {"numpy": np.__version__, "torch": torch.__version__}
lines = [f'"versions": {json.dumps(versions)}']
for name, case in cases.items():
    body = ",\n".join(f'  "{key}": {json.dumps(flat(value))}' for key, value in case.items())
    lines.append(f'"{name}": {{\n{body}\n}}')
OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(OUT, OUT.stat().st_size)
