"""Writes crates/llm-train/tests/fixtures/metrics: 200 pairs of texts and their scores.

    python tools/oracle/metrics.py        # from the repository root

ROUGE by rouge-score, BLEU by sacrebleu, F1 by torchmetrics' version of SQuAD's script, exact match
and Jaccard by a line of Python each. References are sentences over a small vocabulary in several
scripts, with everything that tokenizers treat specially; predictions are made from them by random
edits. Also the loss of the bundled model on a text by transformers, in f32 and in f64.
"""

import json
import random
from pathlib import Path

import sacrebleu
import torch
import transformers
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU
from torchmetrics.functional.text.squad import _compute_f1_score

OUT = Path("crates/llm-train/tests/fixtures/metrics")
MODEL = "output_models/deeper-base"
TEXT = Path("data/base/heldout.txt")
SEED = 20261127
ROWS = 200

PLAIN = """the a an cat dog river mountain quickly slowly house under over between model learns
 token rain snow seven walks ran blue green of to and or not it's don't well-known state-of-the-art
 e.g. U.S. Mr. A.M. The An A COLD Warm""".split()
ACCENTED = "café naïve Über straße façade señor Ångström coöperate jalapeño İstanbul ĲSSEL ǅ".split()
COMBINING = ["cafe\u0301", "a\u0301", "n\u0303o", "I\u0307", "e\u0301te\u0301"]
SCRIPTS = "日本語 猫が好き 你好世界 한국어 привет ΜΕΓΑΣ Σίσυφος مرحبا שלום नमस्ते ไทย".split()
EMOJI = ["😀", "👩‍💻", "🇫🇷", "❤️", "…", "—", "«mot»", "“quoted”", "’", "\u212a\u212b", "ﬁne", "Ⅷ", "½", "²"]
NUMBERS = "1,000 1,234.56 3.14 10-20 5- -7 2nd 1.2.3 99% $5.00 1,2,3 0.5. .5 ７８ ٣٤ 1e-5".split()
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
ENTITIES = ["&quot;", "&amp;", "&lt;b&gt;", "&amp;lt;", "&nbsp;", "<skipped>", "&AMP;", "&#39;"]
GLUE = [" ", " ", " ", " ", " ", " ", "  ", "", "\t", "\n", "-\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u001c", "\u200b", ", ", ". ", ".", ","]
KINDS = [PLAIN, PLAIN, PLAIN, ACCENTED, COMBINING, SCRIPTS, EMOJI, NUMBERS, MARKS, ENTITIES]


def sentence(rng, words):
    """Random words with random glue; every fifth sentence is plain English."""
    kinds = [PLAIN] if rng.random() < 0.2 else KINDS
    parts = []
    for _ in range(words):
        parts += [rng.choice(rng.choice(kinds)), rng.choice(GLUE) if kinds is KINDS else " "]
    return "".join(parts)


def edited(rng, text, rate):
    """`text` with words dropped, doubled, swapped, replaced or in other case."""
    words = text.split(" ")
    out = []
    for word in words:
        if rng.random() > rate:
            out.append(word)
            continue
        edit = rng.randrange(6)
        if edit == 1:
            out += [word, word]
        elif edit == 2:
            out.insert(max(len(out) - 1, 0), word)
        elif edit == 3:
            out.append(rng.choice(rng.choice(KINDS)))
        elif edit == 4:
            out.append(rng.choice([word.upper(), word.lower(), word.title()]))
        elif edit == 5:
            out.append(word + rng.choice(MARKS))
    return " ".join(out)


def draw(rng, index):
    """One pair; the first ones are the corners."""
    corners = [
        ("", "the cat"), (" \n\t", "the cat"), ("the cat", "the cat"), ("", ""), ("the", ""),
        ("the a an", "a"), (" The cat. ", "the cat"), ("one two three", "one two three"),
        ("日本語", "日本語"), ("!!!", "!!!"), ("&amp;lt;", "<"), ("1,000-2.", "1,000 - 2 ."),
    ]
    if index < len(corners):
        return corners[index]
    words = rng.choice([1, 2, 3, 5, 8, 13, 21, 34] + ([400] if index % 40 == 0 else []))
    reference = sentence(rng, words)
    if rng.random() < 0.1:
        return rng.choice([(reference, reference), (f" {reference}\n", reference), ("", reference)])
    if rng.random() < 0.1:
        return sentence(rng, words), reference
    return edited(rng, reference, rng.choice([0.05, 0.2, 0.5])), reference


def squad_f1(prediction, reference):
    return float(_compute_f1_score(prediction, reference))


def jaccard(a, b):
    a, b = set(a.lower().split()), set(b.lower().split())
    return len(a & b) / len(a | b) if a | b else 1.0


def scores(pairs):
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    rows = []
    for prediction, reference in pairs:
        rouge = scorer.score(reference, prediction)
        rows.append({
            "exact_match": float(prediction.strip() == reference.strip()),
            "f1": squad_f1(prediction, reference),
            "jaccard": jaccard(prediction, reference),
            **{name: list(rouge[name]) for name in rouge},
            "sentence_bleu": sacrebleu.sentence_bleu(prediction, [reference]).score,
        })
    return rows


def corpus(pairs, rows):
    mean = lambda value: sum(map(value, rows)) / len(rows)
    bleu = BLEU().corpus_score([p for p, _ in pairs], [[r for _, r in pairs]])
    return {
        **{name: mean(lambda row: row[name]) for name in ["exact_match", "f1", "jaccard"]},
        **{name: mean(lambda row: row[name][2]) for name in ["rouge1", "rouge2", "rougeL"]},
        "bleu": bleu.score,
        "matches": bleu.counts,
        "totals": bleu.totals,
        "lengths": [bleu.sys_len, bleu.ref_len],
    }


def perplexity():
    """The loss of the bundled model on the start of the held-out text."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    text = TEXT.read_text(encoding="utf-8")[:700]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) <= 256
    result = {"text": text, "ids": ids}
    for name, dtype in [("f32", torch.float32), ("f64", torch.float64)]:
        model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=dtype)
        row = torch.tensor([ids])
        with torch.no_grad():
            result[name] = model(row, labels=row).loss.item()
    return result


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (OUT / name).write_text(text + "\n", encoding="utf-8")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    pairs = [draw(rng, index) for index in range(ROWS)]
    lines = [json.dumps({"prediction": p, "reference": r}, ensure_ascii=False) for p, r in pairs]
    (OUT / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = scores(pairs)
    write("expected.json", {"corpus": corpus(pairs, rows), "rows": rows})
    write("perplexity.json", perplexity())


if __name__ == "__main__":
    main()
