"""Writes crates/llm-train/tests/fixtures/mini_gpt.json: what the page of the mini GPT costs at best,
counted here once more, and PyTorch's staircase of learning rates.

    python tools/oracle/mini_gpt.py                                  the fixture
    python tools/oracle/mini_gpt.py --folder output_models/mini_gpt  a trained folder by transformers
"""

import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "data/mini_gpt/page.txt"
FIXTURE = ROOT / "crates/llm-train/tests/fixtures/mini_gpt.json"
CONTEXT = 64
EPOCHS, HIGHEST, LOWEST = 100, 3e-4, 3e-5


def entropy(counts: Counter) -> float:
    """Entropy in nats of the shares of some counts."""
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())


def floor_by_position(text: str, context: int) -> list[float]:
    """The entropy of the next character given the start of its window, for each position."""
    starts = range(len(text) - context)
    floors = []
    for seen in range(1, context + 1):
        follows = defaultdict(Counter)
        for start in starts:
            follows[text[start : start + seen]][text[start + seen]] += 1
        cost = sum(sum(counts.values()) * entropy(counts) for counts in follows.values())
        floors.append(cost / len(starts))
    return floors


def staircase() -> list[float]:
    """CosineAnnealingLR, stepped once after each epoch."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=HIGHEST)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS, LOWEST)
    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def fixture() -> None:
    text = PAGE.read_text()
    data = {
        "characters": len(text),
        "vocab_size": len(set(text)),
        "unigram_entropy": entropy(Counter(text)),
        "floor_by_position": floor_by_position(text, CONTEXT),
        "hello_floor_by_position": floor_by_position("hello hello", 4),
        "rates": staircase(),
    }
    FIXTURE.write_text(json.dumps(data, indent=1) + "\n")


def read_folder(folder: Path) -> None:
    """transformers reads the folder: tokens there and back, greedy text, loss on the page."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    text = PAGE.read_text()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    characters = sorted(set(text))
    assert ids == [characters.index(c) for c in text], "other ids"
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text, "other text"
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    windows = torch.tensor([ids[s : s + CONTEXT + 1] for s in range(len(ids) - CONTEXT)])
    with torch.no_grad():
        logits = model(windows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        written = torch.tensor([tokenizer("A model is")["input_ids"]])
        while written.shape[1] < CONTEXT:
            best = model(written).logits[:, -1].argmax(-1, keepdim=True)
            written = torch.cat([written, best], 1)
    print(f"loss {loss.item():.6f}")
    print(repr(tokenizer.decode(written[0], clean_up_tokenization_spaces=False)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder
    read_folder(folder) if folder else fixture()
