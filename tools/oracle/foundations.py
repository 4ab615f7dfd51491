"""Writes the fixtures of the foundations shelf: losses, descents and attention by PyTorch, in f64.

    python tools/oracle/foundations.py       # from the repository root

Inputs are drawn here and stored beside the results, so the tests need no Python.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

OUT = Path("crates/llm-core/tests/fixtures/math/foundations.json")
rng = np.random.default_rng(3)
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def draw(*shape):
    """N(0, 1) draws rounded to three decimals, so that the file stays readable."""
    return np.round(rng.standard_normal(shape), 3)


def losses():
    """F03a: mean cross-entropy with its gradient; ordinary logits, huge ones, ignored targets."""
    cases = {
        "reference": (np.array([[2.0, 0.5, 3.1, 0.1, -1.0]]), [2]),
        "ignored": (draw(6, 7), [3, -100, 0, 6, -100, 2]),
        "huge": (1e4 * draw(4, 5), [0, 1, 2, 3]),
    }
    out = {}
    for name, (values, targets) in cases.items():
        logits = torch.tensor(values, requires_grad=True)
        loss = F.cross_entropy(logits, torch.tensor(targets), ignore_index=-100)
        loss.backward()
        out[name] = {
            "logits": values.tolist(),
            "targets": targets,
            "loss": loss.item(),
            # JSON has no infinity.
            "perplexity": loss.exp().item() if loss < 700 else None,
            "gradient": logits.grad.tolist(),
        }
    return out


def descents():
    """F03b: 25 steps of three optimizers down a bowl, every place on the way."""
    curvatures, start = [1.0, 64.0], [4.0, 0.5]
    kinds = {
        "plain": lambda w: torch.optim.SGD([w], lr=0.02),
        "momentum": lambda w: torch.optim.SGD([w], lr=0.02, momentum=0.9),
        "adam": lambda w: torch.optim.Adam([w], lr=0.1, betas=(0.9, 0.999), eps=1e-8),
    }
    out = {"curvatures": curvatures}
    for name, make in kinds.items():
        w = torch.tensor(start, requires_grad=True)
        optimizer = make(w)
        path, values = [w.tolist()], []
        for _ in range(25):
            optimizer.zero_grad()
            loss = 0.5 * (torch.tensor(curvatures) * w * w).sum()
            loss.backward()
            values.append(loss.item())
            optimizer.step()
            path.append(w.tolist())
        out[name] = {"path": path, "losses": values}
    return out


def attention():
    """F05: scaled dot-product attention with a causal mask on (B, H, T, D) = (1, 4, 6, 4)."""
    q, k, v = (torch.tensor(draw(1, 4, 6, 4)) for _ in range(3))
    output = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    # The weights by hand, as the function does not return them.
    scores = (q @ k.transpose(-1, -2)) / 2.0
    future = torch.ones(6, 6, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -torch.inf).softmax(-1)
    assert (weights @ v - output).abs().max() < 1e-14
    return {name: x.flatten().tolist() for name, x in
            {"q": q, "k": k, "v": v, "weights": weights, "output": output}.items()}


if __name__ == "__main__":
    fixture = {"loss": losses(), "descent": descents(), "attention": attention()}
    OUT.write_text(json.dumps(fixture) + "\n")
    print(f"{OUT}: {OUT.stat().st_size:,} bytes, torch {torch.__version__}")
