"""Compares the logits of the embedded model with transformers on 50 texts.

    python tools/oracle/tiny_logits.py [--binary target/release/deeper]

Versions: tools/oracle/requirements.txt (transformers 5.23.0, torch 2.15.0).

Without --binary it writes crates/llm-train/tests/fixtures/tiny_logits.safetensors: ids of 50 texts
and, at up to eight positions of each, every 64th logit in float32. With --binary all logits of all
positions are compared with those of `deeper logits`; exit code 1 above 2e-5.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "output_models/deeper-tiny"
STRINGS = ROOT / "crates/llm-train/tests/fixtures/tiny_tokenizer.json"
FIXTURE = ROOT / "crates/llm-train/tests/fixtures/tiny_logits.safetensors"
TEXTS, LONGEST, POSITIONS, EVERY = 50, 64, 8, 64
TOLERANCE = 2e-5


def texts():
    """Ids of 50 texts, the same as in the tokenizer's fixture, cut at 64 tokens."""
    rows = [row["user"] for row in json.loads(STRINGS.read_text())["strings"]]
    rows = [ids[:LONGEST] for ids in rows if len(ids) >= 2][:TEXTS]
    assert len(rows) == TEXTS, len(rows)
    return rows


def ours(binary, ids, folder):
    """All logits of a text by `deeper logits`."""
    out = pathlib.Path(folder) / "logits.safetensors"
    command = [binary, "logits", "--model", MODEL, "--ids", ",".join(map(str, ids)), "--out", out]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return load_file(out)["logits"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path)
    args = parser.parse_args()
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    model = AutoModelForCausalLM.from_pretrained(MODEL, **options).eval()
    tensors, worst, positions = {}, 0.0, 0
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for index, ids in enumerate(texts()):
            logits = model(torch.tensor([ids])).logits[0].numpy()
            if args.binary:
                found = ours(args.binary.resolve(), ids, folder)
                worst = max(worst, float(np.abs(found - logits).max()))
                positions += len(ids)
                continue
            kept = np.unique(np.linspace(0, len(ids) - 1, POSITIONS).round().astype(np.int64))
            tensors[f"{index}.ids"] = np.array(ids, dtype=np.int64)
            tensors[f"{index}.positions"] = kept
            tensors[f"{index}.logits"] = np.ascontiguousarray(logits[kept, ::EVERY])
    if args.binary:
        print(f"{TEXTS} texts, {positions} positions: largest difference {worst:.2e}, allowed {TOLERANCE:.0e}")
        sys.exit(worst > TOLERANCE)
    save_file(tensors, FIXTURE)
    FIXTURE.chmod(0o644)
    print(f"{FIXTURE.name}: {FIXTURE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
