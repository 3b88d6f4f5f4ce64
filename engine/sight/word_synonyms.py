"""Everyday words by the kinds and labels that they mean, or come near to; colours and numbers."""

from typing import Final

SAME: Final[dict[str, str]] = {
    # Words that mean as much as one of the above, or as a label.
    **dict.fromkeys(
        (
            "people", "human", "someone", "somebody", "anyone", "anybody", "individual", "figure",
            "pedestrian", "visitor", "guest", "passer-by", "passerby", "everyone", "everybody",
            "nobody", "crowd", "persons", "human being", "body", "folk", "who", "intruder",
            "face", "stranger", "customer", "shopper", "passenger",
        ),
        "person",
    ),
    "bike": "bicycle", "cycle": "bicycle", "pushbike": "bicycle",
    "motorbike": "motorcycle", "scooter": "motorcycle", "moped": "motorcycle",
    "automobile": "car", "auto": "car",
    "lorry": "truck", "pick-up": "pickup",
    "plane": "airplane", "aeroplane": "airplane", "aircraft": "airplane", "jet": "airplane",
    "railway": "train", "streetcar": "tram", "trolley car": "tram",
    "cab": "taxi", "coach": "bus", "traffic": "road vehicle",
    "sofa": "couch", "settee": "couch",
    "tv": "television", "telly": "television",
    "monitor": "screen", "display": "screen",
    "mobile": "phone", "smartphone": "phone", "cellphone": "phone", "telephone": "phone",
    "mobile phone": "phone",
    "fridge": "refrigerator", "cooker": "oven", "microwave oven": "microwave",
    "rucksack": "backpack", "knapsack": "backpack", "purse": "handbag", "luggage": "bag",
    "hair dryer": "hair drier", "hairdryer": "hair drier",
    "doughnut": "donut", "hotdog": "hot dog",
    "computer mouse": "mouse", "remote control": "remote",
    "necktie": "tie", "bow tie": "tie",
    "spectacles": "glasses", "sunglasses": "glasses", "eyeglasses": "glasses",
    "pants": "trousers", "jeans": "trousers",
    "jacket": "coat", "clothing": "clothes", "garment": "clothes", "cap": "hat",
    "mug": "cup", "teacup": "cup",
    "instrument": "musical instrument",
    "pony": "horse", "kitty": "cat", "doggy": "dog", "hound": "dog",
    "cattle": "cow", "ox": "cow", "hog": "pig", "boar": "pig", "swine": "pig",
    "tortoise": "turtle", "toad": "frog", "bunny": "rabbit", "hare": "rabbit",
    "alligator": "crocodile", "bug": "insect", "moth": "butterfly", "hen": "chicken",
    "cockerel": "rooster", "raptor": "bird of prey", "buzzard": "hawk", "falcon": "hawk",
    "creature": "animal", "wildlife": "animal", "livestock": "farm animal",
    **dict.fromkeys(
        ("post box", "postbox", "letter box", "letterbox", "pillar box"), "mailbox"
    ),
    "beverage": "drink", "meal": "food", "veg": "vegetable", "veggie": "vegetable",
    "store": "shop", "supermarket": "shop",
    "soccer ball": "football",
    "handgun": "gun", "pistol": "gun", "firearm": "gun",
    "traffic signal": "traffic light", "stoplight": "traffic light",
    "hydrant": "fire hydrant", "houseplant": "potted plant", "flowerpot": "potted plant",
    "racquet": "tennis racket", "racket": "tennis racket", "ski": "skis",
    "teddy": "teddy bear", "sailboat": "sailing boat", "sailing ship": "sailing boat",
}  # fmt: skip

NARROWER: Final[dict[str, str]] = {
    # Kinds of a thing that nothing here tells from the others of it.
    **dict.fromkeys(
        (
            "man", "woman", "boy", "girl", "child", "kid", "baby", "toddler", "guy", "lady",
            "gentleman", "worker", "technician", "policeman", "police officer", "officer",
            "soldier", "player", "cyclist", "driver", "rider", "runner", "jogger", "dancer",
            "singer", "speaker", "presenter", "reporter", "teacher", "student", "doctor", "nurse",
            "chef", "cook", "waiter", "postman", "courier", "thief", "burglar", "skater",
            "skateboarder", "surfer", "skier", "swimmer", "audience", "couple", "family", "team",
            "builder", "farmer", "teenager", "adult", "employee", "cashier", "guard", "musician",
            "actor", "host", "tramp", "neighbour", "neighbor", "mother", "father", "he", "she",
            "delivery man", "mailman", "motorcyclist", "biker", "athlete", "gymnast", "hiker",
            "climber", "hand", "arm", "finger", "head", "leg", "foot", "hair",
        ),
        "person",
    ),
    "puppy": "dog", "kitten": "cat", "lamb": "sheep", "calf": "cow", "foal": "horse",
    "donkey": "horse", "chick": "chicken", "duckling": "duck", "cub": "bear",
    "pigeon": "bird", "seagull": "bird", "gull": "bird", "crow": "bird", "sparrow": "bird",
    "tit": "bird", "raven": "bird", "dove": "bird", "deer": "antelope",
    "police car": "car", "hatchback": "car", "saloon": "car", "suv": "car", "estate": "car",
    "helicopter": "airplane", "drone": "airplane", "ferry": "boat", "yacht": "boat",
    "armchair": "chair", "stool": "chair", "seat": "chair", "tablet": "screen",
    "kettle": "pot", "wheelchair": "chair",
}  # fmt: skip

COLOURS: Final[dict[str, str]] = {
    # Words for colours, by the name under which observers state them.
    "black": "black", "white": "white", "grey": "grey", "gray": "grey", "silver": "grey",
    "red": "red", "crimson": "red", "scarlet": "red", "maroon": "red", "orange": "orange",
    "yellow": "yellow", "golden": "yellow", "gold": "yellow", "blond": "yellow",
    "blonde": "yellow", "green": "green", "olive": "green", "lime": "green", "teal": "green",
    "turquoise": "blue", "cyan": "blue", "blue": "blue", "navy": "blue", "purple": "purple",
    "violet": "purple", "lilac": "purple", "magenta": "pink", "pink": "pink", "rose": "pink",
    "brown": "brown", "beige": "brown", "tan": "brown", "khaki": "brown", "cream": "white",
    "ginger": "orange",
}  # fmt: skip

NUMBERS: Final[dict[str, int]] = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10,
}  # fmt: skip
