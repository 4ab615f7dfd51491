"""Writes the fixture of llm_core::math::self_attention: one head as a PyTorch module.

    python tools/oracle/attention_module.py        # from the repository root

Forward and backward of scaled_dot_product_attention between four linear maps, in f64 and, from the
same numbers, in f32. Inputs are drawn here and stored beside the results.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

OUT = Path("crates/llm-core/tests/fixtures/math/attention_module.json")
T, C, D = 6, 8, 4
rng = np.random.default_rng(4)
torch.set_num_threads(1)


def draw(*shape, std=1.0):
    """Draws rounded to three decimals, so that the file stays readable."""
    return np.round(std * rng.standard_normal(shape), 3)


INPUTS = {
    "x": draw(T, C), "query": draw(D, C, std=0.5), "key": draw(D, C, std=0.5),
    "value": draw(D, C, std=0.5), "output": draw(C, D, std=0.5), "d_y": draw(T, C),
}


def run(dtype, causal):
    """y, and the gradients of sum(y * d_y) for everything on the way."""
    made = {name: torch.tensor(value, dtype=dtype) for name, value in INPUTS.items()}
    leaves = {name: made[name].requires_grad_() for name in INPUTS if name != "d_y"}
    q, k, v = (F.linear(leaves["x"], leaves[name]) for name in ("query", "key", "value"))
    for part in (q, k, v):
        part.retain_grad()
    read = F.scaled_dot_product_attention(q[None, None], k[None, None], v[None, None], is_causal=causal)
    y = F.linear(read[0, 0], leaves["output"])
    (y * made["d_y"]).sum().backward()
    out = {"y": y} | {f"d_{name}": leaf.grad for name, leaf in leaves.items()}
    out |= {"d_q": q.grad, "d_k": k.grad, "d_v": v.grad}
    return {name: value.detach().double().numpy() for name, value in out.items()}


def flat(values):
    return {name: {"shape": list(x.shape), "values": x.reshape(-1).tolist()} for name, x in values.items()}


cases = {
    "inputs": flat(INPUTS),
    "causal_f64": flat(run(torch.float64, True)),
    "causal_f32": flat(run(torch.float32, True)),
    "open_f64": flat(run(torch.float64, False)),
}
lines = [f'"versions": {json.dumps({"numpy": np.__version__, "torch": torch.__version__})}']
for name, case in cases.items():
    body = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in case.items())
    lines.append(f'"{name}": {{\n{body}\n}}')
OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(OUT, OUT.stat().st_size)
