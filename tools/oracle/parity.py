"""Compares `deeper logits` with transformers on fresh random models.

    python tools/oracle/parity.py --seed 7 --count 100 [--deeper target/release/deeper]

Every model is a real Hugging Face folder in a temporary directory, half of them with the
config.json that transformers 5 writes and half with the keys of published checkpoints. Prints a
table per family and exits with 1 when a logit is off by more than 2e-5, or when `deeper` fails.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file

import configs
import reference

TOLERANCE = 2e-5


def save(model, config, folder, published):
    """Writes the model's folder; `published` keeps the keys that the case was drawn with."""
    model.save_pretrained(folder)
    if published:
        (folder / "config.json").write_text(json.dumps(config, indent=2))


def logits(deeper, folder, ids, out, extra=()):
    """What `deeper logits` says: [T, V], or an error's text."""
    command = [deeper, "logits", "--model", folder, "--ids", ",".join(map(str, ids)), "--out", out]
    done = subprocess.run([*command, *extra], capture_output=True, text=True)
    if done.returncode != 0:
        return None, f"exit code {done.returncode}: {done.stderr.strip()}"
    return load_file(out)["logits"], ""


def compare(case, deeper, index):
    """The largest difference of one case, and an error's text."""
    config, ids = case["config"], case["ids"]
    model = reference.fill(reference.build(config), case["seed"])
    want = reference.run(model, ids)
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        folder = pathlib.Path(temporary)
        save(model, config, folder / "model", published=index // 4 % 2 == 1)
        got, error = logits(deeper, folder / "model", ids, folder / "out.safetensors")
    if error:
        return float("inf"), error
    if got.dtype != np.float32 or got.shape != want.shape:
        return float("inf"), f"{got.dtype} {got.shape}, expected float32 {want.shape}"
    difference = float(np.abs(got - want).max())
    return (difference if difference == difference else float("inf")), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--deeper", default="target/release/deeper")
    args = parser.parse_args()
    table = {family: [] for family in configs.FAMILIES}
    for number in range(args.count):
        # The two counters move separately, so that every family meets every setting.
        family = configs.FAMILIES[number % len(configs.FAMILIES)]
        index = number // len(configs.FAMILIES)
        case = configs.case(family, index, args.seed)
        difference, error = compare(case, args.deeper, index)
        table[family].append((difference, case["name"]))
        if difference > TOLERANCE:
            print(f"{case['name']}: {difference:.2e} {error}\n  {json.dumps(case)}", file=sys.stderr)

    print(f"{'family':8} {'configs':>7} {'median':>9} {'worst':>9}  worst case")
    for family, rows in table.items():
        if rows:
            rows.sort()
            median, (worst, name) = rows[len(rows) // 2][0], rows[-1]
            print(f"{family:8} {len(rows):7} {median:9.1e} {worst:9.1e}  {name}")
    worst = max(row for rows in table.values() for row in rows)[0]
    good = worst <= TOLERANCE
    print(f"worst of {args.count}: {worst:.1e}   <= {TOLERANCE:.0e}  {'ok' if good else 'FAILED'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
