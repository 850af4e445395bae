"""Which label is a kind of which other, from the AudioSet ontology.

Source: J. F. Gemmeke et al., "Audio Set: an ontology and human-labeled dataset for
audio events" (ICASSP 2017), restricted to the 200 labels of the published models, which
E. Fonseca et al. chose (arXiv 2010.00475). A label whose parent is not among them gets
the nearest ancestor that is, or none.

A label that the ontology lists below several unrelated sources implies none of them: a
hiss may come from a cat, a snake or steam. These labels are Buzz, Crack, Hiss, Knock,
Rattle, Screech, Squeak, Tap, Thump and thud, Tick, and Whoosh and swoosh and swish.
"""

import functools

# Label -> the labels of which it is a kind; only the nearest ones.
_CHILDREN: dict[str, tuple[str, ...]] = {
    "Aircraft": ("Fixed-wing aircraft and airplane",),
    "Alarm": (
        "Bicycle bell",
        "Doorbell",
        "Siren",
        "Telephone",
        "Vehicle horn and car horn and honking",
    ),
    "Animal": (
        "Domestic animals and pets",
        "Livestock and farm animals and working animals",
        "Wild animals",
    ),
    "Bell": ("Bicycle bell", "Chime", "Church bell"),
    "Bird": (
        "Bird vocalization and bird call and bird song",
        "Crow",
        "Gull and seagull",
    ),
    "Bird vocalization and bird call and bird song": ("Chirp and tweet",),
    "Brass instrument": ("Trumpet",),
    "Breathing": ("Gasp",),
    "Car": (
        "Car passing by",
        "Race car and auto racing",
        "Vehicle horn and car horn and honking",
    ),
    "Cat": ("Meow", "Purr"),
    "Chime": ("Wind chime",),
    "Clock": ("Tick-tock",),
    "Cymbal": ("Crash cymbal", "Hi-hat"),
    "Dog": ("Bark", "Growling"),
    "Domestic animals and pets": ("Cat", "Dog"),
    "Domestic sounds and home sounds": (
        "Bathtub (filling or washing)",
        "Coin (dropping)",
        "Cupboard open or close",
        "Cutlery and silverware",
        "Dishes and pots and pans",
        "Door",
        "Drawer open or close",
        "Frying (food)",
        "Keys jangling",
        "Microwave oven",
        "Packing tape and duct tape",
        "Scissors",
        "Sink (filling or washing)",
        "Toilet flush",
        "Typing",
        "Water tap and faucet",
        "Writing",
        "Zipper (clothing)",
    ),
    "Door": ("Doorbell", "Slam", "Sliding door"),
    "Drum": ("Bass drum", "Snare drum", "Tabla"),
    "Engine": ("Accelerating and revving and vroom", "Engine starting", "Idling"),
    "Explosion": ("Boom", "Fireworks", "Gunshot and gunfire"),
    "Fire": ("Crackle",),
    "Fowl": ("Chicken and rooster",),
    "Glass": ("Chink and clink", "Shatter"),
    "Guitar": ("Acoustic guitar", "Bass guitar", "Electric guitar", "Strum"),
    "Hands": ("Clapping", "Finger snapping"),
    "Human group actions": ("Applause", "Chatter", "Cheering", "Crowd"),
    "Human voice": (
        "Crying and sobbing",
        "Laughter",
        "Screaming",
        "Shout",
        "Sigh",
        "Singing",
        "Speech",
        "Whispering",
    ),
    "Insect": ("Cricket",),
    "Keyboard (musical)": ("Organ", "Piano"),
    "Laughter": ("Chuckle and chortle", "Giggle"),
    "Liquid": (
        "Boiling",
        "Drip",
        "Fill (with liquid)",
        "Pour",
        "Splash and splatter",
    ),
    "Livestock and farm animals and working animals": ("Cowbell", "Fowl"),
    "Mallet percussion": ("Glockenspiel", "Marimba and xylophone"),
    "Mechanisms": (
        "Camera",
        "Clock",
        "Mechanical fan",
        "Printer",
        "Ratchet and pawl",
    ),
    "Motor vehicle (road)": (
        "Bus",
        "Car",
        "Motorcycle",
        "Traffic noise and roadway noise",
        "Truck",
    ),
    "Music": ("Musical instrument",),
    "Musical instrument": (
        "Accordion",
        "Bell",
        "Bowed string instrument",
        "Brass instrument",
        "Harmonica",
        "Harp",
        "Keyboard (musical)",
        "Percussion",
        "Plucked string instrument",
        "Scratching (performance technique)",
        "Wind instrument and woodwind instrument",
    ),
    "Ocean": ("Waves and surf",),
    "Percussion": (
        "Cymbal",
        "Drum",
        "Drum kit",
        "Gong",
        "Mallet percussion",
        "Rattle (instrument)",
        "Tambourine",
    ),
    "Plucked string instrument": ("Guitar",),
    "Pour": ("Trickle and dribble",),
    "Power tool": ("Drill",),
    "Rail transport": ("Subway and metro and underground", "Train"),
    "Rain": ("Raindrop",),
    "Respiratory sounds": ("Breathing", "Cough", "Sneeze"),
    "Shout": ("Yell",),
    "Singing": ("Female singing", "Male singing"),
    "Speech": (
        "Child speech and kid speaking",
        "Conversation",
        "Female speech and woman speaking",
        "Male speech and man speaking",
        "Speech synthesizer",
    ),
    "Telephone": ("Ringtone",),
    "Thunderstorm": ("Thunder",),
    "Tools": ("Hammer", "Power tool", "Sawing"),
    "Typing": ("Computer keyboard", "Typewriter"),
    "Vehicle": (
        "Aircraft",
        "Bicycle",
        "Boat and Water vehicle",
        "Motor vehicle (road)",
        "Rail transport",
        "Skateboard",
    ),
    "Water": ("Gurgling", "Ocean", "Rain", "Stream"),
    "Wild animals": ("Bird", "Frog", "Insect"),
}


def parents(label: str) -> tuple[str, ...]:
    """The labels that are nearest above a label; none if the label is not known."""
    return tuple(above for above, below in _CHILDREN.items() if label in below)


@functools.cache
def descendants(label: str) -> frozenset[str]:
    """All labels that are kinds of a label, without the label itself."""
    below = _CHILDREN.get(label, ())
    return frozenset(below).union(*map(descendants, below))
