"""Tokens per second of a training step in PyTorch eager, on two small GPTs.

    python benches/peers/train_step.py [--size small|large|both] [--threads 2] [--steps 20]

Prints one line of JSON per size. A step is forward, cross-entropy, backward, clipping at norm 1 and
AdamW, in f32, without dropout and without compilation. The models are GPT-2 shapes with character
vocabularies: LayerNorm, packed qkv, fused scaled_dot_product_attention, GELU (tanh), tied head.
"""

import argparse
import json
import platform
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY = 65  # characters of tinyshakespeare
SIZES = {
    "small": {"layers": 4, "heads": 4, "width": 128, "tokens": 64, "batch": 12},
    "large": {"layers": 6, "heads": 6, "width": 384, "tokens": 256, "batch": 8},
}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(read.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, size):
        super().__init__()
        width = size["width"]
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(size["tokens"], width)
        self.blocks = nn.ModuleList(Block(width, size["heads"]) for _ in range(size["layers"]))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def measure(name, steps, warm_up):
    size = SIZES[name]
    torch.manual_seed(0)
    model = Gpt(size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
    ids = torch.randint(VOCABULARY, (size["batch"], size["tokens"] + 1))
    seconds = []
    for step in range(warm_up + steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(ids[:, :-1], ids[:, 1:]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step >= warm_up:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    tokens = size["batch"] * size["tokens"]
    return {
        "peer": f"torch {torch.__version__} eager",
        "size": name,
        **size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "steps": steps,
        "step_ms": round(1000 * median, 2),
        "fastest_ms": round(1000 * min(seconds), 2),
        "tokens_per_second": round(tokens / median),
        "machine": platform.processor() or platform.machine(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in SIZES if args.size == "both" else [args.size]:
        print(json.dumps(measure(name, args.steps, args.warm_up)), flush=True)


if __name__ == "__main__":
    main()
