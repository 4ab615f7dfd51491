"""A training step of two small GPTs: ours and PyTorch eager in turn.

    python benches/peers/train.py [--size small|large|both] [--threads 2] [--rounds 6] [--runs 5]

A step is forward, cross-entropy, backward, clipping at norm 1 and AdamW, in f32, without dropout
and without compilation. Prints a table and one line of JSON; a ratio above 1 means ours is faster.
"""

import argparse
import json

import torch
from alternate import COMPARED, Worker, arguments, compare, compared, machine, rounds, table
from gpt import Gpt, optimizer, step

SIZES = {
    "small": {"layers": 4, "heads": 4, "channels": 128, "tokens": 64, "batch": 12, "vocabulary": 65},
    "large": {"layers": 6, "heads": 6, "channels": 384, "tokens": 256, "batch": 8, "vocabulary": 65},
}


def peer(size):
    torch.manual_seed(0)
    model = Gpt(size)
    adamw = optimizer(model, lr=1e-4)
    text = torch.randint(size["vocabulary"], (size["batch"], size["tokens"] + 1))
    return lambda: step(model, adamw, text[:, :-1], text[:, 1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both")
    arguments(parser, rounds=6, runs=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    records = []
    with Worker(args.worker, args.threads) as worker:
        for name in SIZES if args.size == "both" else [args.size]:
            job = {"work": "train", **SIZES[name]}
            record = compare(*rounds(worker, job, peer(SIZES[name]), args.rounds, args.runs))
            records.append({"size": name, **SIZES[name], **record})
    rows = [[r["size"], *compared(r), r["ours_tokens_per_second"], r["theirs_tokens_per_second"]] for r in records]
    table(["training step", *COMPARED, "tok/s ours", "theirs"], rows)
    print(json.dumps({"machine": machine(args.threads, torch=torch.__version__), "train": records}))


if __name__ == "__main__":
    main()
