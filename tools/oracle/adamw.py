"""200 AdamW steps in PyTorch for crates/llm-train/tests/it/adamw.rs.

A two-layer network with a gain (tanh(x W1ᵀ + b1) · g) W2ᵀ, cross-entropy with ignored rows, four
micro-batches of unequal length a step, clipping, decay groups, warmup and cosine. Every input is a
formula, so that both sides compute it; the file holds what PyTorch got at each step.

    python tools/oracle/adamw.py        (torch 2.x, CPU; see requirements.txt)
"""
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_num_threads(1)
STEPS, WARMUP, MAX_LR, MIN_LR, MAX_NORM, DECAY = 200, 20, 3e-2, 3e-3, 0.12, 0.1
MICRO_ROWS = [3, 5, 2, 7]
INPUTS, HIDDEN, CLASSES = 3, 4, 3


def rate(step):
    s = step + 1
    if s < WARMUP:
        return MAX_LR * s / WARMUP
    progress = min(1.0, (s - WARMUP) / (STEPS - WARMUP))
    return MIN_LR + 0.5 * (MAX_LR - MIN_LR) * (1 + math.cos(math.pi * progress))


def wave(count, offset):
    return [math.sin(1.7 * i + offset) for i in range(count)]


def initial(dtype):
    shapes = {"a.weight": (HIDDEN, INPUTS), "b.bias": (HIDDEN,), "c.gain": (HIDDEN,), "d.weight": (CLASSES, HIDDEN)}
    out = {}
    for k, (name, shape) in enumerate(shapes.items()):
        values = torch.tensor(wave(math.prod(shape), k), dtype=torch.float64).reshape(shape)
        out[name] = values.to(dtype).requires_grad_()
    return out


def micro_batch(step, micro, dtype):
    rows = MICRO_ROWS[micro]
    x = [[math.sin(0.7 * r + 1.3 * c + 0.37 * step + 2.1 * micro) for c in range(INPUTS)] for r in range(rows)]
    targets = []
    for r in range(rows):
        ignored = (r + step + micro) % 4 == 3
        targets.append(-100 if ignored else (r * 7 + step + 2 * micro) % CLASSES)
    return torch.tensor(x, dtype=torch.float64).to(dtype), torch.tensor(targets)


def run(dtype):
    p = initial(dtype)
    groups = [
        {"params": [p["a.weight"], p["d.weight"]], "weight_decay": DECAY},
        {"params": [p["b.bias"], p["c.gain"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=MAX_LR, betas=(0.9, 0.95), eps=1e-8, foreach=False, fused=False)
    rows, losses, norms, rates = [], [], [], []
    for step in range(STEPS):
        batches = [micro_batch(step, m, dtype) for m in range(len(MICRO_ROWS))]
        count = sum(int((t != -100).sum()) for _, t in batches)
        optimizer.zero_grad()
        total = 0.0
        for x, t in batches:
            hidden = torch.tanh(F.linear(x, p["a.weight"], p["b.bias"])) * p["c.gain"]
            loss = F.cross_entropy(F.linear(hidden, p["d.weight"]), t, ignore_index=-100, reduction="sum") / count
            loss.backward()
            total += float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(list(p.values()), MAX_NORM)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
        rows.append(torch.cat([p[n].detach().flatten() for n in sorted(p)]))
        losses.append(total)
        norms.append(float(norm))
        rates.append(rate(step))
    doubles = lambda v: torch.tensor(v, dtype=torch.float64)
    clipped = sum(n > MAX_NORM for n in norms)
    print(dtype, "first and last loss", losses[0], losses[-1], "clipped", clipped, "of", STEPS)
    assert 20 < clipped < STEPS - 20, "both branches of the clip must run"
    return {"parameters": torch.stack(rows), "loss": doubles(losses), "grad_norm": doubles(norms), "lr": doubles(rates)}


def main():
    out = {}
    for name, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        out.update({f"{name}.{key}": value.contiguous() for key, value in run(dtype).items()})
    root = pathlib.Path(__file__).resolve().parents[2]
    path = root / "crates/llm-train/tests/fixtures/adamw.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(out, str(path), {"torch": torch.__version__})
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
