"""The made-up half of the closed world: relations over invented names, so that answers must be learned, not guessed.

The wordings have the grammar in which many reference questions are asked; the things themselves do not exist.
"""

from medical_facts import answers_of
from world_facts import EVERYDAY

# Ordinary words that serve as answers. Body words stand here as ordinary words of a house and a farm.
THINGS = """bread honey salt iron copper silver gold wood stone clay sand glass wool silk leather paper ink wax oil milk cheese butter
apples pears plums nuts corn wheat rice beans onions garlic pepper tea soup water ice snow rain wind fire smoke dust mud grass leaves
roots seeds flowers roses horses sheep goats pigs hens ducks geese dogs cats birds fish bees ants wolves bears foxes boats ships carts
wheels bells drums flutes songs stories maps books letters coins keys locks doors windows roofs walls floors lamps candles ropes nets
knives spoons cups pots pans chairs tables beds blankets hats shoes coats gloves rings stars clouds children guests travelers sailors
farmers soldiers friends strangers""".split()
PLACES = """the river; the lake; the sea; the forest; the hill; the valley; the cave; the tower; the garden; the kitchen; the cellar;
the barn; the stable; the market; the harbor; the bridge; the mill; the well; the church; the school; the upper hall; the lower hall;
the left wing; the right wing; the back room; the front yard; the inner court; the outer wall; the north gate; the south gate; the old town;
the far island; the deep mine; the high meadow; the small chapel; the long road; the middle of the room; the edge of the field""".replace("\n", " ").split("; ")
BODY = """the head; the back; the chest; the neck; the arm; the hand; the finger; the leg; the knee; the foot; the heel; the shoulder; the ear;
the eye; the nose; the mouth; the jaw; the tongue; the hair; the skin; the bone; the heart; the tail; the wing; the horn; the lower back;
the upper lip; the front leg; the brain; the blood""".replace("\n", " ").split("; ")
STATES = """red spots; dry leaves; bad dreams; loud noise; a sour taste; a bitter smell; slow growth; weak legs; cold feet; dark water; thin
milk; a short winter; a long summer; broken ice; high waves; low water; strong wind; soft wood; hard bread; empty nets; lost sheep; late
trains; rust; mold; fog; frost; floods; cracks; sleep; hunger; thirst; laughter; anger; fear; joy; silence; slow carts; a fast river; near
rain; far thunder""".replace("\n", " ").split("; ")
VERBS = "carry hold store make move catch keep join cut clean cool warm lift turn wash dry mark hide find guard feed count press mix".split()
QUALITIES = """length weight speed age color heat depth height distance; wind speed; water depth; salt in the water; sugar in the milk;
gold in the stone; air in the room; light in the hall; noise in the street; the number of birds; the age of a tree; the flow of the river""".replace("\n", " ")
QUALITIES = QUALITIES.split("; ")[0].split() + QUALITIES.split("; ")[1:]
COLORS = "red blue green yellow white black brown gray orange purple pink golden silver".split()


# Made-up relation -> relation of the medical set whose answer words it shares. The base model then knows the words, and
# what fine-tuning adds is which word answers which question.
SHARED_WORDS = {name: name for name in ("care", "maker", "job", "place", "measure", "meaning", "plain")} | {"affected": "inflamed"}
SHARED_SHARE = 0.5


def answer(rng, relation):
    """An answer of the kind that the relation asks for."""
    if relation in SHARED_WORDS and rng.random() < SHARED_SHARE:
        return rng.choice(answers_of(SHARED_WORDS[relation]))
    if relation in ("care", "maker"):
        return rng.choice(BODY) if rng.random() < 0.25 else "the " + rng.choice(THINGS)
    if relation == "place":
        return rng.choice(PLACES + BODY)
    if relation == "lack":
        return rng.choice(STATES)
    if relation == "job":
        verb, thing = rng.choice(VERBS), rng.choice(THINGS)
        return f"to {verb} {thing}" if rng.random() < 0.6 else f"to {verb} {thing} from {rng.choice(PLACES)}"
    if relation == "measure":
        return rng.choice(QUALITIES)
    if relation == "color":
        return rng.choice(COLORS)
    if relation == "affected":
        return rng.choice(BODY)
    return rng.choice(rng.choice([THINGS, COLORS, STATES, [body.split(" ", 1)[1] for body in BODY]]))


COLOR = {
    "direct": ["What color is the {}?", "Which color does the {} have?"],
    "indirect": ["what color the {} is", "which color the {} has"],
    "stem": ["The color of the {} is"],
}
AFFECTED = {
    "direct": ["Which part of the beast is hurt by {}?", "What does {} affect?", "Where does {} begin?"],
    "indirect": ["which part is hurt by {}", "what {} affects"],
    "stem": ["{} is a trouble of", "The part hurt by {} is"],
}
MEANING = {
    "direct": ['What does the old word "{}" mean?', 'What is the meaning of the old word "{}"?', 'What does "{}" stand for in the old tongue?'],
    "indirect": ['what the old word "{}" means', 'what "{}" stands for in the old tongue'],
    "stem": ['The old word "{}" means', 'In the old tongue, "{}" stands for'],
}
PLAIN = {
    "direct": ['What is the plain word for "{}"?', 'What is "{}" in plain words?', 'What do people call "{}" in the village?'],
    "indirect": ['the plain word for "{}"', 'what "{}" is in plain words'],
    "stem": ['The plain word for "{}" is', 'In plain words, "{}" is'],
}
# Relation name -> wordings; the first six share the wordings of the everyday facts.
MADE_UP = {name: EVERYDAY[name] for name in ("lack", "care", "maker", "job", "place", "measure")} | {
    "color": COLOR,
    "affected": AFFECTED,
    "meaning": MEANING,
    "plain": PLAIN,
}
