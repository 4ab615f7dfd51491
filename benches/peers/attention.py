"""Causal attention, alone and with gradients: ours and PyTorch's fused one in turn.

    python benches/peers/attention.py [--tokens 512 2048 4096] [--threads 2] [--rounds 5] [--runs 4]
    python benches/peers/attention.py --memory [--tokens 8192 16384]

One text, 12 heads of 64, f32, against F.scaled_dot_product_attention(is_causal=True) on tensors
[B, H, T, D]. --memory measures the most memory of a process that does forward and backward once,
at each length, and how it grows from the first to the last. Prints a table and one line of JSON; a
ratio above 1 means ours is faster (or smaller).
"""

import argparse
import json
import subprocess
import sys

import torch
from alternate import COMPARED, Worker, arguments, compare, compared, machine, own_peak_memory, rounds, table
from torch.nn import functional as F

HEADS, HEAD_SIZE = 12, 64


def peer(tokens, part):
    torch.manual_seed(0)
    q, k, v, upstream = torch.randn(4, 1, HEADS, tokens, HEAD_SIZE).unbind()
    if part == "forward":
        return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    for x in (q, k, v):
        x.requires_grad_()

    def run():
        q.grad = k.grad = v.grad = None
        F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(upstream)

    return run


def job(tokens, part):
    return {"work": "attention", "heads": HEADS, "head_size": HEAD_SIZE, "tokens": tokens, "part": part}


def speed(args):
    records = []
    with Worker(args.worker, args.threads) as worker:
        for tokens in args.tokens or [512, 2048, 4096]:
            for part in ("forward", "step"):
                record = compare(*rounds(worker, job(tokens, part), peer(tokens, part), args.rounds, args.runs))
                records.append({"T": tokens, "part": part, **record})
            worker(work="forget")
    rows = [[f"T={r['T']} {r['part']}", *compared(r)] for r in records]
    table(["attention", *COMPARED], rows)
    return records


def child_memory(args, tokens):
    """Peak of a fresh PyTorch process, and of one that only builds the inputs."""
    command = [sys.executable, __file__, "--threads", str(args.threads), "--child", str(tokens)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def our_memory(args, tokens):
    with Worker(args.worker, args.threads) as worker:
        return worker(**job(tokens, "step"), steps=1, warm_up=0)["peak_memory"]


def memory(args):
    lengths = args.tokens or [8192, 16384]
    records = []
    for tokens in lengths:
        ours, theirs = our_memory(args, tokens), child_memory(args, tokens)
        inputs = 4 * HEADS * HEAD_SIZE * tokens * 4  # q, k, v and the upstream gradient
        records.append({"T": tokens, "ours_bytes": ours, "theirs_bytes": theirs, "inputs_bytes": inputs})
    idle = {"ours_bytes": our_memory(args, 1), "theirs_bytes": child_memory(args, 1)}
    for r in records:
        for who in ("ours", "theirs"):
            r[f"{who}_bytes_per_token"] = round((r[f"{who}_bytes"] - idle[f"{who}_bytes"]) / r["T"])
    mib = 1 << 20
    header = ["forward + backward", "MiB ours", "theirs", "bytes/token ours", "theirs", "MiB of inputs"]
    keys = ["ours_bytes", "theirs_bytes", "ours_bytes_per_token", "theirs_bytes_per_token", "inputs_bytes"]
    cells = [[r[k] if "token" in k else r[k] / mib for k in keys] for r in records]
    table(header, [["idle", idle["ours_bytes"] / mib, idle["theirs_bytes"] / mib, "", "", ""]]
          + [[f"T={r['T']}", *c] for r, c in zip(records, cells)])
    growth = [records[-1][f"{w}_bytes_per_token"] / records[0][f"{w}_bytes_per_token"] for w in ("ours", "theirs")]
    print(f"bytes a token, last length over first: ours {growth[0]:.3f}, theirs {growth[1]:.3f} (1 is linear in T)\n")
    return {"idle": idle, "lengths": records, "growth_ours": growth[0], "growth_theirs": growth[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments(parser, rounds=5, runs=4)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.child:
        peer(args.child, "step")()
        print(own_peak_memory())
        return
    name, result = ("memory", memory(args)) if args.memory else ("attention", speed(args))
    print(json.dumps({"machine": machine(args.threads, torch=torch.__version__), name: result}))


if __name__ == "__main__":
    main()
