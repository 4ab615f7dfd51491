"""Invented names from syllables: rare words that a tokenizer cuts into several pieces."""

FIRST = "b br c ch d dr f fl g gr h j k l m n p pl r s sh sk st t th tr v w z b d f l m n p r s t".split()
VOWELS = "a e i o u a e i o ea io ou".split()
LAST = "l m n r s t x nd rn".split() + [""] * 14
ENDINGS = "a o on ar el in ist or ine ix ium us ora etta ander olin eth ium ogo ium ula ment ance ty".split()


def word(rng, syllables=None):
    """One invented word of two to four syllables, lower case."""
    count = syllables or rng.choice([2, 2, 3, 3, 3, 4])
    text = "".join(rng.choice(FIRST) + rng.choice(VOWELS) + rng.choice(LAST) for _ in range(count - 1))
    return text + rng.choice(FIRST) + rng.choice(ENDINGS)


def person(rng):
    """A short capital name."""
    return word(rng, 2).capitalize()


def subject(rng, relation):
    """The thing a made-up fact is about; some have two words or a letter, as reference words do."""
    kind = rng.random()
    if kind < 0.12 and relation in ("lack", "maker", "measure"):
        return f"{word(rng, 2)} {rng.choice('ABCDEKMT')}{rng.choice(['', '', '1', '2', '3', '6', '12'])}"
    if kind < 0.25:
        first = "small large old red blue white lower upper long inner".split()
        return f"{rng.choice(first)} {word(rng, 2)}"
    return word(rng)
