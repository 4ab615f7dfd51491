"""Writes crates/llm-core/tests/fixtures/logits: 13 small random models of each family.

    python tools/oracle/logits.py [--seed 1] [--per-family 13]

A case is a config.json, a seed for formula.py, token ids and the logits of some positions by
transformers (eager attention) in float32 and in float64.
"""

import argparse

import numpy as np
import torch

import configs
import fixtures
import reference


def check_window(model, config, ids):
    """Fails unless transformers really hides the keys behind the sliding window."""
    window = config.get("sliding_window")
    if not window:
        return
    with torch.no_grad():
        out = model(torch.tensor([ids]), use_cache=False, output_attentions=True)
    first = config.get("max_window_layers", 0)
    for layer, attention in enumerate(out.attentions):
        most = window if layer >= first else len(ids)
        expected = [min(position + 1, most) for position in range(len(ids))]
        read = (attention[0] > 0).sum(-1)
        assert read.tolist() == [expected] * attention.shape[1], "the window is not applied"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-family", type=int, default=13)
    args = parser.parse_args()
    cases, tensors, worst = [], {}, 0.0
    for family in configs.FAMILIES:
        for index in range(args.per_family):
            case = configs.case(family, index, args.seed)
            config, ids = case["config"], case["ids"]
            narrow, wide, model = reference.both(config, case["seed"], ids)
            check_window(model, config, ids)
            case["positions"] = fixtures.positions(config, len(ids))
            case["tensors"] = reference.shapes(model)
            tensors[f"{case['name']}.f32"] = narrow[case["positions"]]
            tensors[f"{case['name']}.f64"] = wide[case["positions"]]
            worst = max(worst, float(np.abs(narrow - wide).max()))
            cases.append(case)
    fixtures.write("logits", cases, tensors)
    print(f"transformers' own float32 error against float64: {worst:.1e}")


if __name__ == "__main__":
    main()
