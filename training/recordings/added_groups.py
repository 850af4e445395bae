"""Lists the recordings that the second phase of training adds, in groups of one kind.

`training.recipes.added` has the labels of the groups. None of these packages is used in
`groups.py` or by the held-out recordings (`held_out.py`).
"""

import pathlib

from training.recordings.archives import Archive
from training.recordings.groups import Patterns

_GAMES = pathlib.Path("/usr/share/games")

# Only sounds by the makers of Scorched 3D. Its mod "apoc" is left out, because it has
# sounds "from various sources on the net".
SCORCHED = Archive("scorched3d-data", _GAMES / "scorched3d/data/globalmods/none/data")
RESCUE = Archive("searchandrescue-data", _GAMES / "searchandrescue/sounds")
LINCITY = Archive("lincity-ng-data", _GAMES / "lincity-ng/sounds")
SIMUTRANS = Archive("simutrans-pak64", _GAMES / "simutrans/pak/sound")
BTANKS = Archive("btanks-data", _GAMES / "btanks/data/sounds")
HOMEDECOR = Archive("minetest-mod-homedecor", _GAMES / "minetest/mods/homedecor")
STORMBAAN = Archive("stormbaancoureur-data", _GAMES / "stormbaancoureur/sounds")
WORDWARVI = Archive("wordwarvi-sound", pathlib.Path("/usr/share/wordwarvi/sounds"))
SCRATCH = Archive("scratch", pathlib.Path("/usr/share/scratch/Media/Sounds"))
# Sounds that Widelands' list of sources (wl-sound-docu.csv) attributes to Freesound are
# left out: Freesound is the source of FSD50K, and the model must not be trained on
# sounds that may score it. Its farm animals are left out, too: the horse is a held-out
# recording, and perhaps the sheep.
WIDELANDS = Archive("widelands-data", _GAMES / "widelands/data/sound")
MEGAGLEST = Archive("megaglest-data", _GAMES / "megaglest/techs/megapack")
FLARE = Archive("flare-game", _GAMES / "flare/mods/fantasycore/soundfx")
INVENTORY = Archive(
    "minetest-mod-unified-inventory", _GAMES / "minetest/mods/unified_inventory"
)
QABCS = Archive("qabcs-data", pathlib.Path("/usr/share/qabcs/abcs/all/noises"))
LUGARU = Archive("lugaru-data", _GAMES / "lugaru/Sounds")
# Packages for calibration only.
BZFLAG = Archive("bzflag-data", _GAMES / "bzflag")
TUXTYPE = Archive("tuxtype-data", pathlib.Path("/usr/share/tuxtype/sounds"))
PEKKA = Archive("pekka-kana-2-data", _GAMES / "pekka-kana-2/data")
PLEE = Archive("plee-the-bear-data", _GAMES / "plee-the-bear/sound")
BRAINPARTY = Archive("brainparty-data", _GAMES / "brainparty")
TRACKBALLS = Archive("trackballs-data", _GAMES / "trackballs/sfx")
BOSWARS = Archive("boswars-data", _GAMES / "boswars/units")
NETPANZER = Archive("netpanzer-data", _GAMES / "netpanzer/sound")
CRRCSIM = Archive("crrcsim-data", _GAMES / "crrcsim/sounds")

# LinCity names its files after things on the map and not after sounds. Files whose
# names do not tell the sound are left out.
ADDED_GROUPS: dict[str, Patterns] = {
    "more_guns": {BTANKS: ("cannon[1-4]", "machinegunner-bullet")},
    "more_explosions": {
        SCORCHED: (
            *("wav/explosions/small", "wav/explosions/medium", "wav/explosions/large"),
            *("wav/explosions/xlarge", "wav/explosions/tank"),
        ),
        BTANKS: (
            *("explosion", "building-explosion[1-3]", "vehicle-explosion*"),
            *("nuke-explosion", "old-nuke-explosion"),
        ),
        SIMUTRANS: ("explosion",),
        LINCITY: ("RocketExplosion1",),
    },
    "more_thunder": {SCORCHED: ("wav/misc/thunder*",), RESCUE: ("thunder_*",)},
    "more_rain": {SCORCHED: ("wav/misc/rain",)},
    "surf": {SCORCHED: ("wav/misc/oceanwaves",)},
    "more_running_water": {
        SIMUTRANS: ("Water",),
        HOMEDECOR: ("*/homedecor_faucet", "*/homedecor_shower"),
        SCRATCH: ("Effects/WaterRunning",),
    },
    "splashes": {
        SCORCHED: ("wav/misc/splash",),
        RESCUE: ("splash_*",),
        SCRATCH: ("Effects/Bubbles", "Effects/Plunge", "Effects/WaterDrop"),
    },
    "fires": {HOMEDECOR: ("*/fire_small",), LINCITY: ("Fire[1-3]",)},
    "more_trains": {
        BTANKS: ("train",),
        LINCITY: ("RailTrain[1-3]",),
        QABCS: ("train",),
    },
    "locomotives": {SIMUTRANS: ("diesel", "steam")},
    "more_aircraft": {
        SCORCHED: (
            *("wav/misc/apache_1", "wav/misc/f1[68]_[12]", "wav/misc/jet"),
            "wav/misc/t38",
        ),
        RESCUE: (
            *("helicopter_engine_*", "jet_engine_*", "hh60/engine_*"),
            "hh65/engine_*",
        ),
        BTANKS: ("helicopter",),
        SIMUTRANS: ("comet-jet", "planelow"),
        QABCS: ("airplane", "helicopter"),
    },
    "cars": {STORMBAAN: ("camaro_s16_le",), BTANKS: ("engine-car",)},
    "more_road_vehicles": {
        SIMUTRANS: ("bus", "truck"),
        # CoalMine2 is the same file as Tip2, which LinCity's makers now call
        # TruckEngine.
        LINCITY: ("CoalMine2", "TraficHigh[1-3]"),
        SCRATCH: ("Effects/CarPassing", "Effects/MotorcyclePassing"),
    },
    "more_engines": {BTANKS: ("engine-start", "engine-vehicle", "tank-move")},
    "more_doors": {
        HOMEDECOR: ("*/homedecor_door_close", "*/homedecor_door_open"),
        SCRATCH: ("Effects/DoorClose", "Effects/DoorCreak"),
    },
    "more_footsteps": {BTANKS: ("man-steps",), SCRATCH: ("Human/Footsteps-[12]",)},
    "crowds": {LINCITY: ("SportsCroud[1-3]",)},
    "more_laughter": {BTANKS: ("laugh0[12]",), SCRATCH: ("Human/Laugh-*",)},
    "more_screams": {
        BTANKS: ("kamikaze-scream",),
        WORDWARVI: ("fallingscreamhi",),
        SCRATCH: ("Human/Scream-*",),
    },
    "more_voices": {
        WORDWARVI: (
            *("aaaah_it_burns", "abducted", "help_*_here", "hohoho*", "ooooof"),
            *("nice_bank_shot", "ow_my_spine", "UseTheSource", "woohoo", "yay_santa"),
        ),
        SCRATCH: (
            *("Human/BabyCry", "Vocals/Come-and-play", "Vocals/Doy-doy-doy"),
            *("Vocals/Got-inspiration", "Vocals/Hey-yay-hey", "Vocals/Join-us"),
            *("Vocals/Oooo-badada", "Vocals/Ya"),
        ),
    },
    "singers": {SCRATCH: ("Vocals/Sing-me-a-song", "Vocals/Singer[12]")},
    "coughs": {SCRATCH: ("Human/Cough-*", "Human/Slurp", "Human/Sneeze-*")},
    "more_barks": {SCRATCH: ("Animal/Dog[12]",)},
    "livestock": {
        BTANKS: ("cow",),
        SIMUTRANS: ("horse",),
        SCRATCH: ("Animal/Duck", "Animal/Goose", "Animal/Horse", "Animal/Rooster"),
    },
    "more_songbirds": {SCORCHED: ("wav/misc/birdchirp[1-6]",)},
    "more_birds": {
        SCORCHED: ("wav/misc/birds[12]",),
        SCRATCH: ("Animal/Bird",),
        WIDELANDS: ("animals/bird*",),
        QABCS: (
            *("adjutant", "albatross", "bird", "booby", "crane", "crow", "emu"),
            *("flamingo", "guinea_fowl", "heron", "iora", "pelican", "pheasant"),
            *("quail", "quetzal", "sparrow", "stork", "vulture", "wood_grouse"),
        ),
    },
    "gulls": {
        SCORCHED: ("wav/misc/gull[1245]",),
        SIMUTRANS: ("seagulls",),
        # Water2 is the same file as Harbor3, which LinCity's makers now call Seagulls.
        LINCITY: ("Water2",),
    },
    "frogs": {
        SCORCHED: ("wav/misc/frogs",),
        WIDELANDS: ("animals/frog",),
        QABCS: ("frog",),
    },
    "more_animals": {
        SCORCHED: ("wav/misc/bats[1-3]", "wav/misc/wolf"),
        SCRATCH: (
            *("Animal/Cat", "Animal/Cricket*", "Animal/Kitten", "Animal/Meow"),
            *("Animal/SeaLion", "Animal/WolfHowl"),
        ),
        WIDELANDS: ("animals/crickets*", "animals/wolf_*"),
    },
    "more_monsters": {BTANKS: ("slime-*", "worm-*", "zombie*")},
    "more_machines": {
        LINCITY: (
            *("IndustryHigh[1-3]", "IndustryLight[1-3]", "PowerLine1", "PowerSolar1"),
            *("Substation*", "WindMillHTech2"),
        ),
        SIMUTRANS: ("boat-horn", "buzzsaw", "crossing", "jackhammer"),
        RESCUE: ("air_brake_out", "flap_down", "flir_*", "gear_*"),
        HOMEDECOR: ("*/homedecor_toilet_flush", "*/toaster"),
        SCORCHED: ("wav/battery/battery", "wav/misc/camera"),
        SCRATCH: ("Effects/SewingMachine", "Effects/Typing"),
        WIDELANDS: ("mill/mill_turning_*", "sawmill/*", "smiths/sharpening"),
        QABCS: ("camera_lens", "clock", "excavator", "quadrocopter", "tractor"),
    },
    "more_impacts": {
        WORDWARVI: (
            *("metalbang[1-8]", "stonebang[1-8]", "bodyslam", "clang", "flak_hit"),
            *("new_ground_smack", "toyota_celica_cardoor_sample", "us_quarter"),
        ),
        RESCUE: ("crash_*", "door_close", "land_*", "thud_*"),
        SCORCHED: ("wav/explosions/crunch", "wav/explosions/gloop", "wav/shield/hit*"),
        SIMUTRANS: ("cash", "gavel", "tree-cutting"),
        HOMEDECOR: ("*/homedecor_gate_open_close", "*/insert_coin"),
        SCRATCH: ("Effects/Pop", "Human/FingerSnap"),
        WIDELANDS: (
            *("hammering/*", "other/falling_tools_*", "smiths/smith_*"),
            *("smiths/toolsmith_*", "stonecutting/*", "woodcutting/*"),
        ),
        QABCS: (
            *("chalkboard", "dice", "jump_rope", "newspaper", "pen", "rubber_ball"),
            *("skateboard", "zipline", "zipper"),
        ),
    },
    "game_sounds": {
        BTANKS: ("boomerang-*", "menu/*", "respawn", "taking-item-*", "teleport"),
        WORDWARVI: (
            *("gunwheel_sound", "radar_*", "synthetic_laser", "tesla_tower", "zzzt"),
            "timpani_boing",
        ),
        SCORCHED: (
            *("wav/misc/beep*", "wav/misc/laserdeath", "wav/misc/play"),
            *("wav/misc/teleport", "wav/misc/text", "wav/movement/*"),
            *("wav/shield/activ*", "wav/shoot/laser*"),
        ),
        SCRATCH: ("Electronic/*",),
    },
    "beasts": {
        MEGAGLEST: (
            *("*/bee[1-4]", "*/chicken*", "*/bull_*", "*/cow_*", "*/eagle_*"),
            *("*/ele[1-5]", "*/pig_*", "*/sheep*", "!*_attack*", "!*_hit*"),
            "*/snake_attack*",
        ),
        FLARE: (
            *("enemies/antlion_*", "enemies/minotaur_*", "enemies/wyvern_*"),
            "environment/raven_loop",
        ),
        LUGARU: ("Growl*", "Hawk", "Rabbit*", "Snarl*"),
        QABCS: (
            *("bear", "calf", "cat", "chimpanzee", "chinchilla", "cow", "deer"),
            *("dolphin", "duck", "elephant", "ferret", "foal", "giant_panda"),
            *("giraffe", "goose", "grasshopper", "hamster", "hedgehog", "horse"),
            *("hyena", "jaguar", "jerboa", "koala", "lion", "little_monkey"),
            *("lynx", "moose", "mouse", "otter", "pig", "porcupine", "python"),
            *("raccoon", "rhinoceros", "rooster", "sheep", "squirrel", "tiger"),
            *("wallaby", "whale", "wolf", "yak", "zebra"),
        ),
    },
    "owls": {
        SCRATCH: ("Animal/Owl",),
        FLARE: ("environment/forest_owl_loop",),
        INVENTORY: ("*/owl",),
        QABCS: ("eagle-owl", "owl"),
    },
    "works": {
        MEGAGLEST: (
            *("*/airship_*", "*/machine_*", "*/orni_*", "*/catapult_*"),
            *("*/initiate_harvest*", "*/technician_mine*", "*/worker_*mine*"),
            *("*/worker_harvest_wood*", "*/anvil*"),
        ),
    },
    "more_pianos": {QABCS: ("grand_piano", "piano")},
    "more_organs": {QABCS: ("hand_organ", "organ")},
    "accordions": {QABCS: ("accordion",)},
    "harmonicas": {QABCS: ("harmonica",)},
    "more_guitars": {
        SCRATCH: ("Instruments/GuitarStrum", "Music Loops/GuitarChords*"),
        QABCS: ("guitar",),
    },
    "electric_guitars": {QABCS: ("electric_guitar",)},
    "harps": {QABCS: ("harp",)},
    "plucked_strings": {
        SCRATCH: ("Instruments/StringPluck", "Instruments/Tambura"),
        QABCS: ("lute", "topshuur", "ukulele", "yueqin", "zither"),
    },
    "more_bowed_strings": {
        QABCS: ("cello", "erhu", "gamba", "rabel", "violin", "youhikko")
    },
    "more_woodwinds": {
        QABCS: (
            *("clarinet", "dulzaina", "flute", "ney", "oboe", "quena", "recorder"),
            *("saxophone", "washint", "western_concert_flute", "xun", "zhaleyka"),
            "zurna",
        )
    },
    "more_trumpets": {SCRATCH: ("Instruments/Trumpet[12]",), QABCS: ("trumpet",)},
    "natural_horns": {QABCS: ("natural_horn",)},
    "more_cymbals": {
        SCRATCH: ("Percussion/CymbalCrash", "Percussion/RideCymbal"),
        QABCS: ("cymbals",),
    },
    "more_drums": {QABCS: ("bass_drum", "changu", "slit_drum", "timpani")},
    "more_shakers": {SCRATCH: ("Percussion/Shaker",), QABCS: ("maracas",)},
    "more_drum_kits": {SCRATCH: ("Music Loops/DrumSet[12]",), QABCS: ("drums",)},
    "xylophones": {
        SCRATCH: ("Music Loops/Xylo[1-3]", "Music Loops/xylo4"),
        QABCS: ("xylophone",),
    },
    "tolling": {SCRATCH: ("Effects/BellToll",)},
    # Groups for calibration only.
    "further_strange": {
        BZFLAG: (
            *("bounce", "burrow", "flag_drop", "flag_grab", "jump", "land", "laser"),
            *("phantom", "pop", "ricochet", "shock", "teleport", "thief"),
        ),
        TUXTYPE: ("bite", "laser", "pop", "shieldsdown", "splat"),
    },
    "further_animals": {
        PEKKA: (
            *("sprites/bee*", "sprites/bird", "sprites/bunny_*", "sprites/chick"),
            *("sprites/crow*", "sprites/frog_*", "sprites/hen", "sprites/pig*"),
            *("sprites/wolf_ko", "sfx/moo"),
        ),
        PLEE: ("*croak*", "grr", "*woodpecker/*"),
        BRAINPARTY: ("baa*", "meow"),
        TRACKBALLS: ("capuch*",),
    },
    "further_machines": {
        BOSWARS: (
            *("*aircraftfactory.select", "*harvester_attack", "*magmapump.select"),
            *("*sfx_hosp.select", "*sfx_pplnt.select", "*sfx_vfac.select"),
        ),
        NETPANZER: ("hevidle", "hevmov", "hevstart", "tankidle", "unitsound_*"),
        CRRCSIM: ("electric", "fan"),
        TRACKBALLS: ("machine_loop",),
    },
}
