"""Merged models in transformers, against PEFT's adapters at run time.

    python tools/oracle/merge_check.py [--deeper target/release/deeper] [--seed 3]

For each adapter of `lora.py`: a random model and a PEFT adapter are saved, `deeper merge` joins them,
transformers loads the result without a word about missing or superfluous weights, and its logits
are those of the adapter in PEFT. Exits with 1 above 1e-5 of the largest logit, or above 1e-5 where
that is below 1.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import transformers

import configs
import lora
import reference

TOLERANCE = 1e-5


def check(deeper, adapter, seed):
    """One adapter; whether its merge passes."""
    family, index, rank, alpha, targets = adapter
    case = configs.case(family, index, seed)
    base = reference.fill(reference.build(case["config"]), case["seed"])
    plain = reference.run(base, case["ids"])
    with tempfile.TemporaryDirectory(prefix="merge-") as temporary:
        folder = pathlib.Path(temporary)
        base.save_pretrained(folder / "model")
        adapted = lora.adapt(base, case["seed"], rank, alpha, targets)
        adapted.save_pretrained(folder / "adapter")
        want = reference.run(adapted, case["ids"])
        command = [deeper, "merge", "--quiet", "--model", folder / "model"]
        command += ["--adapter", folder / "adapter", "--out", folder / "merged"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{case['name']}: {done.stderr.strip()}")
            return False
        merged, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "merged",
            attn_implementation="eager",
            dtype="float32",
            output_loading_info=True,
        )
        got = reference.run(merged.eval(), case["ids"])
    wrong = [key for key, found in report.items() if found]
    difference = float(np.abs(got - want).max())
    effect = float(np.abs(want - plain).max())
    good = not wrong and effect > 1e-3
    good &= difference <= TOLERANCE * max(1.0, float(np.abs(want).max()))
    verdict = "ok" if good else f"FAILED {wrong}"
    name = f"{case['name']} r={rank}"
    print(f"{name:24} max |difference| {difference:.1e}   adapter moves {effect:.1e}   {verdict}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deeper", default="target/release/deeper")
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    good = all([check(args.deeper, adapter, args.seed) for adapter in lora.ADAPTERS])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
