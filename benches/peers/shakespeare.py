"""A whole training run on tinyshakespeare, three seeds: ours and PyTorch in turn.

    python benches/peers/shakespeare.py --text tinyshakespeare.txt [--steps 2000] [--seeds 3]

nanoGPT's recipe for a laptop: characters, 4 layers, 4 heads, width 128, T 64, batch 12, dropout 0,
GELU (erf), AdamW (0.9, 0.99) with decay 0.1 on matrices, warmup 100, cosine from 1e-3 to 1e-4,
clipping at 1; linear layers and norms have biases here on both sides, which nanoGPT leaves out. The
same batches for both, own initial weights from the same distribution. The loss is the mean over the
whole held-out tenth in blocks of T. The two take turns every --chunk steps. Prints a table and one
line of JSON. The text: github.com/karpathy/char-rnn, data/tinyshakespeare.
"""

import argparse
import json
import math
import pathlib
import random
import statistics
import struct
import tempfile
import time

import torch
from alternate import SETTLE_SECONDS, Worker, machine, table, timed
from gpt import Gpt, optimizer, step

SIZE = {"layers": 4, "heads": 4, "channels": 128, "tokens": 64, "batch": 12}
WARMUP, MAX_LR = 100, 1e-3


def rate(index, steps):
    """The learning rate of the step with this index, counted from 0."""
    done = index + 1
    if done < WARMUP:
        return MAX_LR * done / WARMUP
    progress = (done - WARMUP) / (steps - WARMUP) if steps > WARMUP else 1.0
    return MAX_LR / 10 + 0.45 * MAX_LR * (1 + math.cos(math.pi * min(1.0, progress)))


class Peer:
    """PyTorch's run, a few steps at a time."""

    def __init__(self, size, ids, train, starts, seed, steps):
        torch.manual_seed(seed)
        self.text, self.held_out = ids[:train], ids[train:]
        self.t, self.starts, self.steps, self.index = size["tokens"], starts, steps, 0
        self.model = Gpt(size, gelu="none")
        self.adamw = optimizer(self.model, MAX_LR, betas=(0.9, 0.99))

    def step(self):
        for group in self.adamw.param_groups:
            group["lr"] = rate(self.index, self.steps)
        rows = [self.text[s : s + self.t + 1] for s in self.starts[self.index]]
        rows = torch.stack(rows)
        step(self.model, self.adamw, rows[:, :-1], rows[:, 1:])
        self.index += 1

    @torch.no_grad()
    def score(self):
        blocks = (len(self.held_out) - 1) // self.t
        ids = self.held_out[: blocks * self.t].view(blocks, self.t)
        targets = self.held_out[1 : blocks * self.t + 1].view(blocks, self.t)
        parts = [(self.model(i, j).item(), len(i)) for i, j in zip(ids.split(64), targets.split(64))]
        return sum(loss * count for loss, count in parts) / blocks


def run(args, worker, ids, vocabulary, seed, folder):
    """One seed of both: losses and seconds."""
    size = {**SIZE, "vocabulary": vocabulary}
    train = int(0.9 * len(ids))
    draw = random.Random(seed)
    starts = [[draw.randrange(train - size["tokens"]) for _ in range(size["batch"])] for _ in range(args.steps)]
    flat = [start for row in starts for start in row]
    (folder / "starts").write_bytes(struct.pack(f"<{len(flat)}I", *flat))
    job = {"work": "fit", "shape": size, "ids": str(folder / "ids"), "train": train, "total_steps": args.steps,
           "starts": str(folder / "starts"), "warmup_steps": WARMUP, "max_lr": MAX_LR, "seed": seed, "warm_up": 0}
    peer = Peer(size, ids, train, starts, seed, args.steps)
    worker(**job, steps=0)
    ours, theirs = [], []
    for done in range(0, args.steps, args.chunk):
        count = min(args.chunk, args.steps - done)
        time.sleep(SETTLE_SECONDS)
        ours += worker(**job, steps=count)["ms"]
        time.sleep(SETTLE_SECONDS)
        theirs += timed(peer.step, 0, count)
    losses = {"ours_loss": worker(**job, steps=0, score=True)["score"], "theirs_loss": peer.score()}
    worker(work="forget")
    return {"seed": seed, **losses, "ours_seconds": sum(ours) / 1000, "theirs_seconds": sum(theirs) / 1000}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", metavar="PATH", help="a built bench_worker instead of cargo run")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    text = args.text.read_text()
    letters = {letter: index for index, letter in enumerate(sorted(set(text)))}
    ids = [letters[letter] for letter in text]
    with tempfile.TemporaryDirectory() as name, Worker(args.worker, args.threads) as worker:
        folder = pathlib.Path(name)
        (folder / "ids").write_bytes(bytes(ids))
        ids = torch.tensor(ids)
        runs = [run(args, worker, ids, len(letters), seed, folder) for seed in range(1, args.seeds + 1)]
    keys = ["ours_loss", "theirs_loss", "ours_seconds", "theirs_seconds"]
    mean = {key: statistics.mean(run[key] for run in runs) for key in keys}
    rows = [[f"seed {r['seed']}", *[f"{r[k]:.4f}" for k in keys[:2]], r[keys[2]], r[keys[3]]] for r in runs]
    rows.append(["mean", *[f"{mean[k]:.4f}" for k in keys[:2]], mean[keys[2]], mean[keys[3]]])
    table([f"{args.steps} steps", "loss ours", "theirs", "seconds ours", "theirs"], rows)
    ratio = round(mean["theirs_seconds"] / mean["ours_seconds"], 3)
    record = {"steps": args.steps, **SIZE, "runs": runs, "mean": mean, "ratio_seconds": ratio}
    print(json.dumps({"machine": machine(args.threads, torch=torch.__version__), "shakespeare": record}))


if __name__ == "__main__":
    main()
