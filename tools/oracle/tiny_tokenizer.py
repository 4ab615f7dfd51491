"""Compares the tokenizer of the embedded model with tokenizers and transformers.

    python tools/oracle/tiny_tokenizer.py [--encode target/release/examples/encode_lines]
        [--count 10000] [--seed 7] [--file TEXT ...]

Versions: tools/oracle/requirements.txt (transformers 5.23.0, tokenizers 0.23.3).

Without --encode it writes crates/llm-train/tests/fixtures/tiny_tokenizer.json: 200 strings with the
ids that tokenizers gives them, once as text of a user and once with control tokens, and
conversations as transformers renders them with the chat template. With --encode it draws --count
fresh strings, takes the files whole, and compares every id with those of the from-scratch
tokenizer; exit code 1 where one differs.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer
from transformers import AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "output_models/deeper-tiny"
FIXTURE = ROOT / "crates/llm-train/tests/fixtures/tiny_tokenizer.json"
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>",
         "</tool_call>", "<tool_response>", "</tool_response>", "<|im_", "<think", "think>"]
WORDS = ["The capital of France is Paris.", " 347 + 85 = 432", "don't WE'LL", "\r\n\r\n", "\t x", "  ",
         "units: 7+5+0=12, carry 1: 2", '{"name": "weather", "arguments": {"city": "Rome"}}',
         "naïve café straße", "e\u0301\u200d\ufeff", "Привет, мир!", "你好，世界。", "नमस्ते", "👩‍👩‍👧🇩🇪", "½ Ⅷ ٣٤",
         "def add(a, b):\n    return a + b\n", "\u00a0x\u3000y", "\u0000\u007f\U0010ffff", "aaaaaaa"]


def draw(rng):
    """A string of random code points, pieces of words, and marks."""
    parts = []
    for _ in range(rng.randint(0, 10)):
        kind = rng.randrange(5)
        if kind == 0:
            points = [rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0xD800),
                                  rng.randrange(0xE000, 0x110000)]) for _ in range(rng.randint(1, 5))]
            parts.append("".join(map(chr, points)))
        elif kind == 1:
            parts.append(rng.choice(MARKS))
        else:
            word = rng.choice(WORDS)
            start = rng.randrange(len(word))
            parts.append(word[start:start + rng.randint(1, 12)])
    return "".join(parts)


def load():
    """One reads control tokens as tokens, the other as text."""
    template, user = (Tokenizer.from_file(str(MODEL / "tokenizer.json")) for _ in range(2))
    user.encode_special_tokens = True
    return template, user


def conversations(tokenizer):
    say = lambda role, content, **more: {"role": role, "content": content, **more}
    tool = {"type": "function", "function": {
        "name": "weather", "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": [1, 2.5, None, True]}}}
    told = [
        [say("user", "Hello!")],
        [say("system", "Be brief."), say("user", "Why?"), say("assistant", "<think>\nhm\n</think>\n\nBecause.")],
        [say("user", "1+1"), say("assistant", "<think>\n\n</think>\n\n2"), say("user", "and 1?"),
         say("assistant", "3", reasoning_content="\n2+1\n")],
        [say("user", "Weather?"), say("assistant", "", tool_calls=[call, call]), say("tool", "{\"sky\": 1}"),
         say("tool", "x"), say("assistant", "Sunny."), say("user", "Thanks"), say("assistant", "Yes.", tool_calls=[call])],
    ]
    out = []
    for messages in told:
        for options in [{}, {"add_generation_prompt": True}, {"tools": [tool, tool]},
                        {"add_generation_prompt": True, "enable_thinking": False}]:
            text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
            out.append({"messages": messages, "options": options, "text": text})
    return out


def fixture(seed):
    template, user = load()
    auto = AutoTokenizer.from_pretrained(MODEL)
    rng = random.Random(seed)
    texts = WORDS + MARKS + [draw(rng) for _ in range(200 - len(WORDS) - len(MARKS))]
    for text in texts:
        assert auto(text, add_special_tokens=False)["input_ids"] == template.encode(text, add_special_tokens=False).ids
    rows = [{"text": text, "user": user.encode(text, add_special_tokens=False).ids,
             "template": template.encode(text, add_special_tokens=False).ids} for text in texts]
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    chats = ",\n".join(json.dumps(row, ensure_ascii=True) for row in conversations(auto))
    FIXTURE.write_text(f'{{"strings": [\n{lines}\n],\n"conversations": [\n{chats}\n]}}\n')
    print(f"{len(rows)} strings, {FIXTURE.relative_to(ROOT)}")


def compare(encode, count, seed, files):
    template, user = load()
    rng = random.Random(seed)
    texts = [draw(rng) for _ in range(count)] + [pathlib.Path(file).read_text() for file in files]
    given = "".join(json.dumps(text) + "\n" for text in texts)
    wrong = 0
    for flags, theirs in [([], user), (["--special"], template)]:
        run = subprocess.run([encode, str(MODEL / "tokenizer.json"), *flags], input=given, text=True,
                             capture_output=True, check=True)
        ours = [json.loads(line) for line in run.stdout.splitlines()]
        assert len(ours) == len(texts)
        differ = [text for text, ids in zip(texts, ours) if ids != theirs.encode(text, add_special_tokens=False).ids]
        wrong += len(differ)
        tokens = sum(map(len, ours))
        print(f"{' '.join(flags) or 'as a user':10} {len(texts)} texts, {tokens} tokens, {len(differ)} differ")
        for text in differ[:3]:
            print("  ", ascii(text[:200]))
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--encode")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--file", nargs="*", default=[])
    args = parser.parse_args()
    if args.encode:
        sys.exit(1 if compare(args.encode, args.count, args.seed, args.file) else 0)
    fixture(args.seed)


main()
