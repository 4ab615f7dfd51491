"""Writes the base model's text, data/base/train.txt and data/base/heldout.txt, from one seed.

    python3 tools/data/base_text.py [--seed 7] [--bytes 1700000]

A closed world in simple English: everyday facts (world_facts.py), made-up facts (world_made_up.py) that exist nowhere
else, passages with fresh names to read answers from, short stories, small tasks. Documents end with <|endoftext|>;
exchanges stand in the chat template's form. No subject of the medical set stands here; the words of its answers do, with
made-up subjects and on cards.

Held out: one wording in twelve of each fact, and fresh passages, stories and tasks.
"""

import argparse
import random
from pathlib import Path

import passages
from forms import UNSEEN_WRAPPERS, WRAPPERS, articles, ask, capital, forms
from names import subject
from world_facts import EVERYDAY
from world_made_up import MADE_UP, answer

FOLDER = Path(__file__).resolve().parents[2] / "data" / "base"
FACTS_PER_RELATION = 50
HELDOUT_SHARE = 12
END = "<|endoftext|>\n"
# The base meets every wrapper, so that a wrapper alone is never what a fine-tuned model stumbles over.
ALL_WRAPPERS = {kind: WRAPPERS[kind] + UNSEEN_WRAPPERS[kind] for kind in WRAPPERS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bytes", type=int, default=1_700_000, help="size of the training text")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    train, heldout = split(rng, facts(rng))
    args.out.mkdir(parents=True, exist_ok=True)
    for file, deck, size in (("train.txt", train, args.bytes), ("heldout.txt", heldout, args.bytes // 15)):
        text = write(rng, deck, size)
        (args.out / file).write_text(text)
        print(f"{args.out / file}: {len(text.encode()):,} bytes")


def facts(rng):
    """All facts of the world as (relation, subject, answer)."""
    world = [(relation, s, a) for relation in EVERYDAY.values() for s, a in relation["facts"].items()]
    for name, relation in MADE_UP.items():
        world += [(relation, subject(rng, name), answer(rng, name)) for _ in range(FACTS_PER_RELATION)]
    return world


def split(rng, world):
    """Questions of training and held-out text: each (fact, form) is in one of them."""
    train, heldout = [], []
    for relation, subject_, answer_ in world:
        wordings = forms(relation, ALL_WRAPPERS)
        rng.shuffle(wordings)
        held = max(1, len(wordings) // HELDOUT_SHARE)
        for number, form in enumerate(wordings):
            question = (ask(relation, form, subject_, ALL_WRAPPERS), answer_, relation, subject_)
            (heldout if number < held else train).append(question)
    return train, heldout


def write(rng, questions, size):
    """Documents of all kinds, about `size` bytes; the questions are dealt evenly before any comes twice."""
    deck, parts, total = [], [], 0
    while total < size:
        kind = rng.random()
        if kind < 0.60:
            document = talk(rng, [draw(rng, deck, questions) for _ in range(rng.choice([1, 1, 1, 2, 3]))])
        elif kind < 0.68:
            document = statements(rng, [draw(rng, deck, questions) for _ in range(rng.randint(2, 5))])
        elif kind < 0.78:
            document = passages.passage(rng)
        elif kind < 0.85:
            document = chat([passages.cards(rng)])
        elif kind < 0.88:
            document = passages.word_list(rng)
        elif kind < 0.94:
            document = passages.story(rng)
        else:
            document = chat([passages.task(rng)])
        parts.append(document + END)
        total += len(parts[-1].encode())
    return "".join(parts)


def draw(rng, deck, questions):
    """The next question of a shuffled deck, refilled when empty."""
    if not deck:
        deck += questions
        rng.shuffle(deck)
    return deck.pop()


def talk(rng, asked):
    """One exchange or a few in a row about the facts of the world."""
    return chat([(question, answer_) for question, answer_, _, _ in asked])


def statements(rng, asked):
    """The facts as plain sentences."""
    sentences = []
    for _, answer_, relation, subject_ in asked:
        stem = articles(rng.choice(relation["stem"]).format(subject_))
        sentences.append(capital(f"{stem} {answer_}."))
    return " ".join(sentences) + "\n"


def chat(turns):
    """Turns in the chat template's form."""
    return "".join(
        f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer_}<|im_end|>\n" for question, answer_ in turns
    )


if __name__ == "__main__":
    main()
