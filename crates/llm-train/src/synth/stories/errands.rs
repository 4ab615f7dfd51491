//! Things that are lost and found again, and things that break and are mended.

use super::tale::Tale;

const LOST: [&str; 10] = [
    "red scarf",
    "small key",
    "silver ring",
    "wooden horse",
    "blue cap",
    "new ball",
    "tin whistle",
    "green bag",
    "yellow glove",
    "pocket knife",
];
/// Where it was, why, and what was done against it.
#[rustfmt::skip]
const FOUND: [(&str, &str, &str); 7] = [
    ("in the grass behind the fence", "It had fallen through a hole in the pocket.", "That evening {his} mother sewed the hole shut."),
    ("high up in a tree", "The wind had carried it there.", "From then on {he} held it fast when the wind blew."),
    ("in the nest of a magpie", "The magpie loved things that shine in the sun.", "From then on {he} kept it in a box."),
    ("in the kennel of the big dog", "The dog had taken it to play with.", "So {hero} gave the dog an old shoe."),
    ("at the bottom of the boat", "It had slipped out while {he} was rowing.", "After that {he} left it at home when {he} went on the lake."),
    ("under a bench at the market", "It had dropped down when {he} paid for the bread.", "After that {he} looked under every bench before {he} went home."),
    ("in the hay of the barn", "It had stayed there when {he} slept in the hay.", "After that {he} counted {his} things after every nap."),
];
const SEERS: [(&str, &str); 8] = [
    ("a crow", "the crow"),
    ("an old cat", "the cat"),
    ("a hare", "the hare"),
    ("the watchman", "the watchman"),
    ("a sparrow", "the sparrow"),
    ("the baker", "the baker"),
    ("a goat", "the goat"),
    ("the milkmaid", "the milkmaid"),
];
const GIVERS: [&str; 5] = [
    "{his} grandfather",
    "{his} aunt",
    "{his} best friend",
    "{his} sister",
    "an old sailor",
];
/// Where one looks, and what is there instead.
#[rustfmt::skip]
const CORNERS: [(&str, &str); 8] = [
    ("under the bed", "dust"),
    ("behind the stove", "ashes"),
    ("in the well house", "spiders"),
    ("on the stairs", "old boots"),
    ("in the garden", "cabbages"),
    ("in the cellar", "potatoes"),
    ("in the cupboard", "plates"),
    ("in the attic", "empty boxes"),
];

pub(super) const LOST_SIZES: [usize; 3] = [LOST.len(), FOUND.len(), SEERS.len()];

pub(super) fn lost(tale: &mut Tale<'_>, items: &[usize]) {
    let &[thing, found, seer] = items else {
        return;
    };
    let (place, reason, remedy) = FOUND[found];
    tale.set("thing", LOST[thing]);
    tale.set("topic", "the {thing}");
    tale.set("place", place);
    let (someone, seer) = SEERS[seer];
    tale.set("someone", someone);
    tale.set("seer", seer);
    tale.choose("giver", &GIVERS);
    tale.open();
    tale.say(&[
        "{he} had a {thing} that {he} loved, because {giver} had given it to {him}.",
        "{giver} had given {him} a {thing}, and {he} loved it.",
    ]);
    tale.say(&[
        "{time} it was gone.",
        "But {time} the {thing} was gone.",
        "{time} {he} could not find it.",
    ]);
    let corners = tale.choices.several(&CORNERS, 2);
    for (key, (corner, junk)) in [("corner", "junk"), ("other", "rest")]
        .into_iter()
        .zip(corners)
    {
        tale.set(key.0, corner);
        tale.set(key.1, junk);
    }
    tale.say(&[
        "{he} looked {corner}, but there was nothing but {junk}.",
        "{corner} {he} found only {junk}.",
    ]);
    tale.say(&[
        "{he} looked {other}, but found only {rest}.",
        "{other} there was nothing but {rest}.",
    ]);
    tale.say(&[
        "Then {he} met {someone} and asked for help.",
        "In the end {he} asked {someone}.",
        "On the road {he} met {someone}. \"Have you seen my {thing}?\" asked {hero}.",
    ]);
    tale.say(&[
        "\"I saw it {place},\" said {seer}.",
        "\"Look {place},\" said {seer}.",
    ]);
    tale.say(&[
        "{hero} ran there, and there it was.",
        "And there it was, not even dirty.",
        "{he} looked, and there it lay.",
    ]);
    tale.say(&[reason]);
    tale.say(&[
        "{hero} laughed and thanked {seer}.",
        "{he} was so glad that {he} gave {seer} half of {his} bread.",
        "\"You have good eyes,\" {hero} said to {seer}.",
    ]);
    tale.say(&[remedy]);
}

/// What broke, why, what that meant, what was needed, who could mend it, and how it was then.
#[rustfmt::skip]
const BROKEN: [(&str, &str, &str, &str, &str, &str); 10] = [
    ("the roof", "a storm had torn it open", "Rain fell into the kitchen.", "new tiles", "the roofer", "Now not one drop came in."),
    ("the cart", "a wheel had hit a stone", "The hay could not be brought home.", "a new wheel", "the wheelwright", "The cart rolled again, and the hay came home before the rain."),
    ("the boat", "a rock had made a hole in it", "It sank at the bank.", "tar and a board", "the boat builder", "The boat swam like a duck."),
    ("the fence", "the goat had jumped against it", "The sheep ran out onto the road.", "long posts", "the farmer", "The sheep stayed on their meadow."),
    ("the kite", "a branch had torn it", "It fell down as soon as it rose.", "paper and glue", "the bookbinder", "The kite rose higher than the church tower."),
    ("the mill", "its belt had snapped", "There was no flour, and so there was no bread.", "strong leather", "the saddler", "The mill turned, and everything smelled of bread."),
    ("the tower clock", "rust had stopped it", "All the children came late to school.", "a can of oil", "the clockmaker", "The clock struck eight, and nobody came late."),
    ("the oven", "its door had cracked", "The bread stayed pale.", "a sheet of tin", "the smith", "The bread came out brown."),
    ("the drum", "a mouse had bitten a hole in it", "There was no dance without a drum.", "a piece of leather", "the shoemaker", "That night everybody danced."),
    ("the bridge", "the flood had taken its middle", "Nobody could get to the market.", "six oak beams", "the carpenter", "On market day everybody walked across."),
];
const EARNED: [&str; 6] = [
    "sold eggs at the market for three days",
    "washed windows for a week",
    "gathered nuts and sold them",
    "helped the baker every morning",
    "sang songs in the street",
    "carried letters from house to house",
];

/// The hero counts, too: there are few things that break.
pub(super) const BROKEN_SIZES: [usize; 2] = [BROKEN.len(), EARNED.len()];

pub(super) fn broken(tale: &mut Tale<'_>, items: &[usize]) {
    let &[thing, earned] = items else {
        return;
    };
    let (topic, cause, problem, material, worker, mended) = BROKEN[thing];
    let named = [
        ("topic", topic),
        ("cause", cause),
        ("material", material),
        ("worker", worker),
        ("earned", EARNED[earned]),
    ];
    named
        .into_iter()
        .for_each(|(key, text)| tale.set(key, text));
    tale.open();
    tale.say(&[
        "{time} {topic} was broken: {cause}.",
        "{time} {hero} saw that {topic} was broken: {cause}.",
    ]);
    tale.say(&[problem]);
    tale.say(&[
        "Everybody complained, but nobody did anything.",
        "People shook their heads and went on.",
        "\"Somebody should do something,\" people said.",
    ]);
    tale.say(&[
        "\"I will mend it,\" said {hero}.",
        "\"Then I will do it,\" said {hero}.",
        "Only {hero} did not wait.",
    ]);
    tale.say(&[
        "{he} asked {worker} what was needed.",
        "{he} went to {worker} and asked for help.",
    ]);
    tale.say(&[
        "\"We need {material},\" said {worker}.",
        "\"Bring me {material}, and I will show you how,\" said {worker}.",
    ]);
    tale.say(&[
        "{hero} had no money, so {he} {earned}.",
        "That cost money, so {hero} {earned}.",
    ]);
    tale.say(&[
        "With the money {he} bought {material}.",
        "Soon {he} could pay for {material}.",
    ]);
    tale.say(&[
        "Then {hero} and {worker} worked until evening.",
        "They worked together for two days.",
        "{worker} held the lamp, and {hero} did the work.",
    ]);
    tale.say(&[mended]);
    tale.say(&[
        "\"It was easier than to complain,\" said {hero}.",
        "Everybody thanked {hero}.",
        "And {worker} said, \"You have good hands.\"",
    ]);
}
