//! Help that comes back, advice that was not taken, a quarrel that ends.

use super::tale::Tale;

/// An animal, its name later, its trouble, how it was freed, the hero's trouble later, and the
/// help that came back.
#[rustfmt::skip]
const RESCUED: [(&str, &str, &str, &str, &str, &str); 9] = [
    ("a swallow", "the swallow", "was caught in a net", "cut the net with a knife", "lost {his} way in the fog", "The swallow flew ahead and showed {him} the way home."),
    ("a mouse", "the mouse", "had fallen into a bucket", "lifted it out", "was locked in the shed by mistake", "The mouse bit through the rope at the door, and the door opened."),
    ("a bee", "the bee", "swam in a cup of milk", "lifted it out with a spoon", "saw a thief in the orchard", "The bee called the whole hive, and the thief ran away."),
    ("a frog", "the frog", "lay on the hot road", "carried it to the pond", "dropped a ring into the pond", "The frog dived down and brought the ring up."),
    ("a dog", "the dog", "had a thorn in its paw", "pulled the thorn out", "could not find {his} sheep", "The dog followed their tracks and drove them home."),
    ("a crow", "the crow", "hung in the fence with one wing", "set the wing free", "saw {his} hat fly onto the roof", "The crow fetched the hat and dropped it into {his} hands."),
    ("a hedgehog", "the hedgehog", "sat in a deep hole", "laid a board into the hole", "found snails on all {his} cabbages", "The hedgehog ate the snails in one night."),
    ("a kitten", "the kitten", "cried on a high branch", "fetched it down with a ladder", "heard mice in the corn", "The kitten had grown, and it chased the mice away."),
    ("a horse", "the horse", "stood deep in the mud", "pulled it out with a rope", "stood before a flooded road", "The horse carried {him} to the other side."),
];
const LATER: [&str; 6] = [
    "a week later",
    "the next day",
    "some months later",
    "when winter came",
    "three days later",
    "in the next year",
];
const GOALS: [&str; 6] = [
    "to school",
    "to the market",
    "to the well",
    "to {his} aunt",
    "home",
    "to the fair",
];

pub(super) const RESCUE_SIZES: [usize; 2] = [RESCUED.len(), LATER.len()];

pub(super) fn rescue(tale: &mut Tale<'_>, items: &[usize]) {
    let &[animal, later] = items else {
        return;
    };
    let (animal, topic, trapped, freed, trouble, returned) = RESCUED[animal];
    let named = [
        ("animal", animal),
        ("topic", topic),
        ("trapped", trapped),
        ("freed", freed),
        ("trouble", trouble),
        ("later", LATER[later]),
    ];
    named
        .into_iter()
        .for_each(|(key, text)| tale.set(key, text));
    tale.choose("goal", &GOALS);
    tale.open();
    tale.say(&[
        "{time} {he} was on the way {goal} when {he} saw {animal} that {trapped}.",
        "{time}, on the way {goal}, {hero} met {animal} that {trapped}.",
    ]);
    tale.say(&[
        "{he} was in a hurry, but {he} stopped.",
        "It was late, but {hero} did not go on.",
        "Others had walked past, but {hero} stopped.",
    ]);
    tale.say(&["{he} {freed}.", "Without a word {he} {freed}."]);
    tale.say(&[
        "\"Thank you,\" said {topic}. \"One day I will help you.\"",
        "{topic} said, \"I will not forget this.\"",
    ]);
    tale.say(&[
        "{hero} smiled and thought no more of it.",
        "\"That is nice of you,\" said {hero}, and went on.",
        "{hero} could not think how.",
    ]);
    tale.say(&["{later} {hero} {trouble}.", "But {later} {he} {trouble}."]);
    tale.say(&[
        "{he} called for help, but nobody heard it.",
        "{he} did not know what to do.",
        "There was nobody who could help.",
    ]);
    tale.say(&[
        "Then {topic} came.",
        "All at once {topic} was there.",
        "\"Now it is my turn,\" said {topic}.",
    ]);
    tale.say(&[returned]);
    tale.say(&[
        "Since then {hero} has never walked past anybody who needs help.",
        "\"So it comes back,\" said {hero}.",
        "From that day on {hero} and {topic} were friends.",
    ]);
}

/// What it is about, the advice, its reason, what was done, what came of it, the way out, and what
/// was learnt.
#[rustfmt::skip]
const WARNINGS: [(&str, &str, &str, &str, &str, &str, &str); 8] = [
    ("the ice", "Do not walk on the ice", "it is still thin", "walked out on the ice to fetch a ball", "The ice cracked, and {he} got wet up to the belt.", "held out a long branch", "tried the ice with a stick first"),
    ("the geese", "Do not leave the gate open", "the geese will run away", "forgot the gate", "All the geese ran down the road.", "called them back with a bowl of corn", "closed every gate twice"),
    ("the old tree", "Do not climb the old tree", "its branches are dry", "climbed up to look at the sea", "A branch broke, and {he} hung over the stream.", "fetched a ladder", "looked at a branch before {he} trusted it"),
    ("the cake", "Do not open the oven", "the cake must rise", "opened the oven after ten minutes", "The cake fell flat like a plate.", "helped {him} to bake a new one", "waited until the bell rang"),
    ("the storm", "Do not row out today", "a storm is coming", "rowed out because the sun was shining", "The wind rose, and the boat danced on the waves.", "followed in a big boat and pulled {him} home", "looked at the clouds before {he} took the oars"),
    ("the lamp", "Do not take the lamp into the barn", "the straw is dry", "took the lamp to look for the cat", "A spark fell, and the straw began to smoke.", "threw a wet sack on the straw", "left the lamp outside"),
    ("the secret", "Do not tell the secret", "it is a surprise", "told it to the parrot", "The parrot shouted it out of the window.", "made a new plan with a new secret", "kept what {he} had promised"),
    ("the bees", "Do not knock at the hive", "the bees are asleep", "knocked three times", "The bees came out, and {he} ran and ran.", "made smoke until they went back", "walked around the hive on tiptoe"),
];
const ELDERS: [&str; 6] = [
    "{his} grandmother",
    "{his} father",
    "the old shepherd",
    "the teacher",
    "{his} aunt",
    "the neighbour",
];

pub(super) const WARNING_SIZES: [usize; 2] = [WARNINGS.len(), ELDERS.len()];

pub(super) fn warning(tale: &mut Tale<'_>, items: &[usize]) {
    let &[warning, elder] = items else {
        return;
    };
    let (topic, advice, reason, act, result, rescue, learnt) = WARNINGS[warning];
    let named = [
        ("topic", topic),
        ("advice", advice),
        ("reason", reason),
        ("act", act),
        ("rescue", rescue),
        ("learnt", learnt),
        ("elder", ELDERS[elder]),
    ];
    named
        .into_iter()
        .for_each(|(key, text)| tale.set(key, text));
    tale.open();
    tale.say(&[
        "{time} {elder} said, \"{advice}, because {reason}.\"",
        "\"{advice},\" said {elder} {time}. \"Remember that {reason}.\"",
    ]);
    tale.say(&[
        "\"Yes, yes,\" said {hero}, but {he} was not listening.",
        "{hero} nodded and thought of something else.",
        "\"I know better,\" thought {hero}.",
    ]);
    tale.say(&[
        "As soon as {he} was alone, {he} {act}.",
        "An hour later {hero} {act}.",
    ]);
    tale.say(&[result]);
    tale.say(&[
        "\"Help!\" shouted {hero}.",
        "{he} called as loud as {he} could.",
        "Now {he} was sorry.",
    ]);
    tale.say(&[
        "Luckily {elder} came running and {rescue}.",
        "{elder} heard it and {rescue}.",
    ]);
    tale.say(&[
        "\"I should have listened,\" said {hero}.",
        "\"I am sorry,\" said {hero}.",
        "{elder} did not scold and only asked, \"What have you learnt?\"",
    ]);
    tale.say(&[
        "After that {he} always {learnt}.",
        "From that day on {hero} {learnt}.",
    ]);
}

/// A thing, the same with its article, how it broke, how it was mended, and how it was shared.
#[rustfmt::skip]
const QUARRELS: [(&str, &str, &str, &str, &str); 9] = [
    ("a sledge", "the sledge", "It tipped over, and a runner broke.", "They nailed the runner on again.", "sat on it together, one in front and one behind"),
    ("a kite", "the kite", "The string tore, and the kite flew into a tree.", "They shook the tree until the kite fell down.", "held the string in turn"),
    ("a cake", "the cake", "It fell into the dust.", "They baked another one together.", "cut it into two halves"),
    ("a ball", "the ball", "It rolled down the hill and into the stream.", "They fished it out with a rake.", "threw it to each other"),
    ("a boat", "the boat", "It turned in circles until both oars were gone.", "They found the oars in the reeds.", "rowed with one oar each"),
    ("a blanket", "the blanket", "It ripped in the middle.", "They sewed it with red thread.", "lay under it side by side"),
    ("a book", "the book", "Three pages came out.", "They glued the pages in again.", "read it aloud, one page each"),
    ("a puppet", "the puppet", "One arm came off.", "They sewed the arm on again.", "made a play with two voices"),
    ("a wagon", "the wagon", "It rolled away and lost a wheel.", "They put the wheel on again.", "pulled it in turn"),
];
const SPOTS: [&str; 8] = [
    "behind the barn",
    "at the market",
    "in the attic",
    "on the beach",
    "at the edge of the forest",
    "under the bridge",
    "beside the road",
    "in an old chest",
];
const WISE: [&str; 5] = [
    "an old man",
    "the teacher",
    "a donkey",
    "the mayor",
    "a snail",
];

pub(super) const QUARREL_SIZES: [usize; 2] = [QUARRELS.len(), SPOTS.len()];

pub(super) fn quarrel(tale: &mut Tale<'_>, items: &[usize]) {
    let &[thing, spot] = items else {
        return;
    };
    let (thing, topic, broke, mended, shared) = QUARRELS[thing];
    let named = [
        ("thing", thing),
        ("topic", topic),
        ("spot", SPOTS[spot]),
        ("shared", shared),
    ];
    named
        .into_iter()
        .for_each(|(key, text)| tale.set(key, text));
    tale.friend();
    tale.choose("wise", &WISE);
    tale.open();
    tale.say(&[
        "Next door lived {friend}.",
        "{his} neighbour was called {friend}.",
        "{he} often played with {friend}.",
    ]);
    tale.say(&[
        "{time} they found {thing} {spot}.",
        "{time}, {spot}, they saw {thing}.",
    ]);
    tale.say(&[
        "\"It is mine,\" said {hero}. \"No, I saw it first,\" said {friend}.",
        "Both wanted to have it, {hero} and {friend}.",
        "\"Give it to me,\" said {friend}. \"Never,\" said {hero}.",
    ]);
    tale.say(&[
        "They pulled at it, one on each side.",
        "Neither of them would let go.",
    ]);
    tale.say(&[broke]);
    tale.say(&[
        "Now nobody had anything, and both were sad.",
        "They stood there and were quiet.",
        "\"That is your fault,\" said both at once.",
    ]);
    tale.say(&[
        "Then {wise} came by and said, \"Half is more than nothing.\"",
        "{wise} had seen it all and said, \"Two hands can pull, and two hands can mend.\"",
    ]);
    tale.say(&[
        "{hero} looked at {friend}, and {friend} looked at {hero}.",
        "They thought about that.",
        "\"You are right,\" said {hero}.",
    ]);
    tale.say(&[mended]);
    tale.say(&[
        "From then on they {shared}.",
        "And after that they {shared}.",
    ]);
    tale.say(&[
        "It was more fun than before.",
        "\"This is better,\" said {friend}.",
        "They have been friends ever since.",
    ]);
}
