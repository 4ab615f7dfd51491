"""A GPT-2 in PyTorch as one would write it: packed qkv, fused attention, LayerNorm, tied head."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, heads, gelu):
        super().__init__()
        self.heads, self.gelu = heads, gelu
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(width, dim=2)
        q, k, v = (y.view(batch, tokens, self.heads, -1).transpose(1, 2) for y in (q, k, v))
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(read.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate=self.gelu))


class Gpt(nn.Module):
    """`size` has layers, heads, channels, tokens and vocabulary; `gelu` is tanh or none."""

    def __init__(self, size, gelu="tanh"):
        super().__init__()
        width, layers = size["channels"], size["layers"]
        self.tokens = nn.Embedding(size["vocabulary"], width)
        self.positions = nn.Embedding(size["tokens"], width)
        self.blocks = nn.ModuleList(Block(width, size["heads"], gelu) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_residual = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if into_residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def optimizer(model, lr, betas=(0.9, 0.999), decay=0.1):
    """AdamW that decays matrices and embeddings and nothing else."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas)


def step(model, adamw, ids, targets):
    """Forward, cross-entropy, backward, clipping at norm 1, AdamW."""
    adamw.zero_grad(set_to_none=True)
    model(ids, targets).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adamw.step()
