"""Short recordings in Debian packages that are trained on: most of them with no label.

Freedoom (BSD) has guns, explosions and monsters, Tux Paint's stamps (GPL-2) have
animals and household machines, Wesnoth (GPL-2+) has blows and missiles. Nothing here is
a sound of the held-out recordings.
"""

import functools
import io
import pathlib
import struct

import numpy as np

from transforms.audio import resample
from transforms.decoding import SAMPLE_RATE_HZ, decode_file

Random = np.random.Generator

_WADS = (
    pathlib.Path("/usr/share/games/doom/freedoom1.wad"),
    pathlib.Path("/usr/share/games/doom/freedoom2.wad"),
)
_STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")
_WESNOTH = pathlib.Path("/usr/share/games/wesnoth/1.16/data/core/sounds")
_IMPACTS = (
    *("axe", "arrow", "bite", "bow", "claws", "club", "crossbow", "dagger", "dart"),
    *("entangle", "fist", "flail", "hatchet", "knife", "mace", "magic", "miss", "mud"),
    *("net", "open-chest", "sling", "spear", "squishy", "staff", "sword", "tail"),
    *("throw", "torch", "ink", "fire", "flame", "campfire", "water-blast"),
)
_STRANGE = (
    *("bat-", "drake", "ghoul", "gryphon", "hiss", "horse", "naga", "tusker", "wolf"),
    *("wose", "yeti", "heal", "potion", "poison", "rumble", "petrified", "pincers"),
    *("slowed", "cave-in", "button", "checkbox", "contract", "expand", "slider"),
    *("select", "receive"),
)
_GUNS = frozenset({"DSPISTOL", "DSSHOTGN", "DSDSHTGN"})
_EXPLOSIONS = frozenset({"DSBAREXP", "DSRXPLOD", "DSFIRXPL"})
_MONSTER_ENDINGS = ("SIT", "ACT", "DTH", "ATK", "PAIN", "PN")
_DOOM_MACHINES = frozenset({"DSSAWUP", "DSSAWIDL", "DSSAWFUL", "DSSTNMOV", "DSPSTART"})
_STAMP_MACHINES = (
    *("Washing-machine", "vacuum_cleaner", "kettle", "camera_35mm", "saw", "toilet"),
    *("scissors_small_open", "scissors_small_closed", "rubberduck", "firetruck"),
)
# Dogs bark, and the model knows barking; of the bat and the spider only a fantasy.
_NOT_UNKNOWN = frozenset({"dog", "fox", "heron_greatblue_flying"})
_SHORTEST_S = 0.1


def render_recordings(group: str, length_s: float, rng: Random) -> np.ndarray:
    """Recordings of a group, with pauses, each at a speed of its own.

    Args:
        group: guns, explosions, monsters, machines, animals, birds, impacts, or
            strange, which is kept for calibration.
        length_s: Of the clip.
        rng: Decides which recordings, speeds and pauses.

    Returns:
        float32 [length_s * 22050], full scale at 1.
    """
    sounds = _read_group(group)
    result = np.zeros(round(length_s * SAMPLE_RATE_HZ), np.float32)
    position = int(rng.uniform(0, 0.5) * SAMPLE_RATE_HZ)
    sound = sounds[int(rng.integers(len(sounds)))]
    while position < len(result) - SAMPLE_RATE_HZ // 2:
        if rng.random() < 0.3:
            sound = sounds[int(rng.integers(len(sounds)))]
        rate = round(SAMPLE_RATE_HZ * rng.uniform(0.85, 1.18))
        piece = resample(sound, rate)[: len(result) - position]
        result[position : position + len(piece)] += piece * rng.uniform(0.4, 1)
        position += len(piece) + int(rng.uniform(0.05, 1.2) * SAMPLE_RATE_HZ)
    return result


@functools.cache
def _read_group(group: str) -> tuple[np.ndarray, ...]:
    if group in ("animals", "birds"):
        paths = sorted((_STAMPS / "animals").rglob("*.ogg"))
        sounds = [
            read_audio(path)
            for path in paths
            if "_desc" not in path.name
            and path.stem not in _NOT_UNKNOWN
            and ("birds" in path.parts) == (group == "birds")
        ]
    elif group == "machines":
        stamps = [*_STAMPS.rglob("*.ogg")]
        paths = sorted(path for path in stamps if path.stem in _STAMP_MACHINES)
        sounds = [read_audio(path) for path in paths]
        sounds += [s for name, s in _doom_sounds().items() if name in _DOOM_MACHINES]
    elif group in ("impacts", "strange"):
        starts = _IMPACTS if group == "impacts" else _STRANGE
        paths = sorted(_WESNOTH.rglob("*.*"))
        sounds = [read_audio(path) for path in paths if path.stem.startswith(starts)]
    else:
        sounds = [
            sound for name, sound in _doom_sounds().items() if _is_in(group, name)
        ]
    longest = [s for s in sounds if len(s) >= _SHORTEST_S * SAMPLE_RATE_HZ]
    if not longest:
        raise FileNotFoundError(f"no recordings of {group}: are the packages installed")
    return tuple(longest)


def _is_in(group: str, name: str) -> bool:
    if group == "guns":
        return name in _GUNS
    if group == "explosions":
        return name in _EXPLOSIONS
    return group == "monsters" and name.endswith(_MONSTER_ENDINGS)


@functools.cache
def _doom_sounds() -> dict[str, np.ndarray]:
    """Sounds of the WAD files: a header of 8 bytes, 8-bit samples, 16 of padding."""
    sounds = {}
    for path in _WADS:
        data = path.read_bytes()
        count, directory = struct.unpack_from("<ii", data, 4)
        for index in range(count):
            start, size, raw = struct.unpack_from("<ii8s", data, directory + 16 * index)
            name = raw.rstrip(b"\0").decode("ascii")
            if not name.startswith("DS") or size < 64:
                continue
            _, rate, _ = struct.unpack_from("<HHI", data, start)
            body = np.frombuffer(data[start + 24 : start + size - 16], np.uint8)
            samples = (body.astype(np.float32) - 128) / np.float32(128)
            sounds[name] = resample(samples, rate)
    return sounds


def read_audio(path: pathlib.Path, data: bytes | None = None) -> np.ndarray:
    """Decodes a file as the pipeline does: float32 [num_samples] at 22,050 Hz."""
    content = path.read_bytes() if data is None else data
    audio = decode_file(path.name, io.BytesIO(content))
    return resample(audio.samples, audio.sample_rate_hz)
