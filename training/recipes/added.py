"""Lists the sounds that the second phase of training adds, with their true labels.

The sounds are effects that soundfonts have only one recording of (here made by formula
or recorded by other makers), instruments recorded by other makers, and more sounds
without a label.
"""

from training.recipes.recipe import FEW_NOTES, KIT_PIECES, Recipe, made, recorded
from training.recipes.sources import Signal

_STRUCK = ("Percussion", "Bell", "Chime", "Cowbell", "Door", "Slam")
_MADE = (
    made("thunder", "Thunder", unknown=("Rain", "Wind", "Explosion")),
    made("wind", "Wind"),
    made("waves", "Waves and surf"),
    made("rain", "Rain", unknown=("Stream",)),
    made("stream", "Stream", unknown=("Rain",)),
    made("engine", "Engine", unknown=("Car", "Aircraft", "Train")),
    made("propeller", "Aircraft", unknown=("Engine",)),
    made("jet", "Aircraft", unknown=("Engine",)),
    made("gunshots", "Gunshot and gunfire"),
    made("explosions", "Explosion"),
    made("footsteps", "Walk and footsteps"),
    made("train", "Train", unknown=("Engine",)),
    made("machinery", unknown=("Engine",), weight=2.0),
    made("motors", unknown=("Engine",), weight=1.5),
    made("calls", unknown=("Animal", "Chirp and tweet", "Bark"), weight=2.0),
    made("hoots", unknown=("Animal", "Chirp and tweet", "Bark"), weight=2.0),
    made("swooshes", unknown=("Wind",), weight=1.5),
    made("bleeps", unknown=("Music", "Musical instrument", "Alarm"), weight=1.5),
    made("friction", unknown=("Squeak", "Scratching (performance technique)")),
    made("impacts", unknown=_STRUCK, weight=2.0),
)
_CROWD = ("Cheering", "Applause", "Clapping", "Chatter", "Shout", "Yell")
_SPOKEN = ("Male speech and man speaking", "Female speech and woman speaking")
_UTTERED = (
    *("Screaming", "Laughter", "Singing", "Whispering", "Shout", "Yell"),
    *_SPOKEN,
)
_CATTLE = "Livestock and farm animals and working animals"
_BEASTS = ("Wild animals", "Domestic animals and pets", "Bark")
_RECORDED = (
    recorded("more_guns", "Gunshot and gunfire"),
    recorded("more_explosions", "Explosion", unknown=("Gunshot and gunfire",)),
    recorded("more_thunder", "Thunder", unknown=("Rain", "Wind")),
    recorded("more_rain", "Rain", unknown=("Stream", "Thunder", "Wind")),
    recorded("surf", "Waves and surf", unknown=("Wind",)),
    recorded(
        "more_running_water", "Water", unknown=("Stream", "Rain", "Waves and surf")
    ),
    recorded("splashes", unknown=("Water",)),
    recorded("fires", unknown=("Wind",)),
    recorded("more_trains", "Train", unknown=("Engine", "Alarm", "Bell")),
    recorded(
        "locomotives",
        "Vehicle",
        unknown=("Train", "Engine", "Motor vehicle (road)", "Alarm"),
    ),
    recorded("more_aircraft", "Aircraft", unknown=("Engine",)),
    recorded("cars", "Car", "Engine"),
    recorded(
        "more_road_vehicles",
        "Motor vehicle (road)",
        unknown=("Engine", "Car passing by", "Alarm"),
    ),
    recorded("more_engines", "Engine", unknown=("Car",)),
    recorded("more_doors", "Door", unknown=("Slam", "Squeak")),
    recorded("more_footsteps", "Walk and footsteps"),
    recorded("crowds", "Crowd", unknown=_CROWD),
    recorded("more_laughter", "Laughter"),
    recorded("more_screams", "Screaming"),
    recorded("more_voices", "Human voice", unknown=_UTTERED),
    recorded(
        "livestock",
        _CATTLE,
        unknown=("Walk and footsteps", "Domestic animals and pets"),
    ),
    recorded("more_songbirds", "Chirp and tweet"),
    recorded("more_birds", unknown=("Chirp and tweet",)),
    recorded("more_barks", "Bark"),
    recorded("coughs", unknown=_UTTERED),
    recorded("gulls", unknown=("Chirp and tweet", "Waves and surf")),
    recorded("frogs", "Wild animals", unknown=("Water",)),
    recorded("more_animals", unknown=(*_BEASTS, "Chirp and tweet")),
    recorded("beasts", unknown=(*_BEASTS, "Chirp and tweet", _CATTLE), weight=3.0),
    recorded("owls", unknown=("Wild animals", "Chirp and tweet"), weight=2.0),
    recorded("more_monsters", unknown=("Human voice", "Animal"), weight=1.5),
    recorded(
        "more_machines",
        unknown=("Engine", "Car", "Aircraft", "Alarm", "Bell", "Water", "Door"),
        weight=2.0,
    ),
    recorded(
        "works",
        unknown=(
            *("Engine", "Aircraft", "Motor vehicle (road)", "Walk and footsteps"),
            *("Percussion", "Bell", "Slam", "Squeak", "Explosion"),
            "Gunshot and gunfire",
        ),
        weight=2.0,
    ),
    recorded(
        "more_impacts",
        unknown=("Slam", "Squeak", "Aircraft", "Engine", "Percussion", "Bell"),
        weight=2.0,
    ),
    recorded(
        "game_sounds",
        unknown=("Drum", "Music", "Alarm", "Engine", "Vehicle", "Speech synthesizer"),
        weight=1.5,
    ),
)
_PLAYED = (
    recorded("singers", "Singing", unknown=("Music",)),
    recorded("more_pianos", "Piano", weight=FEW_NOTES),
    recorded("more_organs", "Organ", weight=FEW_NOTES),
    recorded("accordions", "Accordion", weight=FEW_NOTES),
    recorded("harmonicas", "Harmonica", weight=FEW_NOTES),
    recorded(
        "more_guitars",
        "Guitar",
        unknown=("Acoustic guitar", "Electric guitar", "Strum"),
        weight=FEW_NOTES,
    ),
    recorded("electric_guitars", "Electric guitar", weight=FEW_NOTES),
    recorded("harps", "Harp", weight=FEW_NOTES),
    recorded("plucked_strings", "Plucked string instrument", weight=FEW_NOTES),
    recorded("more_bowed_strings", "Bowed string instrument"),
    recorded("more_woodwinds", "Wind instrument and woodwind instrument"),
    recorded("more_trumpets", "Trumpet", weight=FEW_NOTES),
    recorded("natural_horns", "Brass instrument", weight=FEW_NOTES),
    recorded("more_cymbals", "Cymbal", unknown=("Crash cymbal",), weight=FEW_NOTES),
    recorded("more_drums", "Drum", unknown=("Bass drum",), weight=FEW_NOTES),
    recorded("more_shakers", "Rattle (instrument)", weight=FEW_NOTES),
    recorded("more_drum_kits", "Drum kit", unknown=KIT_PIECES, weight=FEW_NOTES),
    recorded(
        "xylophones",
        "Marimba and xylophone",
        unknown=("Glockenspiel",),
        weight=FEW_NOTES,
    ),
    recorded("tolling", "Bell", unknown=("Church bell", "Chime"), weight=FEW_NOTES),
)
ADDED = (*_MADE, *_RECORDED, *_PLAYED)
# Sounds that are not trained on, like `training.recipes.rendered.CALIBRATION`.
ADDED_CALIBRATION = (
    recorded(
        "further_strange",
        unknown=("Bass drum", "Alarm", "Explosion", "Gunshot and gunfire", "Water"),
    ),
    # Some of these are cartoon sounds that people may have made with their voices.
    recorded(
        "further_animals",
        unknown=(*_BEASTS, "Chirp and tweet", _CATTLE, *_SPOKEN, "Speech synthesizer"),
    ),
    recorded(
        "further_machines",
        unknown=(
            *("Engine", "Aircraft", "Car", "Motor vehicle (road)", "Vehicle"),
            *("Alarm", "Bell", "Percussion", "Explosion"),
        ),
    ),
    # Other clips of this noise are trained on.
    Recipe("further_noise", Signal("coloured_noise"), ()),
)
