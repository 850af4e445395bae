"""Lists the sounds that are rendered, with their true labels."""

from training.recipes.added import ADDED, ADDED_CALIBRATION
from training.recipes.recipe import FEW_NOTES, KIT_PIECES, Recipe, recorded
from training.recipes.sources import (
    DrumKit,
    Drums,
    Effects,
    Instrument,
    Preset,
    Signal,
    Speech,
    Style,
)


def _gm(*programs: int) -> tuple[Preset, ...]:
    return tuple((0, program) for program in programs)


def _instrument(
    label: str,
    presets: tuple[Preset, ...],
    low: int,
    high: int,
    style: Style,
    *,
    name: str = "",
    unknown: tuple[str, ...] = (),
) -> Recipe:
    source = Instrument(presets, low, high, style)
    return Recipe(name or _slug(label), source, (label,), unknown)


def _drums(label: str, *keys: int, unknown: tuple[str, ...] = ()) -> Recipe:
    return Recipe(_slug(label), Drums(keys), (label,), unknown)


def _effect(label: str, *presets: Preset, unknown: tuple[str, ...] = ()) -> Recipe:
    return Recipe(_slug(label), Effects(presets), (label,), unknown)


def _slug(label: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in label.lower()).split()
    return "_".join(words)


_TUNED_BARS = ("Mallet percussion", "Glockenspiel", "Bell", "Chime")
_BEAT = ("Percussion", "Musical instrument", "Music")
_VOICE = ("Male speech and man speaking", "Female speech and woman speaking")
_GUITARS = ("Acoustic guitar", "Electric guitar", "Strum")
_CAR_NOISE = ("Engine", "Motor vehicle (road)", "Car", "Vehicle")

INSTRUMENTS = (
    _instrument("Piano", _gm(0, 1, 2, 3, 4, 5), 28, 96, "poly"),
    _instrument("Organ", (*_gm(16, 17, 18, 19, 20), (8, 16), (8, 19)), 36, 84, "poly"),
    _instrument("Keyboard (musical)", (*_gm(6, 7), (8, 6)), 36, 84, "poly"),
    _instrument("Accordion", (*_gm(21, 23), (8, 21)), 45, 84, "poly"),
    _instrument("Harmonica", _gm(22), 55, 86, "mono"),
    _instrument("Acoustic guitar", (*_gm(24, 25), (8, 25)), 40, 79, "pick"),
    _instrument("Electric guitar", (*_gm(26, 27, 28, 29, 30), (8, 28)), 40, 80, "pick"),
    Recipe(
        "strum",
        Instrument((*_gm(24, 25), (8, 25)), 40, 76, "strum"),
        ("Strum", "Acoustic guitar"),
    ),
    _instrument("Bass guitar", _gm(33, 34, 35, 36, 37), 26, 55, "mono"),
    _instrument("Bowed string instrument", _gm(40, 41, 42, 110), 36, 91, "sustain"),
    _instrument(
        "Bowed string instrument",
        (*_gm(43, 44, 48, 49), (8, 40)),
        36,
        91,
        "poly",
        name="string_section",
    ),
    _instrument("Harp", _gm(46), 36, 90, "arpeggio"),
    _instrument(
        "Plucked string instrument",
        (*_gm(104, 105, 106, 107), (8, 24), (16, 25)),
        45,
        80,
        "pick",
    ),
    _instrument("Trumpet", _gm(56, 59), 54, 84, "mono"),
    _instrument("Brass instrument", _gm(57, 58, 60), 34, 74, "mono"),
    _instrument("Brass instrument", _gm(61), 36, 79, "poly", name="brass_section"),
    _instrument(
        "Wind instrument and woodwind instrument",
        _gm(64, 65, 66, 67, 68, 69, 70, 71),
        45,
        86,
        "sustain",
        name="reeds",
    ),
    _instrument(
        "Wind instrument and woodwind instrument",
        _gm(72, 73, 74, 75, 77, 79),
        60,
        96,
        "sustain",
        name="flutes",
    ),
    _instrument("Glockenspiel", _gm(9), 72, 104, "strokes", unknown=("Bell", "Chime")),
    _instrument("Marimba and xylophone", _gm(12, 13), 48, 96, "strokes"),
    _instrument("Mallet percussion", _gm(11, 114), 53, 89, "strokes"),
    _instrument("Bell", _gm(14, 112), 55, 86, "strokes", unknown=("Church bell",)),
    _instrument("Church bell", ((8, 14),), 48, 76, "strokes"),
    _instrument("Drum", _gm(47, 116, 117), 38, 64, "strokes", name="timpani_taiko"),
    _instrument(
        "Singing",
        _gm(52, 53),
        45,
        80,
        "poly",
        unknown=("Music", "Musical instrument"),
    ),
    _instrument(
        "Musical instrument",
        _gm(80, 81, 84, 86, 87, 88, 89, 90, 93, 95, 98, 100, 103),
        40,
        84,
        "poly",
        name="synthesizers",
        unknown=("Keyboard (musical)", "Bell", "Chime", "Organ"),
    ),
    _instrument(
        "Musical instrument",
        _gm(8, 10, 108, 15),
        55,
        90,
        "poly",
        name="tuned_boxes",
        unknown=(*_TUNED_BARS, "Keyboard (musical)", "Plucked string instrument"),
    ),
    _instrument("Musical instrument", _gm(109), 50, 80, "sustain", name="bagpipe"),
    _instrument(
        "Percussion",
        (*_gm(113, 115), (8, 115)),
        50,
        84,
        "strokes",
        name="wood_and_agogo",
        unknown=("Cowbell", "Bell"),
    ),
)

PERCUSSION = (
    _drums("Drum", 41, 43, 45, 47, 48, 50, 60, 61, 62, 63, 64, 78, 79, 86, 87),
    _drums("Bass drum", 35, 36),
    _drums("Snare drum", 38, 40),
    _drums("Hi-hat", 42, 44, 46),
    _drums("Crash cymbal", 49, 57, 55),
    _drums("Cymbal", 51, 53, 59, 52),
    _drums("Tambourine", 54),
    _drums("Cowbell", 56),
    _drums("Rattle (instrument)", 69, 70, 82),
    _drums("Percussion", 73, 74, 75, 76, 77, 80, 81, 65, 66, 37),
    _drums("Chime", 84, unknown=("Wind chime",)),
    _drums("Clapping", 39, unknown=_BEAT),
    _drums("Scratching (performance technique)", 29, 30),
    Recipe(
        "drum_kit",
        DrumKit(),
        ("Drum kit", "Bass drum", "Snare drum", "Hi-hat"),
        ("Crash cymbal",),
        2.0,
    ),
)

EFFECTS = (
    _effect("Applause", (0, 126), unknown=("Clapping", "Hands")),
    _effect("Gunshot and gunfire", (0, 127), (1, 127)),
    _effect("Explosion", (3, 127)),
    _effect("Aircraft", (0, 125), (7, 125), unknown=("Engine",)),
    _effect("Telephone", (0, 124), (1, 124), unknown=("Bell",)),
    _effect("Chirp and tweet", (0, 123), (3, 123)),
    _effect("Waves and surf", (0, 122)),
    _effect("Rain", (1, 122)),
    _effect("Thunder", (2, 122), unknown=("Rain", "Water")),
    _effect("Wind", (3, 122)),
    _effect("Stream", (4, 122)),
    _effect("Bark", (1, 123)),
    Recipe(
        "horse_gallop",
        Effects(((2, 123),)),
        ("Livestock and farm animals and working animals",),
        ("Domestic animals and pets", "Walk and footsteps"),
    ),
    _effect("Laughter", (1, 126)),
    _effect("Screaming", (2, 126)),
    Recipe("car_engine", Effects(((1, 125),)), ("Engine", "Car")),
    Recipe("car_stop_crash", Effects(((2, 125), (4, 125))), ("Car",), ("Engine",)),
    _effect("Car passing by", (3, 125), unknown=("Engine",)),
    _effect("Siren", (5, 125), unknown=_CAR_NOISE),
    _effect("Train", (6, 125)),
    _effect("Walk and footsteps", (5, 126)),
    _effect("Slam", (3, 124)),
    _effect("Squeak", (2, 124)),
    _effect("Wind chime", (5, 124)),
)

SPEECH = (
    Recipe(
        "male_speech",
        Speech("male"),
        ("Male speech and man speaking",),
        ("Speech synthesizer",),
        3.0,
    ),
    Recipe(
        "female_speech",
        Speech("female"),
        ("Female speech and woman speaking",),
        ("Speech synthesizer",),
        3.0,
    ),
    Recipe("speech_synthesizer", Speech("robot"), ("Speech synthesizer",), _VOICE),
    Recipe("whispering", Speech("whisper"), ("Whispering",), ("Speech", *_VOICE)),
    Recipe(
        "chatter",
        Speech("crowd"),
        ("Chatter", "Crowd"),
        ("Human voice", "Speech", "Speech synthesizer", *_VOICE),
    ),
)

SIGNALS = (
    Recipe("electronic_siren", Signal("siren"), ("Siren",), _CAR_NOISE),
    Recipe("dial_tones", Signal("dial_tones"), ("Telephone",)),
    Recipe("coloured_noise", Signal("coloured_noise"), (), weight=2.0),
    Recipe("hum", Signal("hum"), ()),
    Recipe("silence", Signal("silence"), (), weight=0.5),
    Recipe("clicks", Signal("clicks"), (), weight=0.5),
    Recipe("sweeps", Signal("sweeps"), ()),
)

_ANIMAL = ("Wild animals", "Domestic animals and pets")
_UTTERED = ("Screaming", "Laughter", "Singing", "Whispering", "Speech", *_VOICE)

RECORDINGS = (
    recorded("guns", "Gunshot and gunfire", weight=1.5),
    recorded("explosions", "Explosion", weight=1.5),
    recorded("footsteps", "Walk and footsteps", weight=1.5),
    recorded("doors", "Door", unknown=("Slam", "Squeak")),
    recorded("thunder", "Thunder", unknown=("Rain", "Water", "Wind")),
    recorded("wind", "Wind"),
    recorded(
        "running_water",
        "Water",
        unknown=("Stream", "Rain", "Waves and surf"),
    ),
    recorded("trains", "Train", unknown=("Engine", "Alarm")),
    recorded("aircraft", "Aircraft", unknown=("Engine",)),
    recorded("road_vehicles", "Motor vehicle (road)", unknown=("Engine", "Car")),
    recorded("diesel", "Engine", unknown=("Engine", "Car")),
    recorded("applause", "Applause", unknown=("Clapping", "Hands", "Crowd")),
    recorded("laughter", "Laughter"),
    recorded("screams", "Screaming"),
    recorded("cries", "Human voice", unknown=_UTTERED),
    recorded("barks", "Bark"),
    recorded("songbirds", "Chirp and tweet"),
    recorded("organs", "Organ", weight=FEW_NOTES),
    recorded("pianos", "Piano", weight=FEW_NOTES),
    recorded("guitars", "Acoustic guitar", unknown=("Strum",), weight=FEW_NOTES),
    recorded("steel_guitars", "Guitar", unknown=_GUITARS, weight=FEW_NOTES),
    recorded("bass_guitars", "Bass guitar", weight=FEW_NOTES),
    recorded("bowed_strings", "Bowed string instrument", weight=FEW_NOTES),
    recorded("woodwinds", "Wind instrument and woodwind instrument", weight=FEW_NOTES),
    recorded("trumpets", "Trumpet", weight=FEW_NOTES),
    recorded("bass_drums", "Bass drum", weight=FEW_NOTES),
    recorded("snare_drums", "Snare drum", weight=FEW_NOTES),
    recorded("hi_hats", "Hi-hat", weight=FEW_NOTES),
    recorded("crash_cymbals", "Crash cymbal", weight=FEW_NOTES),
    recorded("ride_cymbals", "Cymbal", weight=FEW_NOTES),
    recorded("tom_toms", "Drum", weight=FEW_NOTES),
    recorded("shakers", "Rattle (instrument)", weight=FEW_NOTES),
    recorded("drum_loops", "Drum kit", unknown=KIT_PIECES, weight=FEW_NOTES),
    recorded(
        "animals",
        unknown=(*_ANIMAL, "Livestock and farm animals and working animals"),
        weight=3.0,
    ),
    recorded("birds", unknown=("Chirp and tweet", *_ANIMAL)),
    recorded("monsters", unknown=("Human voice", "Animal"), weight=1.5),
    recorded("machines", unknown=("Engine", "Vehicle")),
    recorded("impacts", unknown=("Door",), weight=2.5),
)

# Sounds of animals, monsters and games that are not trained on. All labels but the
# unknown ones are false for them.
CALIBRATION = (
    recorded(
        "strange",
        unknown=(
            *("Bass drum", "Bell", "Alarm", "Explosion", "Water", "Human voice"),
            *("Walk and footsteps", *_ANIMAL),
        ),
    ),
)

RECIPES: tuple[Recipe, ...] = (
    *INSTRUMENTS,
    *PERCUSSION,
    *EFFECTS,
    *SPEECH,
    *SIGNALS,
    *RECORDINGS,
)
# Each of these labels has one recording by one maker, which all the soundfonts share. A
# network learns this recording and not the kind of sound. The sounds are still trained
# on, for their other labels (water, a door) and for the labels that they do not have.
NOT_CLAIMED = (
    "Car",
    "Car passing by",
    "Livestock and farm animals and working animals",
    "Ocean",
    "Rain",
    "Scratching (performance technique)",
    "Slam",
    "Squeak",
    "Stream",
    "Waves and surf",
    "Wind chime",
)
# The labels that a model knows. The second phase of training adds sounds of these
# labels, but no further labels.
TRAINED_LABELS: tuple[str, ...] = tuple(
    sorted({name for r in RECIPES for name in r.all_labels} - {*NOT_CLAIMED})
)
ALL_RECIPES = (*RECIPES, *ADDED, *CALIBRATION, *ADDED_CALIBRATION)
