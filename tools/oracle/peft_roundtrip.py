"""Adapters across the border, by logits.

    python tools/oracle/peft_roundtrip.py [--deeper D]                        PEFT's adapters open here
    python tools/oracle/peft_roundtrip.py --model BASE --adapter A [--deeper D]   ours opens in PEFT

The first form makes random models and adapters, saves them with transformers and PEFT, and compares
`deeper logits --adapter` with PEFT. The second takes an adapter that `deeper train` wrote for the
model folder BASE. Exits with 1 when a logit is off by more than 2e-5, when PEFT misses or adds a
tensor, or when the adapter changes nothing.
"""

import argparse
import pathlib
import random
import sys
import tempfile
import warnings

import numpy as np
import peft
import transformers

import configs
import lora
import parity
import reference

TOKENS = 48


def report(name, got, error, want, plain):
    """Prints one line; whether the comparison passes."""
    if error:
        print(f"{name}: {error}")
        return False
    difference = float(np.abs(got - want).max())
    effect = float(np.abs(want - plain).max())
    good = difference <= parity.TOLERANCE and effect > 1e-3
    verdict = "ok" if good else "FAILED"
    print(f"{name:16} max |difference| {difference:.1e}   adapter moves {effect:.1e}   {verdict}")
    return good


def from_peft(deeper, adapter, seed):
    """PEFT writes, `deeper` reads."""
    family, index, rank, alpha, targets = adapter
    case = configs.case(family, index, seed)
    base = reference.fill(reference.build(case["config"]), case["seed"])
    plain = reference.run(base, case["ids"])
    with tempfile.TemporaryDirectory(prefix="peft-") as temporary:
        folder = pathlib.Path(temporary)
        base.save_pretrained(folder / "model")
        adapted = lora.adapt(base, case["seed"], rank, alpha, targets)
        adapted.save_pretrained(folder / "adapter")
        want = reference.run(adapted, case["ids"])
        extra = ["--adapter", folder / "adapter"]
        out = folder / "out.safetensors"
        got, error = parity.logits(deeper, folder / "model", case["ids"], out, extra)
    return report(f"{case['name']} r={rank}", got, error, want, plain)


def to_peft(deeper, model, adapter):
    """`deeper` wrote, PEFT reads."""
    base = transformers.AutoModelForCausalLM.from_pretrained(
        model, attn_implementation="eager", dtype="float32"
    ).eval()
    rng = random.Random(0)
    limit = min(TOKENS, base.config.max_position_embeddings)
    ids = [rng.randrange(base.config.vocab_size) for _ in range(limit)]
    plain = reference.run(base, ids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PEFT only warns about missing and superfluous tensors
        warnings.simplefilter("ignore", FutureWarning)
        adapted = peft.PeftModel.from_pretrained(base, adapter).eval()
    want = reference.run(adapted, ids)
    with tempfile.TemporaryDirectory(prefix="peft-") as temporary:
        out = pathlib.Path(temporary) / "out.safetensors"
        got, error = parity.logits(deeper, model, ids, out, ["--adapter", adapter])
    return report(pathlib.Path(adapter).name, got, error, want, plain)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deeper", default="target/release/deeper")
    parser.add_argument("--model")
    parser.add_argument("--adapter")
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    if args.adapter:
        good = to_peft(args.deeper, args.model, args.adapter)
    else:
        good = all([from_peft(args.deeper, adapter, args.seed) for adapter in lora.ADAPTERS])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
