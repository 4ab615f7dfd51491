"""Writes data/medical/train.jsonl and data/medical/heldout.jsonl from the facts of medical_facts.py.

    python3 tools/data/medical_qa.py [--seed 7]

The split rule (also in data/README.md): each fact has TRAIN_FORMS wordings in the training file. Its held-out rows are
  combination  a wording that other facts of the relation have in training, this fact has not;
  wording      a core sentence or a wrapper that no fact has in training.
No prompt stands in both files, compared in NFKC, lower case, with white space collapsed.
"""

import argparse
import json
import random
import unicodedata
from pathlib import Path

from forms import UNSEEN_WRAPPERS, WRAPPERS, ask, forms
from medical_facts import RELATIONS

TRAIN_FORMS = 7
FOLDER = Path(__file__).resolve().parents[2] / "data" / "medical"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    train, heldout = [], []
    for name, relation in RELATIONS.items():
        trained = deal(rng, name, relation, train)
        hold_out(rng, name, relation, trained, heldout)
    check(train, heldout)
    rng.shuffle(train)
    rng.shuffle(heldout)
    args.out.mkdir(parents=True, exist_ok=True)
    for file, rows in (("train.jsonl", train), ("heldout.jsonl", heldout)):
        (args.out / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{args.out / file}: {len(rows)} rows")


def deal(rng, name, relation, rows):
    """Gives each fact its training forms, dealt like cards so that every form is used about equally often."""
    deck, trained = [], {}
    for subject, answer in relation["facts"].items():
        mine = []
        while len(mine) < TRAIN_FORMS:
            if not deck:
                deck = forms(relation)
                rng.shuffle(deck)
            # A form that this fact already has goes back under the deck.
            form = deck.pop()
            if form in mine:
                deck.insert(0, form)
            else:
                mine.append(form)
        trained[subject] = mine
        rows += [row(name, "train", ask(relation, form, subject), answer) for form in mine]
    return trained


def hold_out(rng, name, relation, trained, rows):
    """One unseen combination for each fact, and unseen wording for every other fact in turn."""
    unseen_cores = {"facts": relation["facts"], **relation["unseen"]}
    for number, (subject, answer) in enumerate(relation["facts"].items()):
        others = sorted({form for other, mine in trained.items() if other != subject for form in mine})
        form = rng.choice([form for form in others if form not in trained[subject]])
        rows.append(row(name, "combination", ask(relation, form, subject), answer))
        if number % 2 == 0:
            form = rng.choice(forms(unseen_cores))
            rows.append(row(name, "wording", ask(unseen_cores, form, subject), answer))
        elif number % 4 == 1:
            form = rng.choice(forms(relation, UNSEEN_WRAPPERS))
            rows.append(row(name, "wording", ask(relation, form, subject, UNSEEN_WRAPPERS), answer))


def row(relation, kind, prompt, completion):
    return {"prompt": prompt, "completion": completion, "relation": relation, "kind": kind}


def check(train, heldout):
    """Refuses to write a leaking or an ambiguous set."""
    seen, held = [{key(r): r["completion"] for r in rows} for rows in (train, heldout)]
    leak = seen.keys() & held.keys()
    assert not leak, f"prompts in both files: {sorted(leak)[:3]}"
    assert len(seen) == len(train) and len(held) == len(heldout), "a prompt stands twice in one file"
    unknown = {r["completion"] for r in heldout} - {r["completion"] for r in train}
    assert not unknown, f"answers never trained: {unknown}"


def key(row):
    """The prompt as the leak check compares it."""
    return " ".join(unicodedata.normalize("NFKC", row["prompt"]).lower().split())


if __name__ == "__main__":
    main()
