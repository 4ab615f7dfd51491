"""Writes crates/llm-train/tests/fixtures/loglikelihood.json: 51 continuations scored by transformers.

    python tools/oracle/loglikelihood.py [--harness]

The model is output_models/deeper-base, the pairs are questions of data/suites and some that are
hard to cut into tokens; with them goes the perplexity of a text in windows of 64 tokens. `--harness` also scores them with lm-eval (pip install lm-eval) and fails
unless both agree to 1e-4.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "output_models" / "deeper-base"
OUT = ROOT / "crates" / "llm-train" / "tests" / "fixtures" / "loglikelihood.json"
TOLERANCE = 1e-4
WINDOW = 64
HARD = [
    ("", "Once there was a baker."),
    ("", " the"),
    ("The opposite of hot is ", "cold"),
    ("The opposite of hot is", " cold"),
    ("A list:\n", "bread, cloth"),
    ("A list: \t ", "bread"),
    ("Café, naïve, 空気:", " é空"),
    ("hot", "house"),
    ("<|im_start|>user", "<|im_end|>"),
    ("the hill was long and the way was cold. " * 40, " Once there was a farmer."),
]


def pairs():
    """Fifty-one contexts with continuations."""
    rows = []
    for file in sorted((ROOT / "data" / "suites").glob("*.jsonl")):
        rows.append([json.loads(line) for line in file.read_text().splitlines()])
    found = []
    for index in range(14):
        for suite in rows:
            row = suite[(index * 3) % len(suite)]
            found.append((row["query"], " " + row["choices"][index % 4]))
    return found[: 51 - len(HARD)] + HARD


def encode(tokenizer, text):
    """Ids of plain text: no special token is added, and none is read."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def cut(tokenizer, context, continuation):
    """Context and continuation as tokens, as lm-eval cuts them for causal models."""
    if not context:
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return [first], encode(tokenizer, continuation)
    bare = context.rstrip()
    whole = encode(tokenizer, bare + context[len(bare):] + continuation)
    before = encode(tokenizer, bare)
    return before, whole[len(before):]


def score(model, before, after, longest):
    ids = (before + after)[-(longest + 1):]
    with torch.no_grad():
        logits = model(torch.tensor([ids[:-1]])).logits[0].double()
    log_p = torch.log_softmax(logits, -1)[-len(after):]
    return float(log_p.gather(-1, torch.tensor(after)[:, None]).sum())


def perplexity(tokenizer, model, text, window):
    """Of one document: each token but the first is predicted once, from at most `window` before it."""
    ids = encode(tokenizer, text) + [tokenizer.convert_tokens_to_ids("<|endoftext|>")]
    nats = 0.0
    for start in range(0, len(ids) - 1, window):
        part = ids[start : start + window + 1]
        nats -= score(model, part[:1], part[1:], window)
    return math.exp(nats / (len(ids) - 1))


def harness(found, scores):
    """Fails unless lm-eval scores the pairs alike (it reads special tokens in text, so those are left out)."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(BASE), dtype="float32", device="cpu", batch_size=1)
    kept = [index for index, (context, _) in enumerate(found) if "<|" not in context]
    requests = [Instance("loglikelihood", {}, found[index], 0) for index in kept]
    theirs = [log_p for log_p, _ in model.loglikelihood(requests)]
    worst = max(abs(scores[index] - value) for index, value in zip(kept, theirs))
    print(f"{len(kept)} pairs by lm-eval: largest difference {worst:.1e}")
    assert worst <= TOLERANCE, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--harness", action="store_true")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
    longest = model.config.max_position_embeddings
    found, cases, scores = pairs(), [], []
    for context, continuation in found:
        before, after = cut(tokenizer, context, continuation)
        scores.append(score(model, before, after, longest))
        cases.append(
            {
                "context": context,
                "continuation": continuation,
                "tokens": [len(before), len(after)],
                "log_likelihood": scores[-1],
            }
        )
    assert len(cases) == 51  # 50 for lm-eval, and one that it reads otherwise
    text = "\n".join(context + continuation for context, continuation in found[:-1]) + "\n"
    whole = {"pairs": cases, "text": text, "window": WINDOW, "perplexity": perplexity(tokenizer, model, text, WINDOW)}
    OUT.write_text(json.dumps(whole, ensure_ascii=False, indent=0) + "\n")
    if args.harness:
        harness(found, scores)


if __name__ == "__main__":
    main()
