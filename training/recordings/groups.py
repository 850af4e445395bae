"""Lists the recordings of Debian packages to train on, in groups of one kind.

`training.recipes.rendered` has the labels of the groups. None of these sounds is among
the held-out recordings (`held_out.py`).
"""

import pathlib

from training.recordings.archives import Archive

_GAMES = pathlib.Path("/usr/share/games")

FREEDOOM_1 = Archive("freedoom", _GAMES / "doom/freedoom1.wad")
FREEDOOM_2 = Archive("freedoom", _GAMES / "doom/freedoom2.wad")
STAMPS = Archive("tuxpaint-stamps-default", pathlib.Path("/usr/share/tuxpaint/stamps"))
WESNOTH = Archive("wesnoth-1.16-data", _GAMES / "wesnoth/1.16/data/core/sounds")
OPENSFX = Archive("openttd-opensfx", _GAMES / "openttd/baseset/opensfx/opensfx.cat")
UFOAI = Archive("ufoai-sound", _GAMES / "ufoai/base/0snd.pk3")
MINETEST = Archive("minetest-data", _GAMES / "minetest/games/minetest_game/mods")
LMMS = Archive("lmms-common", pathlib.Path("/usr/share/lmms/samples"))
FROZEN_BUBBLE = Archive("frozen-bubble-data", _GAMES / "frozen-bubble/snd")
MONSTERZ = Archive("monsterz-data", _GAMES / "monsterz/sound")
FOOBILLARD = Archive("foobillardplus-data", _GAMES / "foobillardplus/data")
HEDGEWARS = Archive("hedgewars-data", _GAMES / "hedgewars/Data/Sounds")

Patterns = dict[Archive, tuple[str, ...]]


def _both(*patterns: str) -> Patterns:
    return {FREEDOOM_1: patterns, FREEDOOM_2: patterns}


_BIRDS = "animals/birds/"
# Floors whose footstep sounds are used. Water, glass and landings are left out.
_FLOORS = ("carpet", "dirt", "grass", "gravel", "snow", "stone", "tile", "wood")

# Patterns (of `fnmatch`) for names within an archive. A pattern with a leading "!"
# removes names that earlier patterns added. Three files of LMMS are left out, because
# they are Ogg streams wrapped in WAV, which FFmpeg does not read.
GROUPS: dict[str, Patterns] = {
    "guns": {
        **_both("DSPISTOL", "DSSHOTGN", "DSDSHTGN"),
        UFOAI: (
            *("*/weapons/bullet-pistol*", "*/weapons/bullet-rifle*"),
            *("*/weapons/bullet-shotgun*", "*/weapons/bullet-smg*"),
            *("*/weapons/bullet-sniper", "*/weapons/bullet-hmg*"),
            "*/weapons/bullet-chaingun*",
        ),
        HEDGEWARS: ("gun", "minigun", "shotgunfire"),
    },
    "explosions": {
        **_both("DSBAREXP", "DSRXPLOD", "DSFIRXPL"),
        UFOAI: (
            *("*/weapons/explosion", "*/weapons/explosion-grenade"),
            *("*/weapons/explosion-rocket", "*/geoscape/combat-explosion"),
            "*/geoscape/combat-rocket-exp",
        ),
        OPENSFX: ("Explosion",),
        MINETEST: ("tnt/*explode*",),
        HEDGEWARS: ("explosion",),
        LMMS: ("effects/explode01",),
    },
    "footsteps": {
        UFOAI: tuple(f"*/footsteps/{floor}[1-4]" for floor in (*_FLOORS, "metal")),
        MINETEST: ("default/*_footstep*", "!*water*", "!*glass*"),
        HEDGEWARS: ("steps",),
    },
    "doors": {
        MINETEST: ("doors/*_close", "doors/*_open"),
        UFOAI: ("*/doors/door[1-3]-*",),
    },
    "thunder": {UFOAI: ("*/ambience/thunder*",), STAMPS: ("*/lightningbolt",)},
    "wind": {UFOAI: ("*/ambience/arcticwind",), OPENSFX: ("Wind", "Heavy wind")},
    "running_water": {
        UFOAI: ("*/ambience/water", "*/ambience/water0*", "*/ambience/waterfontain"),
        MINETEST: ("env_sounds/*_water*",),
    },
    "trains": {
        OPENSFX: (
            *("Steam train station departure", "Steam engine going in tunnel"),
            *("Diesel/electric train station departure",),
            "Monorail train station departure",
        ),
    },
    "aircraft": {
        OPENSFX: (
            *("Propeller plane start", "Early jet take off", "Helicopter"),
            *("Mach 1+ Jet take off", "Modern jet take off"),
            "Toyland: Propeller plane take off",
        ),
        HEDGEWARS: ("plane",),
    },
    "road_vehicles": {
        OPENSFX: ("Truck/old bus start, pull away", "Modern bus start", "Old bus start")
    },
    "diesel": {UFOAI: ("*/ugv/diesel-*",)},
    "applause": {
        OPENSFX: ("Applause",),
        FROZEN_BUBBLE: ("applause",),
        MONSTERZ: ("applause",),
        FOOBILLARD: ("applause",),
        LMMS: ("misc/applause01",),
    },
    "laughter": {
        HEDGEWARS: ("voices/*/Laugh", "!*/Robot/*"),
        MONSTERZ: ("laugh",),
    },
    "screams": {UFOAI: ("*/civilians/civfemscream*",)},
    "barks": {STAMPS: ("*/dogs/dog",)},
    "songbirds": {STAMPS: (f"{_BIRDS}blackbird", f"{_BIRDS}lark")},
    "organs": {LMMS: ("instruments/*_organ*",)},
    "pianos": {LMMS: ("instruments/piano*",)},
    "guitars": {LMMS: ("latin/latin_guitar*",)},
    "steel_guitars": {LMMS: ("instruments/steel_guitar*",)},
    "bass_guitars": {LMMS: ("instruments/bassslap*", "basses/bass01")},
    "bowed_strings": {
        LMMS: ("instruments/cello*", "instruments/violin_*", "!*pizzicato*"),
        STAMPS: ("hobbies/music/string/*", "!*_desc*"),
    },
    "woodwinds": {
        LMMS: ("instruments/flute*",),
        STAMPS: ("hobbies/music/wind/bassoon",),
    },
    "trumpets": {LMMS: ("instruments/trumpet*",)},
    "bass_drums": {LMMS: ("drums/bassdrum*", "drums/kick*", "!*/kick04")},
    "snare_drums": {LMMS: ("drums/snare*", "!*electro*")},
    "hi_hats": {LMMS: ("drums/hihat*",)},
    "crash_cymbals": {LMMS: ("drums/crash*",), STAMPS: ("*/cymbal_crash",)},
    "ride_cymbals": {LMMS: ("drums/ride*",)},
    "tom_toms": {LMMS: ("drums/tom*",), STAMPS: ("*/drum_tomtom_floor",)},
    "shakers": {LMMS: ("drums/shaker*",)},
    "drum_loops": {LMMS: ("beats/break*", "beats/jungle*"), STAMPS: ("*/drumkit",)},
    "animals": {
        STAMPS: (
            *("animals/*", f"!{_BIRDS}*", "!*_desc*"),
            # Dogs bark, and barks are a label of the model.
            *("!*/dogs/*",),
        ),
        OPENSFX: ("Sheep", "Cow", "Horse", "Tropical: Lion roar", "Tropical: Monkeys"),
    },
    "birds": {
        STAMPS: (
            *(f"{_BIRDS}*", "!*_desc*", f"!{_BIRDS}blackbird", f"!{_BIRDS}lark"),
            f"!{_BIRDS}heron_greatblue_flying",
        ),
        OPENSFX: ("Tropical: Bird*",),
    },
    "monsters": {
        **_both("DS*SIT", "DS*ACT", "DS*DTH", "DS*ATK", "DS*PAIN", "DS*PN"),
        UFOAI: ("*/aliens/*",),
    },
    "cries": {
        UFOAI: ("*/soldiers/*", "*/civilians/*", "!*femscream*"),
        HEDGEWARS: ("hell_ooff", "hell_ow", "hell_ugh", "voices/*/Ow[1-4]"),
    },
    "machines": {
        **_both("DSSAWUP", "DSSAWIDL", "DSSAWFUL", "DSSTNMOV", "DSPSTART"),
        STAMPS: (
            *("*/Washing-machine", "*/vacuum_cleaner", "*/kettle", "*/camera_35mm"),
            *("*/saw", "*/toilet", "*/scissors_small_open", "*/scissors_small_closed"),
            *("*/rubberduck",),
        ),
        UFOAI: ("*/ambience/machine1", "*/ambience/minepump03", "*/ambience/hum*"),
        OPENSFX: ("Jackhammer", "Sawmill", "Lumber mill: Chainsaw", "Mining machinery"),
    },
    "impacts": {
        WESNOTH: (
            *("axe*", "arrow*", "bite*", "bow*", "claws*", "club*", "crossbow*"),
            *("dagger*", "dart*", "entangle*", "fist*", "flail*", "hatchet*", "knife*"),
            *("mace*", "magic*", "miss*", "mud*", "net*", "open-chest*", "sling*"),
            *("spear*", "squishy*", "staff*", "sword*", "tail*", "throw*", "torch*"),
            *("ink*", "fire*", "flame*", "campfire*", "water-blast*"),
        ),
        UFOAI: ("*/misc/break*", "*/impact/*", "*/weapons/melee*", "*/weapons/reload*"),
        MINETEST: ("default/*_dig*", "default/*_dug*", "default/*_place*", "fire/*"),
        OPENSFX: (
            *("Cash till", "Electric sparking", "Steam (of steam engine)"),
            *("Building bridge", "Road vehicle breakdown", "Crash", "Splat*"),
            *("Lumber mill: * tree", "Beep", "Morse"),
        ),
        STAMPS: ("household/tools/*", "!*_desc*"),
    },
    # The group for calibration only.
    "strange": {
        WESNOTH: (
            *("bat-*", "drake*", "ghoul*", "gryphon*", "hiss*", "horse*", "naga*"),
            *("tusker*", "wolf*", "wose*", "yeti*", "heal*", "potion*", "poison*"),
            *("rumble*", "petrified*", "pincers*", "slowed*", "cave-in*", "button*"),
            *("checkbox*", "contract*", "expand*", "slider*", "select*", "receive*"),
        ),
        UFOAI: (
            *("*/ui/*", "*/geoscape/*", "!*combat*", "*/weapons/laser*"),
            *("*/weapons/plasma*", "*/ambience/fire*", "*/ambience/alien*"),
            "*/ambience/steam",
        ),
        HEDGEWARS: (
            *("melonimpact", "mineimpact", "graveimpact", "knife_impact", "ice_beam*"),
            *("steam", "bee", "whipcrack", "splash", "Droplet*", "sinegun", "ufo"),
        ),
        OPENSFX: ("Toyland: *", "!*plane*", "!*bus*", "!*truck*", "!*Jet*", "!*Train*"),
    },
}
