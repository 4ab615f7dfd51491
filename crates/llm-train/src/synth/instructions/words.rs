//! Closed lists of words with their other forms.

/// One and many.
#[rustfmt::skip]
pub(super) const PLURALS: [(&str, &str); 60] = [
    ("apple", "apples"), ("baby", "babies"), ("bear", "bears"), ("bird", "birds"), ("box", "boxes"),
    ("bridge", "bridges"), ("brush", "brushes"), ("bus", "buses"), ("candle", "candles"), ("child", "children"),
    ("church", "churches"), ("city", "cities"), ("clock", "clocks"), ("cup", "cups"), ("dish", "dishes"),
    ("door", "doors"), ("farm", "farms"), ("fish", "fish"), ("flower", "flowers"), ("foot", "feet"),
    ("fox", "foxes"), ("garden", "gardens"), ("goose", "geese"), ("hat", "hats"), ("house", "houses"),
    ("island", "islands"), ("key", "keys"), ("knife", "knives"), ("ladder", "ladders"), ("lady", "ladies"),
    ("leaf", "leaves"), ("letter", "letters"), ("loaf", "loaves"), ("man", "men"), ("moon", "moons"),
    ("mouse", "mice"), ("nest", "nests"), ("orange", "oranges"), ("ox", "oxen"), ("party", "parties"),
    ("pencil", "pencils"), ("river", "rivers"), ("road", "roads"), ("sheep", "sheep"), ("shelf", "shelves"),
    ("ship", "ships"), ("shoe", "shoes"), ("star", "stars"), ("stone", "stones"), ("story", "stories"),
    ("table", "tables"), ("tooth", "teeth"), ("tree", "trees"), ("village", "villages"), ("wagon", "wagons"),
    ("wheel", "wheels"), ("window", "windows"), ("wolf", "wolves"), ("woman", "women"), ("yard", "yards"),
];

/// A verb, what it is after "she", what it was, and something it is done to.
#[rustfmt::skip]
pub(super) const VERBS: [(&str, &str, &str, &str); 44] = [
    ("break", "breaks", "broke", "a cup"), ("bring", "brings", "brought", "the bread"), ("build", "builds", "built", "a wall"),
    ("buy", "buys", "bought", "a hat"), ("carry", "carries", "carried", "a box"), ("catch", "catches", "caught", "a fish"),
    ("choose", "chooses", "chose", "a book"), ("clean", "cleans", "cleaned", "the window"), ("cook", "cooks", "cooked", "the soup"),
    ("draw", "draws", "drew", "a star"), ("drink", "drinks", "drank", "the milk"), ("drive", "drives", "drove", "the bus"),
    ("eat", "eats", "ate", "an apple"), ("find", "finds", "found", "the key"), ("fly", "flies", "flew", "a kite"),
    ("forget", "forgets", "forgot", "the name"), ("give", "gives", "gave", "a ring"), ("hear", "hears", "heard", "the bell"),
    ("help", "helps", "helped", "the baker"), ("hold", "holds", "held", "the rope"), ("keep", "keeps", "kept", "the coin"),
    ("know", "knows", "knew", "the way"), ("leave", "leaves", "left", "the house"), ("lose", "loses", "lost", "a shoe"),
    ("make", "makes", "made", "a cake"), ("meet", "meets", "met", "the king"), ("open", "opens", "opened", "the door"),
    ("paint", "paints", "painted", "the fence"), ("pay", "pays", "paid", "the miller"), ("push", "pushes", "pushed", "the wagon"),
    ("ride", "rides", "rode", "the horse"), ("see", "sees", "saw", "the moon"), ("sell", "sells", "sold", "the eggs"),
    ("send", "sends", "sent", "a letter"), ("sing", "sings", "sang", "a song"), ("take", "takes", "took", "the lamp"),
    ("teach", "teaches", "taught", "the class"), ("tell", "tells", "told", "a story"), ("throw", "throws", "threw", "the ball"),
    ("visit", "visits", "visited", "the village"), ("wash", "washes", "washed", "the dish"), ("wear", "wears", "wore", "a coat"),
    ("win", "wins", "won", "the race"), ("write", "writes", "wrote", "a letter"),
];

/// Words and their opposites, to be read both ways.
#[rustfmt::skip]
pub(super) const OPPOSITES: [(&str, &str); 28] = [
    ("big", "small"), ("hot", "cold"), ("day", "night"), ("up", "down"), ("old", "new"), ("long", "short"),
    ("light", "dark"), ("open", "closed"), ("full", "empty"), ("near", "far"), ("early", "late"), ("rich", "poor"),
    ("loud", "quiet"), ("hard", "soft"), ("wet", "dry"), ("happy", "sad"), ("strong", "weak"), ("good", "bad"),
    ("left", "right"), ("first", "last"), ("buy", "sell"), ("north", "south"), ("east", "west"), ("thick", "thin"),
    ("wide", "narrow"), ("clean", "dirty"), ("inside", "outside"), ("always", "never"),
];

/// Numbers in words, from two on.
pub(super) const TIMES: [&str; 4] = ["two", "three", "four", "five"];
