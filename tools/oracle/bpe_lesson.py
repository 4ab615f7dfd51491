"""Makes the fixtures of the tokenizer lessons with tokenizers (Hugging Face) and tiktoken.

    python tools/oracle/bpe_lesson.py [--gpt2 FOLDER]

Versions: tools/oracle/requirements.txt (tokenizers 0.23.3, tiktoken 0.14.0).

Reads crates/llm-core/tests/fixtures/text/bpe_lesson.json, the tokenizer that the lesson learns from
its sentence (`cargo run --bin bpe_from_scratch -- --save FILE` writes the same bytes), and writes
beside it
  bpe_lesson_ids.json   ids of many texts under tokenizers with that file, and the merges that the
                        trainer of tokenizers learns from the sentence with its own tie rule
and in lessons/foundations/tiktoken/tests/fixtures
  ids.json              ids of the same texts under r50k_base, cl100k_base and o200k_base

Tiktoken loads its vocabularies from the net. Here they come from the crate tiktoken-rs in cargo's
registry, which carries the same files: tiktoken compares them with the SHA-256 that it knows. With
--gpt2, a folder with vocab.json and merges.txt of GPT-2, r50k_base is also compared with
tokenizers running those files; the script fails where they differ.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = ROOT / "crates/llm-core/tests/fixtures/text"
LESSON = ROOT / "lessons/foundations/tiktoken/tests/fixtures"
ENCODINGS = "https://openaipublic.blob.core.windows.net/encodings/"
NAMES = ["r50k_base", "cl100k_base", "o200k_base"]
SENTENCE = "the cat sat on the mat the cat the cat sat"
REFERENCE = "Large language models predict the next token."

TEXTS = [
    SENTENCE, REFERENCE, "", " ", "a", "aaa", "aaaa", "\n", "  \n  ", "\r\n\r\n", "\t\tx", "x   ",
    "the cats that sat", "THE CAT", "don't DON'T we'll", "3141592653589793", "1,234.56 €", "v1.2.3-rc4",
    "for i in range(10):\n    total += i\n", "fn main() { println!(\"{}\", 1 << 8); }", "a@b.org https://x.y/z?q=1",
    "naïve café Zürich straße", "Die Kinder gingen durch die stille Stadt nach Hause.",
    "बच्चे शांत शहर से होकर घर गए।", "孩子们穿过安静的小镇回家了。", "こどもたちは静かな町を通って帰った。",
    "Привет, мир!", "مرحبا بالعالم", "שלום", "🙂", "👩‍🚀🇩🇪", "e\u0301 é \u200d \ufeff", "½ ² Ⅷ ٣٤",
    "<|endoftext|>", "a<|endoftext|>b", "<|im_end|>", "\u0000\u0001\u007f", "\U0010ffff",
]


def texts():
    """Fixed texts, and shuffled pieces of them."""
    rng = random.Random(7)
    letters = [c for text in TEXTS for c in text]
    mixed = ["".join(rng.choice(letters) for _ in range(rng.randint(1, 30))) for _ in range(60)]
    cut = []
    for _ in range(60):
        pieces = [rng.choice(TEXTS) for _ in range(3)]
        cut.append("".join(piece[: rng.randint(0, 12)] for piece in pieces))
    return TEXTS + mixed + cut


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value + "\n", newline="")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def rows(items):
    return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=True) for item in items) + "\n]"


def hugging_face():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    ours = Tokenizer.from_file(str(CORE / "bpe_lesson.json"))
    ours.encode_special_tokens = True
    ids = []
    for text in texts():
        row = ours.encode(text, add_special_tokens=False).ids
        assert ours.decode(row, skip_special_tokens=False) == text, text
        ids.append({"text": text, "ids": row})
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.decoder = decoders.ByteLevel()
    trained.train_from_iterator([SENTENCE], trainers.BpeTrainer(
        vocab_size=256 + 10, min_frequency=1, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    merges = json.loads(trained.to_str())["model"]["merges"]
    value = {"tokenizers_own_merges": merges, "tokens_of_sentence": len(trained.encode(SENTENCE).ids)}
    text = json.dumps(value, ensure_ascii=True)[:-1] + ', "rows": ' + rows(ids) + "}"
    write(CORE / "bpe_lesson_ids.json", text)


def vocabularies(cache):
    """Puts the crate's vocabulary files where tiktoken looks for its downloads."""
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    folders = sorted(home.glob("registry/src/*/tiktoken-rs-*/assets"))
    if not folders:
        raise SystemExit("tiktoken-rs is not in cargo's registry; hint: cargo fetch")
    for name in NAMES:
        url = f"{ENCODINGS}{name}.tiktoken"
        shutil.copy(folders[-1] / f"{name}.tiktoken", cache / hashlib.sha1(url.encode()).hexdigest())
    os.environ["TIKTOKEN_CACHE_DIR"] = str(cache)


def tiktoken_ids(gpt2):
    with tempfile.TemporaryDirectory() as cache:
        vocabularies(pathlib.Path(cache))
        import tiktoken

        encodings = {name: tiktoken.get_encoding(name) for name in NAMES}
    out = []
    for text in texts():
        row = {"text": text}
        for name, encoding in encodings.items():
            row[name] = encoding.encode_ordinary(text)
            assert encoding.decode(row[name]) == text, text
            row[f"{name}_special"] = encoding.encode(text, allowed_special="all")
        out.append(row)
    assert out[1]["cl100k_base"] == [35353, 4221, 4211, 7168, 279, 1828, 4037, 13]
    if gpt2:
        compare_with_gpt2(gpt2, out)
    write(LESSON / "ids.json", rows(out))


def compare_with_gpt2(folder, out):
    from tokenizers import Tokenizer, models, pre_tokenizers

    model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for row in out:
        ids = tokenizer.encode(row["text"], add_special_tokens=False).ids
        assert ids == row["r50k_base"], (row["text"], ids, row["r50k_base"])
    print(f"r50k_base equals GPT-2's files under tokenizers on {len(out)} texts")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpt2", type=pathlib.Path, help="folder with GPT-2's vocab.json, merges.txt")
    arguments = parser.parse_args()
    tiktoken_ids(arguments.gpt2)
    hugging_face()


if __name__ == "__main__":
    main()
