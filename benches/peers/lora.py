"""A LoRA step on the shape of Qwen3-0.6B: ours and transformers + PEFT in turn.

    python benches/peers/lora.py [--dtype f32|bf16|both] [--threads 2] [--rounds 4] [--runs 2]

28 layers, width 1,024, vocabulary 32,768, random weights; batch 2 x 256 tokens; adapters of rank 16
on q, k and v; a step is forward, loss, backward and AdamW on the adapters. The base is f32 or bf16;
PEFT keeps the adapters of a bf16 base in f32, as it does by default. Each side is a process of its
own, and its peak memory is that process's, loading included. A side that cannot do a type says so
and the other is still measured. Prints a table and one line of JSON; a ratio above 1 means ours is
faster.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from alternate import COMPARED, Worker, arguments, compare, compared, machine, own_peak_memory, table, timed

CONFIG = pathlib.Path(__file__).with_name("qwen3-0.6b-v32k.json")
RANK, ALPHA, TARGETS = 16, 32, ["q_proj", "k_proj", "v_proj"]


def peer(args):
    """The step of transformers + PEFT."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(args.config)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM")
    model = get_peft_model(model, lora).train()
    adamw = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(config.vocab_size, (args.batch, args.tokens))

    def step():
        adamw.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        adamw.step()

    return step


def serve(args):
    """The other process: one number of runs a line in, times and peak memory out."""
    step = peer(args)
    for line in sys.stdin:
        job = json.loads(line)
        times = timed(step, job["warm_up"], job["steps"])
        print(json.dumps({"ms": times, "peak_memory": own_peak_memory()}), flush=True)


class Peer:
    """A fresh Python that runs `serve`."""

    def __init__(self, args, dtype):
        command = [sys.executable, __file__, "--serve", "--dtype", dtype, "--config", args.config]
        command += [f"--{name}={getattr(args, name)}" for name in ("threads", "batch", "tokens")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, steps, warm_up):
        self.process.stdin.write(json.dumps({"steps": steps, "warm_up": warm_up}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(args, dtype):
    """A record of both; of one, where the other cannot."""
    job = {"work": "lora", "config": args.config, "dtype": dtype, "batch": args.batch, "tokens": args.tokens,
           "r": RANK, "lora_alpha": ALPHA}
    theirs, answers = Peer(args, dtype), []

    def turn(worker):
        # `rounds` times single calls; a process times its own and keeps the pipe out of it.
        answers.append((worker(**job, steps=args.runs, warm_up=1), theirs(args.runs, 1)))

    try:
        with Worker(args.worker, args.threads) as worker:
            try:
                built = worker(**job, steps=0, warm_up=0)["peak_memory"]
                worker(**job, steps=0, warm_up=1)
            except RuntimeError as error:
                return {"dtype": dtype, "error": str(error), "theirs": theirs(args.runs, 2)}
            theirs(0, 1)
            for _ in range(args.rounds):
                turn(worker)
    finally:
        theirs.close()
    ours_ms = [ms for ours, _ in answers for ms in ours["ms"]]
    theirs_ms = [ms for _, other in answers for ms in other["ms"]]
    record = compare(ours_ms, theirs_ms, answers[-1][0])
    memory = [side["peak_memory"] for side in answers[-1]]
    return {"dtype": dtype, **record, "ours_bytes": memory[0], "ours_bytes_built": built, "theirs_bytes": memory[1],
            "memory_ratio": round(memory[0] / memory[1], 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["f32", "bf16", "both"], default="both")
    parser.add_argument("--config", default=str(CONFIG))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments(parser, rounds=4, runs=2)
    args = parser.parse_args()
    if args.serve:
        return serve(args)
    import peft
    import torch
    import transformers

    records = [measure(args, dtype) for dtype in (["f32", "bf16"] if args.dtype == "both" else [args.dtype])]
    both = [r for r in records if "error" not in r]
    header = ["LoRA step", *COMPARED, "tok/s ours", "theirs", "GiB ours", "theirs", "ratio"]
    table(header, [[r["dtype"], *compared(r), r["ours_tokens_per_second"], r["theirs_tokens_per_second"],
                    r["ours_bytes"] / 2**30, r["theirs_bytes"] / 2**30, r["memory_ratio"]] for r in both])
    for r in records:
        if "error" in r:
            print(f"{r['dtype']}: ours cannot: {r['error']}\n")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    print(json.dumps({"machine": machine(args.threads, **versions), "lora": records}))


if __name__ == "__main__":
    main()
