"""Everyday facts for the base model's text, written for this project. Nothing medical stands here.

Each relation lists subject -> answer and its core wordings, as forms.py describes them.
"""


def pairs(text):
    """`a: b; c: d` as a dict; one line holds a handful of facts."""
    return dict(part.strip().split(": ") for part in text.replace("\n", " ").split(";") if part.strip())


EVERYDAY = {
    "opposite": {
        "facts": pairs("""hot: cold; big: small; long: short; tall: low; old: new; young: old; wet: dry; full: empty; open: closed;
            up: down; left: right; day: night; early: late; good: bad; happy: sad; light: dark; loud: quiet; rich: poor; hard: soft;
            heavy: light; fast: slow; strong: weak; thick: thin; wide: narrow; clean: dirty; first: last; near: far; high: low;
            deep: shallow; sweet: sour; summer: winter; north: south; east: west; inside: outside; begin: end; give: take;
            push: pull; win: lose; buy: sell; sharp: blunt; rough: smooth; true: false; always: never; more: less"""),
        "direct": ['What is the opposite of "{}"?', 'Which word is the opposite of "{}"?'],
        "indirect": ['the opposite of "{}"', 'which word is the opposite of "{}"'],
        "stem": ['The opposite of "{}" is'],
    },
    "same": {
        "facts": pairs("""large: big; little: small; quick: fast; glad: happy; begin: start; shut: close; silent: quiet; ill-mannered: rude;
            wealthy: rich; simple: easy; difficult: hard; rapid: fast; ancient: old; chilly: cold; enormous: very big; tiny: very small;
            speak: talk; gift: present; road: street; stone: rock; boat: ship; woods: forest; shore: coast; meadow: field;
            cease: stop; assist: help; purchase: buy; wander: walk about; peculiar: strange; brave: bold; weary: tired"""),
        "direct": ['What does the word "{}" mean?', 'What is the meaning of the word "{}"?', 'What is another word for "{}"?'],
        "indirect": ['what the word "{}" means', 'the meaning of "{}"', 'the plain word for "{}"'],
        "stem": ['The word "{}" means', 'Another word for "{}" is'],
    },
    "young": {
        "facts": pairs("""dog: a puppy; cat: a kitten; cow: a calf; horse: a foal; sheep: a lamb; pig: a piglet; goat: a kid; hen: a chick;
            duck: a duckling; goose: a gosling; bear: a cub; lion: a cub; deer: a fawn; frog: a tadpole; owl: an owlet; swan: a cygnet"""),
        "direct": ["What is the young of a {} called?", "What do people call the young of a {}?"],
        "indirect": ["what the young of a {} is called", "what people call the young of a {}"],
        "stem": ["The young of a {} is called"],
    },
    "home": {
        "facts": pairs("""bee: a hive; bird: a nest; spider: a web; horse: a stable; dog: a kennel; lion: a den; rabbit: a burrow; cow: a barn;
            pig: a sty; fish: the water; hen: a coop; bear: a cave; ant: an ant hill; snail: its shell; monkey: the trees; camel: the desert;
            king: a palace; monk: a monastery; soldier: a camp; sailor: a ship; farmer: a farm"""),
        "direct": ["Where does a {} live?", "What is the home of a {}?"],
        "indirect": ["where a {} lives", "what the home of a {} is"],
        "stem": ["A {} lives in", "The home of a {} is"],
    },
    "craft": {
        "facts": pairs("""baker: bread; tailor: clothes; cobbler: shoes; carpenter: things of wood; potter: pots; weaver: cloth; smith: things of iron;
            brewer: beer; painter: pictures; writer: books; poet: poems; cook: meals; builder: houses; farmer: food; miller: flour;
            beekeeper: honey; dairyman: cheese; cooper: barrels; jeweller: rings; glazier: windows; locksmith: locks; printer: papers"""),
        "direct": ["What does a {} make?", "What is made by a {}?", "What is the work of a {}?"],
        "indirect": ["what a {} makes", "what is made by a {}"],
        "stem": ["A {} makes", "The work of a {} is to make"],
    },
    "care": {
        "facts": pairs("""shepherd: sheep; gardener: the garden; groom: horses; teacher: pupils; librarian: books; ranger: the forest; lifeguard: swimmers;
            conductor: the orchestra; captain: the ship; pilot: the plane; waiter: guests; judge: the law; banker: money; astronomer: the stars;
            geologist: rocks; botanist: plants; zoologist: animals; historian: the past; linguist: languages; meteorologist: the weather;
            economist: trade; archivist: old papers; forester: trees; plumber: pipes; electrician: wires; mechanic: engines"""),
        "direct": ["What does a {} care for?", "What is the field of a {}?", "What does a {} work with?"],
        "indirect": ["what a {} cares for", "what the field of a {} is"],
        "stem": ["A {} cares for", "The work of a {} is to care for"],
    },
    "job": {
        "facts": pairs("""knife: to cut; broom: to sweep the floor; hammer: to drive nails; needle: to sew; oven: to bake; lamp: to give light;
            key: to open a lock; cup: to hold a drink; bed: to sleep in; chair: to sit on; umbrella: to keep off the rain; rope: to tie things;
            bridge: to cross the river; roof: to keep out the rain; window: to let in light; door: to let people in; bell: to call people;
            pen: to write; brush: to paint; spade: to dig; saw: to cut wood; net: to catch fish; ladder: to climb; wheel: to turn;
            sail: to catch the wind; anchor: to hold the ship; engine: to drive the machine; valve: to stop the flow; pump: to move water;
            filter: to hold back dirt; tank: to store water; pipe: to carry water; chimney: to carry away smoke; root: to take up water;
            leaf: to catch sunlight; stem: to carry water to the leaves; wing: to fly; fin: to swim; wire: to carry power; hinge: to join door to frame"""),
        "direct": ["What is the job of the {}?", "What is the {} for?", "What is the main task of the {}?"],
        "indirect": ["what the {} is for", "what the job of the {} is"],
        "stem": ["The job of the {} is", "The main task of the {} is"],
    },
    "measure": {
        "facts": pairs("""ruler: length; clock: time; scale: weight; speedometer: speed; compass: direction; rain gauge: rainfall; calendar: days;
            odometer: distance; voltmeter: voltage; light meter: brightness; altimeter: height above the sea; barometer: air pressure;
            hourglass: short times; protractor: angles; measuring cup: volume; anemometer: wind speed; water meter: water use"""),
        "direct": ["What does the {} measure?", "What is measured with the {}?", "What does the {} show?"],
        "indirect": ["what the {} measures", "what is measured with the {}"],
        "stem": ["The {} measures", "With the {} you measure"],
    },
    "maker": {
        "facts": pairs("""honey: bees; milk: cows; wool: sheep; eggs: hens; silk: silkworms; flour: wheat; cheese: milk; butter: cream; wine: grapes;
            paper: wood; glass: sand; bread: flour; ink: soot; sugar: sugar cane; chocolate: cocoa beans; oil: olives; leather: hides; linen: flax;
            rain: the clouds; light: the sun; heat: the fire; pearls: oysters; coal: the mine; salt: the sea; steam: boiling water; rubber: a tree"""),
        "direct": ["Where does {} come from?", "What is the source of {}?", "What makes {}?"],
        "indirect": ["where {} comes from", "what makes {}", "what {} comes from"],
        "stem": ["The source of {} is", "What makes {} is"],
    },
    "place": {
        "facts": pairs("""oven: the kitchen; pillow: the bedroom; altar: the church; stage: the theater; anchor: the harbor; plow: the field;
            chalk: the classroom; saddle: the stable; book: the library; bath: the bathroom; coin: the purse; letter: the letter box;
            sand: the beach; snow: the mountains; moss: the forest; reed: the pond; cactus: the desert; throne: the palace; wine: the cellar;
            bell: the tower; judge: the court; money: the bank; train: the station; plane: the airport; goods: the shop; wheel: the cart"""),
        "direct": ["Where is the {}?", "Where do you find the {}?", "In which place is the {}?"],
        "indirect": ["where the {} is", "where you find the {}", "in which place the {} is"],
        "stem": ["You find the {} in", "The {} is in"],
    },
    "lack": {
        "facts": pairs("""rain: a drought; food: hunger; sleep: tiredness; light: darkness; money: debt; heat: cold; fuel: a dead engine; trust: quarrels;
            practice: mistakes; water in the soil: dry plants; sunlight: pale leaves; salt in the soup: a dull taste; wind: a still mill;
            order: chaos; work: boredom; company: loneliness; time: hurry; grease: a squeaking wheel; wood: a cold stove; care: rust"""),
        "direct": ["What does a lack of {} cause?", "What comes from too little {}?", "What does a lack of {} lead to?"],
        "indirect": ["what a lack of {} causes", "what comes from too little {}"],
        "stem": ["A lack of {} causes", "Too little {} leads to"],
    },
    "capital": {
        "facts": pairs("""France: Paris; Germany: Berlin; Italy: Rome; Spain: Madrid; Portugal: Lisbon; Austria: Vienna; Greece: Athens; Norway: Oslo;
            Sweden: Stockholm; Finland: Helsinki; Denmark: Copenhagen; Poland: Warsaw; Hungary: Budapest; Ireland: Dublin; Russia: Moscow;
            Japan: Tokyo; China: Beijing; India: New Delhi; Egypt: Cairo; Kenya: Nairobi; Canada: Ottawa; Cuba: Havana; Peru: Lima; Chile: Santiago;
            Iran: Tehran; Iraq: Baghdad; Thailand: Bangkok; Belgium: Brussels"""),
        "direct": ["What is the capital of {}?", "Which city is the capital of {}?"],
        "indirect": ["the capital of {}", "which city is the capital of {}"],
        "stem": ["The capital of {} is"],
    },
}
