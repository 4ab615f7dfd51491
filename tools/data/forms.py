"""How a fact is asked: the wrappers around a question, shared by both data sets of this project.

A relation gives three kinds of core wording for one fact:
  direct    a whole question               "What does a ruler measure?"
  indirect  the same as a subordinate part "what a ruler measures"
  stem      a sentence without its end     "A ruler measures"
A form is one core inside one wrapper, so that one relation with 3 + 2 + 2 cores has 3x6 + 2x6 + 2x3 forms.
"""

import re

# `{}` takes the core. The index of a wrapper is part of a form's name in the split rule: append, never reorder.
DIRECT = [
    "{}",
    "Question: {}",
    "Please answer: {}",
    "Quick question: {}",
    "{} Answer in a few words.",
    "{} Keep it short.",
]
INDIRECT = [
    "Tell me {}.",
    "Can you tell me {}?",
    "Do you know {}?",
    "I want to know {}.",
    "Please say {}.",
    "Could you say {}?",
]
STEM = [
    "Complete the sentence: {} ...",
    "Finish this: {} ...",
    "Fill in the end: {} ...",
]
# Wrappers that the fine-tuning file never uses: the "unseen wording" share of the held-out questions.
UNSEEN_DIRECT = [
    "I have a question. {}",
    "{} Thank you.",
    "Here is a question for you: {}",
]
UNSEEN_INDIRECT = [
    "I am not sure {}.",
    "Remind me {}.",
]
UNSEEN_STEM = ["How does this sentence end? {} ..."]

WRAPPERS = {"direct": DIRECT, "indirect": INDIRECT, "stem": STEM}
UNSEEN_WRAPPERS = {"direct": UNSEEN_DIRECT, "indirect": UNSEEN_INDIRECT, "stem": UNSEEN_STEM}


def forms(relation, wrappers=WRAPPERS):
    """All forms of a relation as (kind, core number, wrapper number), in a fixed order."""
    return [
        (kind, core, wrapper)
        for kind in ("direct", "indirect", "stem")
        for core in range(len(relation.get(kind, [])))
        for wrapper in range(len(wrappers[kind]))
    ]


def ask(relation, form, subject, wrappers=WRAPPERS):
    """The prompt of one fact in one form."""
    kind, core, wrapper = form
    text = articles(relation[kind][core].format(subject))
    if kind == "direct":
        text = capital(text)
    return capital(wrappers[kind][wrapper].format(text))


def articles(text):
    """`a` before a vowel letter becomes `an`; no subject of ours starts with a spoken "yoo"."""
    return re.sub(r"\b([Aa]) (?=[aeioAEIO])", r"\1n ", text)


def capital(text):
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
