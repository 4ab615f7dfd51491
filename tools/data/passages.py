"""Passages and cards to read answers from, short stories and small tasks, all with fresh names."""

from forms import articles
from medical_facts import ANSWERS
from names import person, word
from world_made_up import COLORS, PLACES, THINGS

JOBS = "baker weaver potter smith miller sailor farmer teacher painter shepherd gardener tailor cook builder guard singer".split()
PETS = "dog cat goat horse goose hen pony crow rabbit".split()
NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()


def passage(rng):
    """A few facts about fresh people, then questions whose answers stand in the text."""
    count = rng.choice([1, 2, 2, 3])
    jobs, pets = rng.sample(JOBS, count), rng.sample(PETS, count)
    people = [scene(rng, job, pet) for job, pet in zip(jobs, pets)]
    text = " ".join(rng.choice(person_[0]) for person_ in people)
    turns = []
    for _ in range(rng.choice([1, 2, 2, 3])):
        turns.append(rng.choice(rng.choice(people)[1]))
    first = f"{rng.choice(['Read this', 'Text', 'Here is a text', 'Story'])}: {text}\n{turns[0][0]}"
    out = [(first, turns[0][1])] + turns[1:]
    return "".join(f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n" for q, a in out)


def scene(rng, job, pet):
    """One person with that work and pet as (tellings, questions with answers)."""
    name, town, pet_name, good = person(rng), word(rng, 2).capitalize(), person(rng), word(rng)
    color, place, number = (rng.choice(x) for x in (COLORS, PLACES, NUMBERS[1:]))
    a_job = f"a {job}"
    tellings = [
        f"{name} is {a_job} from {town}. {name} keeps {number} {good} seeds in {place} and has a {color} {pet} called {pet_name}.",
        f"In {town} lives {a_job} called {name}. The {pet} of {name} is {color} and its name is {pet_name}. {name} has {number} {good} seeds in {place}.",
        f"{name} works in {town} as {a_job}. A {color} {pet}, {pet_name}, sleeps near {place}, where {name} keeps {number} {good} seeds.",
    ]
    questions = [
        (f"Where does {name} live?" if rng.random() < 0.5 else f"Which town is the home of {name}?", town),
        (f"What is the work of {name}?" if rng.random() < 0.5 else f"Tell me the job of {name}.", a_job),
        (f"What is the {pet} of {name} called?" if rng.random() < 0.5 else f"Can you tell me the name of the {pet}?", pet_name),
        (f"What color is {pet_name}?" if rng.random() < 0.5 else f"Do you know what color {pet_name} is?", color),
        (f"Where does {name} keep the seeds?" if rng.random() < 0.5 else f"Where are the {good} seeds?", place),
        (f"How many seeds does {name} have?" if rng.random() < 0.5 else f"How many {good} seeds are there?", number),
        (f"Who has {good} seeds?" if rng.random() < 0.5 else f"Who is {a_job}?", name),
        (f"Who has a {color} {pet}?" if rng.random() < 0.5 else f"Who lives in {town}?", name),
    ]
    return [articles(text) for text in tellings], [(articles(question), answer) for question, answer in questions]


def cards(rng):
    """People hold cards with words on them; the words of the medical answers stand here too, beside fresh names only."""
    names = [person(rng) for _ in range(rng.randint(1, 4))]
    held = {name: rng.choice(ANSWERS) if rng.random() < 0.7 else rng.choice(THINGS + PLACES) for name in names}
    telling = rng.choice(["The card of {} says: {}.", "{} has a card with the words: {}.", "On the card of {} stands: {}."])
    text = " ".join(telling.format(name, words) for name, words in held.items())
    asked = rng.choice(names)
    question = rng.choice(["What is on the card of {}?", "What does the card of {} say?", "Tell me the words of {}.", "Read the card of {}."])
    return f"{text}\n{question.format(asked)}", held[asked]


def word_list(rng):
    """Words in a row, as in a spelling book."""
    words = [rng.choice(ANSWERS) if rng.random() < 0.7 else rng.choice(THINGS) for _ in range(rng.randint(4, 10))]
    return f"{rng.choice(['Words', 'A list', 'Learn these words'])}: {', '.join(words)}.\n"


def story(rng):
    """A small story: someone wants a thing, looks for it, is helped, goes home."""
    name, friend = person(rng), person(rng)
    thing, other = rng.sample(THINGS, 2)
    start, middle, end = rng.sample(PLACES, 3)
    job, color, weather = rng.choice(JOBS), rng.choice(COLORS), rng.choice("rainy sunny windy cold warm quiet".split())
    openings = [
        f"Once there was a {job} called {name}.",
        f"{name} was a young {job} who lived by {start}.",
        f"On a {weather} day {name} the {job} went out.",
    ]
    wants = [
        f"{name} needed {thing}, but had no {thing} at home.",
        f"The {thing} had run out, and {name} wanted more.",
        f'"I must find {thing} before night," said {name}.',
    ]
    searches = [
        f"{name} looked in {start} and then in {middle}, and found only {other}.",
        f"It was a {weather} morning, and the way to {middle} was long.",
        f"Near {middle} stood a {color} door, and behind it lay {other}.",
    ]
    meets = [
        f'There {name} met {friend}. "What do you look for?" asked {friend}. "I look for {thing}," said {name}.',
        f'{friend} sat in {middle} and smiled. "If you give me {other}, I will show you where to find {thing}," said {friend}.',
        f'"Come with me," said {friend}. "We will find {thing} in {end}."',
    ]
    ends = [
        f"They went to {end} together, and they had enough {thing} for both.",
        f"In {end} they found the {thing}. {name} was glad and thanked {friend}.",
        f"So {name} came home with {thing} and told everyone about {friend}.",
    ]
    lasts = ["That night they ate and laughed.", f"From that day {name} and {friend} were friends.", "Then the sun went down and all was quiet.", ""]
    parts = (openings, wants, searches, meets, ends, lasts)
    return articles(" ".join(rng.choice(part) for part in parts)).strip() + "\n"


def task(rng):
    """A small instruction with a computed answer."""
    kind = rng.randrange(8)
    if kind == 0:
        one = word(rng)
        return rng.choice([f"Repeat the word {one}.", f"Say {one}.", f'Write "{one}" again.']), one
    if kind == 1:
        one = word(rng, 2)
        return rng.choice([f"Spell {one}.", f'Spell the word "{one}".']), "-".join(one)
    if kind == 2:
        a, b = rng.randint(1, 6), rng.randint(1, 6)
        return rng.choice([f"What is {NUMBERS[a - 1]} plus {NUMBERS[b - 1]}?", f"Add {NUMBERS[a - 1]} and {NUMBERS[b - 1]}."]), NUMBERS[a + b - 1]
    if kind == 3:
        words = [word(rng, 2) for _ in range(rng.randint(2, 4))]
        which = rng.randrange(len(words))
        order = ["first", "second", "third", "fourth"][which]
        return f"Which is the {order} word: {', '.join(words)}?", words[which]
    if kind == 4:
        words = rng.sample(THINGS, rng.randint(2, 4))
        return rng.choice([f"Say these words backwards: {', '.join(words)}.", f"Turn the list around: {', '.join(words)}."]), ", ".join(reversed(words))
    if kind == 5:
        words = rng.sample(THINGS, rng.randint(2, 6))
        return f"How many words are here: {', '.join(words)}?", NUMBERS[len(words) - 1]
    if kind == 6:
        one = rng.choice(ANSWERS)
        return rng.choice([f"Repeat: {one}.", f"Say: {one}.", f'Write "{one}" again.']), one
    one = word(rng, 2)
    return rng.choice([f"Write {one} with a capital letter.", f"Make the first letter of {one} large."]), one.capitalize()
