"""Writes data/suites: three suites of 40 questions with four choices, for a very small model.

    python3 tools/data/suites.py && python3 tools/data/hashes.py

Every question is written here by hand or made by arithmetic; the right answer moves round the four
places, so that a model with a favourite place gains nothing.
"""

import json
import random
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "data" / "suites"
SEED = 7

# question: right | three wrong ones
FACTS = """
What is the opposite of "wide"?: narrow | tall | early | loud
What is the opposite of "rough"?: smooth | heavy | late | new
What is the opposite of "empty"?: full | dark | slow | near
What is the opposite of "buy"?: sell | give | walk | open
What is the opposite of "winter"?: summer | rain | night | snow
What is the opposite of "blunt"?: sharp | soft | thick | weak
What is another word for "rapid"?: fast | old | round | sweet
What is another word for "brave"?: bold | small | tired | shut
What is another word for "stone"?: rock | field | boat | coast
What is another word for "assist"?: help | stop | speak | buy
What is the young of a goat called?: a kid | a foal | a cub | a chick
What is the young of a frog called?: a tadpole | a lamb | a gosling | a calf
What is the young of a horse called?: a foal | a puppy | a kitten | a fawn
What is the young of a hen called?: a chick | a cub | a calf | a piglet
Where does a rabbit live?: a burrow | a palace | a ship | a hive
Where does a bee live?: a hive | a den | a stable | a web
Where does a king live?: a palace | a kennel | a sty | a nest
Where does a spider live?: a web | a barn | a cave | a coop
What does a potter make?: pots | shoes | bread | rings
What does a cobbler make?: shoes | flour | beer | poems
What does a weaver make?: cloth | cheese | locks | windows
What does a brewer make?: beer | houses | barrels | pictures
What does a shepherd care for?: sheep | books | pipes | stars
What does a gardener work with?: the garden | the law | the orchestra | the ship
What does a judge care for?: the law | horses | trees | wires
What is the job of the broom?: to sweep the floor | to catch fish | to dig | to fly
What is the job of the anchor?: to hold the ship | to bake | to give light | to sew
What is the job of the saw?: to cut wood | to open a lock | to write | to swim
What is the umbrella for?: to keep off the rain | to paint | to move water | to climb
What is the ladder for?: to climb | to drive nails | to call people | to store water
What does the barometer measure?: air pressure | weight | days | distance
What does the odometer measure?: distance | brightness | time | angles
What does the compass show?: direction | length | rainfall | volume
What does the calendar show?: days | speed | voltage | weight
Where does wool come from?: sheep | wheat | sand | the sea
Where does flour come from?: wheat | bees | grapes | the mine
Where does glass come from?: sand | olives | milk | cows
Where do pearls come from?: oysters | hens | cocoa beans | the clouds
What is the source of honey?: bees | hides | flax | soot
What is the source of coal?: the mine | a tree | cream | the fire
"""

WORDS = "lamp rope bread cloud stone river garden bell window ladder candle harbour wheel anchor feather basket".split()
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen".split()


def facts():
    for line in FACTS.strip().splitlines():
        query, answers = line.rsplit(": ", 1)
        right, *wrong = answers.split(" | ")
        yield query, right, wrong


def near(rng, value):
    """Three other numbers near `value`, as words."""
    others = [n for n in range(max(0, value - 4), min(len(NUMBERS), value + 5)) if n != value]
    return [NUMBERS[n] for n in rng.sample(others, 3)]


def arithmetic(rng):
    sums = [(a, b) for a in range(2, 10) for b in range(2, 10)]
    rng.shuffle(sums)
    less = rng.sample([(a, b) for a in range(2, 19) for b in range(1, a)], 10)
    after = rng.sample(range(2, len(NUMBERS)), 10)
    for index, (a, b) in enumerate(sums[:40]):
        kind = index % 4
        if kind == 0:
            query, value = f"What is {NUMBERS[a]} plus {NUMBERS[b]}?", a + b
        elif kind == 1:
            high, low = less[index // 4]
            query, value = f"What is {NUMBERS[high]} minus {NUMBERS[low]}?", high - low
        elif kind == 2:
            query, value = f"A farmer has {NUMBERS[a]} hens and buys {NUMBERS[b]} more. How many hens are there?", a + b
        else:
            value = after[index // 4]
            query = f"Which number comes after {NUMBERS[value - 1]}?"
        yield query, NUMBERS[value], near(rng, value)


def instruction(rng):
    firsts = [rng.sample(WORDS, 10) for _ in range(4)]
    for index in range(40):
        kind = index % 4
        first = firsts[kind][index // 4]
        second, third, fourth = rng.sample([word for word in WORDS if word != first], 3)
        if kind == 0:
            yield f'Repeat the word "{first}".', first, [second, third, fourth]
        elif kind == 1:
            yield f'Say only the last word of "{first} {second} {third}".', third, [first, second, fourth]
        elif kind == 2:
            right = " ".join(first)
            wrong = [" ".join(word) for word in (second, third, fourth)]
            yield f'Spell the word "{first}".', right, wrong
        else:
            yield f"Say only the first of these words: {first}, {second}, {third}.", first, [second, third, fourth]


def write(name, rows):
    rows = list(rows)
    assert len(rows) == 40 and len({query for query, _, _ in rows}) == 40, name
    lines = []
    for index, (query, right, wrong) in enumerate(rows):
        gold = (index + index // 4) % 4  # round the places within each kind of question too
        choices = wrong[:gold] + [right] + wrong[gold:]
        assert len(set(choices)) == 4, query
        lines.append(json.dumps({"query": query, "choices": choices, "gold": gold}, ensure_ascii=False))
    (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def main():
    FOLDER.mkdir(exist_ok=True)
    rng = random.Random(SEED)
    write("facts", facts())
    write("arithmetic", arithmetic(rng))
    write("instruction", instruction(rng))


if __name__ == "__main__":
    main()
