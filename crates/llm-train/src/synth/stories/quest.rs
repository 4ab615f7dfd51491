//! A wish, a way that is barred, a helper with the right tool.

use super::tale::Tale;

/// A thing, the same with its article, what it is for, and what came of it.
#[rustfmt::skip]
const WISHES: [(&str, &str, &str, &str); 12] = [
    ("some honey", "the honey", "for a cake", "The cake was sweet, and everybody had a piece."),
    ("a basket of pears", "the pears", "for {his} grandmother", "Grandmother ate the first pear and smiled."),
    ("wild flowers", "the flowers", "for {his} mother", "Mother put the flowers on the table, and the room smelled of summer."),
    ("dry wood", "the wood", "for the fire", "That night the fire was warm, and nobody was cold."),
    ("a round stone", "the stone", "for a game", "The stone rolled better than all others, and {hero} won the game."),
    ("a white feather", "the feather", "for a hat", "The hat with the feather was the finest of all."),
    ("fresh milk", "the milk", "for the kitten", "The kitten drank the milk and fell asleep."),
    ("mushrooms", "the mushrooms", "for a soup", "The soup was hot and good."),
    ("a small fir tree", "the tree", "for the winter feast", "The tree stood in the hall, full of candles."),
    ("blue clay", "the clay", "for a pot", "The pot was blue and held a whole bunch of flowers."),
    ("red berries", "the berries", "for jam", "There was jam on the bread until spring."),
    ("long reeds", "the reeds", "for a new roof", "Under the new roof the house stayed dry."),
];
const PLACES: [&str; 10] = [
    "on the far meadow",
    "behind the old mill",
    "on the island",
    "on top of the hill",
    "deep in the forest",
    "in the castle garden",
    "near the mountain hut",
    "down at the harbour",
    "in the green valley",
    "beside the silver lake",
];
/// What bars the way, the same as a thing, who helps, with what, and how.
#[rustfmt::skip]
const BARS: [(&str, &str, &str, &str, &str); 12] = [
    ("the river was deep and there was no bridge", "the river", "the fisher", "a boat", "In the boat they crossed the river."),
    ("the gate on the way was locked", "the locked gate", "the gardener", "an old key", "The key turned in the lock, and the gate opened."),
    ("the way led through a dark cave", "the dark cave", "the miller", "a bright lamp", "The lamp lit the cave from end to end."),
    ("a steep rock stood in the way", "the steep rock", "the shepherd", "a long rope", "With the rope they climbed up the rock."),
    ("leaves had covered the path", "the lost path", "the postman", "a map", "The map showed them where to turn."),
    ("it began to rain very hard", "the rain", "the tailor", "a wide cloak", "Under the cloak they stayed dry."),
    ("the cart got stuck in the mud", "the cart in the mud", "the farmer", "a strong horse", "The horse pulled the cart out of the mud."),
    ("a big dog barked and let nobody pass", "the big dog", "the butcher", "a fat sausage", "The dog took the sausage and let them pass."),
    ("thorns had grown over the path", "the thorns", "the forester", "a sharp axe", "The axe cut a way through the thorns."),
    ("an icy wind blew across the field", "the icy wind", "the weaver", "two warm coats", "In the coats they did not feel the wind."),
    ("a tree had fallen across the road", "the fallen tree", "the carpenter", "a good saw", "The saw cut the tree in two."),
    ("the bridge had lost three boards", "the broken bridge", "the builder", "three new boards", "They laid the boards on the bridge and walked across."),
];
/// What a helper asks for, and how it was done.
#[rustfmt::skip]
const FAVOURS: [(&str, &str); 6] = [
    ("carry the sacks into the barn", "carried the sacks into the barn"),
    ("feed the hens", "fed the hens"),
    ("find my hat", "looked for the hat and found it under a bench"),
    ("sweep the yard", "swept the yard"),
    ("bring in the washing", "brought in the washing"),
    ("pick the apples", "picked the apples"),
];
/// What was done for the helper long ago.
const OLD_FAVOURS: [&str; 5] = [
    "shared {his} bread with {helper}",
    "carried a heavy bag for {helper}",
    "found the lost goat of {helper}",
    "sung a song for {helper}",
    "brought {helper} a bowl of soup",
];

pub(super) const SIZES: [usize; 3] = [WISHES.len(), PLACES.len(), BARS.len()];

pub(super) fn tell(tale: &mut Tale<'_>, items: &[usize]) {
    let &[wish, place, bar] = items else {
        return;
    };
    let (thing, the, purpose, outcome) = WISHES[wish];
    let (bar, barred, helper, tool, solution) = BARS[bar];
    let where_to = PLACES[place];
    let named = [
        ("thing", thing),
        ("topic", the),
        ("purpose", purpose),
        ("outcome", outcome),
        ("where", where_to),
        ("bar", bar),
        ("barred", barred),
        ("helper", helper),
        ("tool", tool),
    ];
    named
        .into_iter()
        .for_each(|(key, text)| tale.set(key, text));
    tale.open();
    wish_for(tale);
    bargain(tale);
    tale.say(&[solution]);
    tale.say(&[
        "{where} they found {topic}.",
        "Soon they stood {where}, and there they found {topic}.",
        "At last they found {topic} {where}.",
    ]);
    tale.say(&[
        "{hero} thanked {helper} and went home.",
        "They shared what they had found, and {hero} ran home.",
        "\"Thank you,\" said {hero}, and went home happy.",
    ]);
    tale.say(&[outcome]);
    tale.say(&[
        "From that day on {hero} and {helper} were friends.",
        "And {helper} was asked to come and sit with them.",
        "{hero} never forgot who had helped.",
        "\"Two find more than one,\" said {helper}.",
    ]);
}

fn wish_for(tale: &mut Tale<'_>) {
    tale.say(&[
        "{time} {he} wanted {thing} {purpose}.",
        "{time} {hero} needed {thing} {purpose}.",
        "{he} had a wish: {thing} {purpose}.",
    ]);
    tale.say(&[
        "People said that {topic} could be found {where}.",
        "{he} knew that such things were {where}.",
        "There was nothing of that kind in the house, but {where} there was enough.",
    ]);
    tale.say(&[
        "So {hero} took a basket and set out.",
        "{he} put on {his} boots and went.",
        "\"I will be back before night,\" said {hero}, and set out.",
    ]);
    tale.say(&[
        "But {bar}.",
        "On the way {bar}.",
        "{he} had not gone far when there was trouble: {bar}.",
    ]);
    tale.say(&[
        "{hero} sat down and did not know what to do.",
        "{he} thought for a long time, but found no way.",
        "\"What now?\" said {hero}.",
    ]);
}

/// The helper comes, for a favour now or for one of long ago.
fn bargain(tale: &mut Tale<'_>) {
    tale.say(&[
        "Then {helper} came by and asked, \"Why do you look so sad?\"",
        "After a while {helper} came along the road.",
        "Not far away lived {helper}, and {hero} knocked at the door.",
    ]);
    tale.say(&[
        "{hero} told of {topic} and of {barred}.",
        "\"It is because of {barred},\" said {hero}.",
    ]);
    if tale.choices.chance(60) {
        let &(asked, done) = tale.choices.pick(&FAVOURS);
        tale.set("asked", asked);
        tale.set("done", done);
        tale.say(&[
            "\"I can help you,\" said {helper}, \"but first {asked}.\"",
            "\"If you {asked}, I will help you,\" said {helper}.",
        ]);
        tale.say(&[
            "So {hero} {done}.",
            "{hero} {done}, and it did not take long.",
        ]);
    } else {
        tale.choose("favour", &OLD_FAVOURS);
        tale.say(&[
            "{hero} had once {favour}, so {helper} was glad to help.",
            "{helper} had not forgotten that {hero} had once {favour}.",
        ]);
    }
    tale.say(&[
        "Then {helper} fetched {tool}.",
        "{helper} had {tool} and came along.",
    ]);
}
