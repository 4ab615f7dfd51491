"""Writes crates/llm-bertscore/tests/fixtures: two tiny encoders and their scores by bert-score.

    python tools/oracle/metrics.py && python tools/oracle/bertscore.py     # from the repository root

A BERT with a WordPiece tokenizer and a RoBERTa with byte-level BPE, two layers of 32 channels, all
parameters drawn with a spread that makes attention matter. The texts are the pairs that metrics.py
wrote, of which the longest are cut at the context of 128 tokens.

bert-score 0.3.13 was made for transformers 4. Under version 5 it lacks one method, which is added
here, and the blank that it asks RoBERTa's tokenizer to put before a text is silently left out; the
scores under `prefix_space` are with that blank.
"""

import json
import warnings
from pathlib import Path

import bert_score
import bert_score.utils
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
PAIRS = Path("crates/llm-train/tests/fixtures/metrics/pairs.jsonl")
OUT = Path("crates/llm-bertscore/tests/fixtures")
CONTEXT = 128
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def texts():
    lines = PAIRS.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    return [row["prediction"] for row in rows], [row["reference"] for row in rows]


def bert_tokenizer(corpus):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=400, limit_alphabet=120, special_tokens=special)
    learner.train_from_iterator(corpus, trainer)
    vocab = learner.get_vocab()
    return transformers.BertTokenizer(vocab=vocab, do_lower_case=True, model_max_length=CONTEXT)


def roberta_tokenizer(corpus):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    learner.train_from_iterator(corpus, trainer)
    model = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return transformers.RobertaTokenizer(
        vocab=model["vocab"], merges=merges, model_max_length=CONTEXT
    )


def encoder(family, tokenizer):
    """A random encoder; every parameter is drawn, norms around 1."""
    torch.manual_seed(11)
    kind = {"bert": "Bert", "roberta": "Roberta"}[family]
    first = 0 if family == "bert" else tokenizer.pad_token_id + 1
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT + first,
        type_vocab_size=2 if family == "bert" else 1,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    model = getattr(transformers, f"{kind}Model")(config, add_pooling_layer=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if "LayerNorm.weight" in name else 0.0
            parameter.normal_(around, 0.3)
    return model.eval()


def empty_row(tokenizer, ids, pair=None):
    return [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]


def encode_with_blank(tokenizer, text):
    text = text.strip()
    if text == "":
        return empty_row(tokenizer, [])
    return tokenizer.encode(f" {text}", max_length=CONTEXT, truncation=True)


def score(folder, predictions, references, layers, idf=False):
    result = bert_score.score(
        predictions, references, model_type=str(folder), num_layers=layers, idf=idf, device="cpu"
    )
    return [[round(x, 7) for x in row] for row in torch.stack(result, 1).tolist()]


def main():
    predictions, references = texts()
    corpus = [text for text in predictions + references if len(text) < 300]
    expected = {}
    for family, make in [("bert", bert_tokenizer), ("roberta", roberta_tokenizer)]:
        folder = OUT / family
        tokenizer = make(corpus)
        tokenizer.save_pretrained(folder)
        encoder(family, tokenizer).save_pretrained(folder)
        loaded = type(transformers.AutoTokenizer.from_pretrained(folder))
        loaded.build_inputs_with_special_tokens = empty_row
        expected[family] = {
            "two_layers": score(folder, predictions, references, 2),
            "one_layer": score(folder, predictions, references, 1),
            "idf": score(folder, predictions, references, 2, idf=True),
        }
    bert_score.utils.sent_encode = encode_with_blank
    expected["roberta"]["prefix_space"] = score(OUT / "roberta", predictions, references, 2)
    text = json.dumps(expected, separators=(",", ":"))
    (OUT / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
