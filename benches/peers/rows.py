"""Rows of prompts and completions: ours and Hugging Face datasets + tokenizers in turn.

    python benches/peers/rows.py [--rows 1000000] [--rounds 2] [--threads 2] [--formats]

Writes a JSONL file of short rows (one in a hundred stands there twice) and lets both sides load it,
look for repeated rows and the longest one, and make ids with labels (BOS, prompt, new line,
completion, EOS; -100 on the prompt) that end up on the disk. Theirs checks and tokenizes what an
earlier process has loaded into its Arrow cache, ours reads the JSONL again. Every figure is from a process of its
own, so that its peak memory is that of the stage. Both must find the same number of rows, repeated
rows and tokens. Prints a table and one line of JSON. With --formats the same rows are also loaded
from a JSON array, CSV and Parquet.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from alternate import Worker, arguments, machine, own_peak_memory, table

STAGES = ["load", "check", "tokenize"]
TOKENIZER = "output_models/deeper-base"
MAX_LENGTH = 512
WORDS = (
    "the a of heart blood lungs air skin water bone muscle nerve cell pumps takes keeps carries "
    "warm cold slow fast when why how does it body every day small large often never two three"
).split()


def write_rows(path, rows):
    """Rows of 100 to 150 bytes; every hundredth is the one before it once more."""
    rng = random.Random(7)
    some = lambda low, high: " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))
    line = ""
    with open(path, "w", encoding="utf-8") as file:
        for index in range(rows):
            if index % 100 != 99:
                row = {"prompt": f"{some(6, 9)} {index}?", "completion": f"{some(7, 10)}."}
                line = json.dumps(row) + "\n"
            file.write(line)


def peer(stage, data, threads, folder):
    """Their side, in this process; prints one line of JSON."""
    os.environ.update(
        HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_CACHE=str(folder / "hf"),
        RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true",
    )
    import datasets
    from tokenizers import Tokenizer

    datasets.disable_progress_bars()
    imported = own_peak_memory()
    form = data.suffix[1:].replace("jsonl", "json")
    load = lambda: datasets.load_dataset(form, data_files=str(data), split="train")
    start = time.perf_counter()
    rows = load()
    answer = {"done": len(rows)}
    if stage == "check":
        seen, repeated, longest = set(), 0, 0

        def look(batch):
            nonlocal repeated, longest
            for pair in zip(batch["prompt"], batch["completion"]):
                longest = max(longest, len(pair[0]) + len(pair[1]))
                repeated += pair in seen
                seen.add(pair)

        rows.map(look, batched=True, load_from_cache_file=False)
        answer["score"] = repeated
    elif stage == "tokenize":
        tokenizer = Tokenizer.from_file(f"{TOKENIZER}/tokenizer.json")
        config = json.loads(pathlib.Path(TOKENIZER, "generation_config.json").read_text())
        token = lambda value: [] if value is None else value if isinstance(value, list) else [value]
        bos, eos = (token(config.get(key))[:1] for key in ["bos_token_id", "eos_token_id"])
        encode = lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False)

        def make(batch):
            prompts = encode([text + "\n" for text in batch["prompt"]])
            answers = encode(batch["completion"])
            ids, labels = [], []
            for prompt, answer in zip(prompts, answers):
                prompt, answer = bos + prompt.ids, answer.ids + eos
                ids.append((prompt + answer)[:MAX_LENGTH])
                labels.append(([-100] * len(prompt) + answer)[:MAX_LENGTH])
            return {"input_ids": ids, "labels": labels}

        ids = rows.map(make, batched=True, remove_columns=rows.column_names, load_from_cache_file=False)
        answer["seconds"] = time.perf_counter() - start
        answer["done"] = sum(len(row) for batch in ids.iter(10_000) for row in batch["input_ids"])
    answer.setdefault("seconds", time.perf_counter() - start)
    answer.update(peak_memory=own_peak_memory(), imported=imported)
    print(json.dumps(answer))


def theirs(stage, data, threads, folder):
    if stage != "load":
        theirs("load", data, threads, folder)  # their cache is warm, as after a first run
    command = [sys.executable, __file__, "--peer", stage, "--data", str(data), "--threads", str(threads)]
    out = subprocess.run([*command, "--folder", str(folder)], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def ours(stage, data, args, folder):
    job = {"work": "rows", "data": str(data), "stage": stage, "max_length": MAX_LENGTH}
    if stage == "tokenize":
        job.update(tokenizer=TOKENIZER, cache=str(folder / "ours"))
    with Worker(args.worker, args.threads) as worker:
        answer = worker(**job, steps=1, warm_up=0, score=stage == "check")
    return {
        "seconds": answer["ms"][0] / 1000, "done": answer["tokens"], "peak_memory": answer["peak_memory"],
        **({"score": answer["score"]} if stage == "check" else {}),
    }


def write_formats(data):
    """The rows of `data` as an array, CSV and Parquet beside it."""
    import pandas

    rows = pandas.read_json(data, lines=True, dtype=str)
    rows.to_json(data.with_suffix(".json"), orient="records", force_ascii=False)
    rows.to_csv(data.with_suffix(".csv"), index=False)
    rows.to_parquet(data.with_suffix(".parquet"), index=False)
    return [data.with_suffix(suffix) for suffix in [".json", ".csv", ".parquet"]]


def compare(stage, data, args, folder):
    """One row of the table: rounds of both sides on one stage."""
    runs = {"ours": [], "theirs": []}
    name = f"{stage}{data.suffix}"
    for index in range(args.rounds):
        runs["ours"].append(ours(stage, data, args, folder / f"o{name}{index}"))
        runs["theirs"].append(theirs(stage, data, args.threads, folder / f"t{name}{index}"))
    for key in ["done", "score"]:
        found = {run.get(key) for side in runs.values() for run in side}
        if len(found) != 1:
            raise SystemExit(f"{name}: {key} differs: {found}")
    record = {
        "stage": stage, "format": data.suffix[1:], "rows": args.rows, "bytes": data.stat().st_size,
        "done": runs["ours"][0]["done"],
    }
    for who, side in runs.items():
        seconds = statistics.median(run["seconds"] for run in side)
        record[f"{who}_rows_per_second"] = round(args.rows / seconds)
        record[f"{who}_peak_memory"] = max(run["peak_memory"] for run in side)
    record["theirs_memory_after_import"] = max(run["imported"] for run in runs["theirs"])
    record["ratio"] = round(record["ours_rows_per_second"] / record["theirs_rows_per_second"], 2)
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments(parser, rounds=2, runs=1)
    parser.add_argument("--formats", action="store_true", help="also load other formats")
    parser.add_argument("--peer", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer, args.data, args.threads, args.folder)
    import datasets
    import tokenizers

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = folder / "rows.jsonl"
        write_rows(data, args.rows)
        work = [(stage, data) for stage in STAGES]
        if args.formats:
            work += [("load", file) for file in write_formats(data)]
        records = [compare(stage, file, args, folder) for stage, file in work]
    mib = lambda value: round(value / 2**20)
    table(
        ["stage", "rows", "MiB", "rows/s ours", "theirs", "ratio", "peak MiB ours", "theirs", "of it imports"],
        [
            [f"{r['stage']} {r['format']}", f"{r['rows']:,}", mib(r["bytes"]), f"{r['ours_rows_per_second']:,}",
             f"{r['theirs_rows_per_second']:,}", r["ratio"], mib(r["ours_peak_memory"]),
             mib(r["theirs_peak_memory"]), mib(r["theirs_memory_after_import"])]
            for r in records
        ],
    )
    versions = {"datasets": datasets.__version__, "tokenizers": tokenizers.__version__}
    print(json.dumps({"machine": machine(args.threads, **versions), "rows": records}))


if __name__ == "__main__":
    main()
