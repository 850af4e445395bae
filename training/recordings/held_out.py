"""Reads real recordings of Debian packages that no model is trained on.

The recordings are human telephone prompts (Asterisk), a recorded drum kit (Hydrogen's
Colombo), samples of Sonic Pi (most of them CC0), and the instruments, animals and
noises of GCompris.
"""

import dataclasses
import pathlib
import struct
from collections.abc import Iterator

import av
import numpy as np

from training.recordings.clips import read_audio
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.resampling.whole import resample

_SHARE = pathlib.Path("/usr/share")
PACKAGES = (
    "asterisk-core-sounds-en-g722",
    "asterisk-core-sounds-fr-g722",
    "asterisk-core-sounds-it-g722",
    "asterisk-core-sounds-ru-g722",
    "gcompris-qt-data",
    "hydrogen-drumkits",
    "sonic-pi-samples",
)
_MALE, _FEMALE = "Male speech and man speaking", "Female speech and woman speaking"
_WIND = "Wind instrument and woodwind instrument"
_GUITARS = ("Acoustic guitar", "Electric guitar", "Strum")
_CYMBALS = ("Cymbal", "Crash cymbal")


@dataclasses.dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        source: "voices", "drum kit", "samples", "instruments", "everyday" or "unknown".
        name: Name, unique within the source.
        labels: Specific labels, each of which is right; empty if the model has no label
            for the sound.
        samples: float32 [num_samples], mono, at 22,050 Hz.
        possible: Labels that may be right for a sound without labels.
    """

    source: str
    name: str
    labels: tuple[str, ...]
    samples: np.ndarray
    possible: tuple[str, ...] = ()


_VOICES = {
    "en_US_f_Allison": _FEMALE,
    "fr_CA_f_June": _FEMALE,
    "it_IT_m_Carlo": _MALE,
    "ru_RU_f_IvrvoiceRU": _FEMALE,
}
_VOICE_CLIPS, _VOICE_S = 12, 5.0
_KIT = {
    "bassdrum*": ("Bass drum",),
    "snare*": ("Snare drum",),
    "hihat*": ("Hi-hat",),
    "*__crash*": _CYMBALS,
    "*__ride*": _CYMBALS,
    "tom*": ("Drum",),
}
_KIT_CLIPS, _KIT_S = 4, 5.0
_SAMPLES: dict[str, tuple[str, ...]] = {
    "drum_cowbell": ("Cowbell",),
    "drum_snare_hard": ("Snare drum",),
    "drum_snare_soft": ("Snare drum",),
    "drum_roll": ("Snare drum",),
    "drum_cymbal_open": ("Hi-hat",),
    "drum_cymbal_closed": ("Hi-hat",),
    "drum_cymbal_pedal": ("Hi-hat",),
    "drum_cymbal_hard": _CYMBALS,
    "drum_splash_hard": _CYMBALS,
    "drum_heavy_kick": ("Bass drum",),
    "drum_bass_hard": ("Bass drum",),
    "drum_tom_hi_hard": ("Drum",),
    "drum_tom_lo_hard": ("Drum",),
    "loop_amen_full": ("Drum kit",),
    "loop_breakbeat": ("Drum kit",),
    "loop_electric": ("Drum kit",),
    "loop_tabla": ("Drum",),
    "ambi_piano": ("Piano",),
    "ambi_choir": ("Singing",),
    "guit_em9": _GUITARS,
    "guit_e_slide": _GUITARS,
    "guit_harmonics": _GUITARS,
    "perc_bell": ("Bell", "Church bell", "Chime"),
    "perc_bell2": ("Bell", "Church bell", "Chime"),
    "vinyl_scratch": ("Scratching (performance technique)",),
}
_UNKNOWN_SAMPLES = (
    *("misc_burp", "vinyl_hiss", "loop_3d_printer", "perc_snap", "misc_crow"),
    *("perc_till", "ambi_swoosh"),
)
_INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "accordion": ("Accordion",),
    "banjo": ("Plucked string instrument",),
    "bongo": ("Drum",),
    "cello": ("Bowed string instrument",),
    "clarinet": (_WIND,),
    "cymbal": _CYMBALS,
    "drum_kit": ("Drum kit",),
    "electric_guitar": ("Electric guitar",),
    "flute_traversiere": (_WIND,),
    "guitar": ("Acoustic guitar", "Strum"),
    "harmonica": ("Harmonica",),
    "harp": ("Harp",),
    "horn": ("Brass instrument",),
    "maracas": ("Rattle (instrument)",),
    "organ": ("Organ",),
    "piano": ("Piano",),
    "saxophone": (_WIND,),
    "snare_drum": ("Snare drum",),
    "tambourine": ("Tambourine",),
    "timpani": ("Drum",),
    "trombone": ("Brass instrument",),
    "trumpet": ("Trumpet",),
    "tuba": ("Brass instrument",),
    "violin": ("Bowed string instrument",),
}
_EVERYDAY: dict[str, tuple[str, ...]] = {
    "LRBark_1_LA_cut": ("Bark",),
    "LRBark_3_LA_cut": ("Bark",),
    "LRRain_in_garden_01_LA_cut": ("Rain",),
    "LRTrain_slowing_down_01_LA_cut": ("Train",),
    "LRApplauses_1_LA_cut": ("Applause",),
    "LRRing_01_LA": ("Telephone",),
    "LRStartAndStopCarEngine1LACut": ("Engine", "Car"),
}
_FARM = ("owl", "chickens", "duck", "cow", "horse", "pig", "sheep", "cat")
_FACTORY = tuple(f"LRFactory_noise_0{number}_LA" for number in range(1, 7))
_BIRDS = ("Bird vocalization and bird call and bird song",)
_LIVESTOCK = ("Livestock and farm animals and working animals",)
# Labels that are not wrong for sounds that the model was not trained on: an owl is an
# animal, and a till rings a bell.
_POSSIBLE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("misc_crow", "owl"), _BIRDS),
    **dict.fromkeys(("chickens", "duck"), (*_LIVESTOCK, *_BIRDS)),
    **dict.fromkeys(("cow", "horse", "pig", "sheep"), _LIVESTOCK),
    "cat": ("Domestic animals and pets",),
    "perc_till": ("Bell",),
}
# Shorter recordings are repeated, with pauses; longer recordings are cut.
_SHORTEST_S, _LONGEST_S = 3.0, 8.0


def read_recordings() -> list[Recording]:
    """Reads all recordings.

    Raises:
        FileNotFoundError: if one of PACKAGES is not installed.
    """
    return [*_voices(), *_drum_kit(), *_samples(), *_gcompris()]


def _voices() -> Iterator[Recording]:
    for voice, label in _VOICES.items():
        paths = sorted((_SHARE / "asterisk/sounds" / voice).glob("*.g722"))
        # G.722 has 8,000 bytes per second.
        long = [p for p in paths if p.stat().st_size > _VOICE_S * 8000]
        if not long:
            raise FileNotFoundError(f"no prompts of {voice}: install {PACKAGES}")
        for path in long[:_VOICE_CLIPS]:
            samples = _read_g722(path)[: round(_VOICE_S * SAMPLE_RATE_HZ)]
            yield Recording("voices", f"{voice}/{path.stem}", (label,), samples)


def _read_g722(path: pathlib.Path) -> np.ndarray:
    """Decodes raw G.722, whose format must be given because it has no header."""
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    samples = np.concatenate(frames).astype(np.float32) / np.float32(32768)
    return resample(samples, 16000)


def _drum_kit() -> Iterator[Recording]:
    folder = _SHARE / "hydrogen/data/drumkits/ColomboAcousticDrumkit"
    rng = np.random.default_rng(0)
    for pattern, labels in _KIT.items():
        strokes = [read_audio(path) for path in sorted(folder.glob(pattern + ".flac"))]
        if not strokes:
            raise FileNotFoundError(f"no {pattern} in {folder}: install {PACKAGES}")
        for number in range(_KIT_CLIPS):
            clip = np.zeros(round(_KIT_S * SAMPLE_RATE_HZ), np.float32)
            time_s = 0.1
            while time_s < _KIT_S - 0.5:
                stroke = strokes[rng.integers(len(strokes))]
                rest = clip[round(time_s * SAMPLE_RATE_HZ) :]
                size = min(len(stroke), len(rest))
                rest[:size] += stroke[:size] * rng.uniform(0.4, 1)
                time_s += rng.uniform(0.25, 0.8)
            name = f"{pattern.strip('*_')} {number + 1}"
            yield Recording("drum kit", name, labels, clip)


def _samples() -> Iterator[Recording]:
    folder = _SHARE / "sonic-pi/samples"
    for name, labels in (*_SAMPLES.items(), *((n, ()) for n in _UNKNOWN_SAMPLES)):
        samples = fitted(read_audio(folder / f"{name}.flac"))
        yield _recording("samples", name, labels, samples)


def _recording(
    source: str, name: str, labels: tuple[str, ...], samples: np.ndarray
) -> Recording:
    source = source if labels else "unknown"
    return Recording(source, name, labels, samples, _POSSIBLE.get(name, ()))


def _gcompris() -> Iterator[Recording]:
    for archive, names in (
        ("instruments", _INSTRUMENTS),
        ("memory-sound", _EVERYDAY | dict.fromkeys(_FACTORY, ())),
        ("explore_farm_animals", dict.fromkeys(_FARM, ()) | {"dog": ("Bark",)}),
    ):
        path = _SHARE / f"gcompris-qt/rcc/{archive}.rcc"
        files = read_qt_resource(path.read_bytes())
        by_stem = {pathlib.PurePath(name).stem: data for name, data in files.items()}
        source = "instruments" if archive == "instruments" else "everyday"
        for name, labels in names.items():
            samples = fitted(read_audio(pathlib.Path(f"{name}.ogg"), by_stem[name]))
            yield _recording(source, name, labels, samples)


def read_qt_resource(data: bytes) -> dict[str, bytes]:
    """Reads the Ogg files of a binary Qt resource (format versions 1 to 3 of Qt's rcc).

    A node of its tree has a name and flags. A folder (flag 2) has a count and the index
    of its first child; a file has a locale and an offset. From version 2 on, a time
    stamp follows.

    Returns:
        A dict from names of files to their contents.
    """
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    size = 22 if version >= 2 else 14
    files: dict[str, bytes] = {}
    waiting = [0]
    while waiting:
        node = tree + size * waiting.pop()
        name_at, flags, first, second = struct.unpack_from(">IHII", data, node)
        if flags & 2:
            waiting += range(second, second + first)
            continue
        (length,) = struct.unpack_from(">H", data, names + name_at)
        start = names + name_at + 6
        name = data[start : start + 2 * length].decode("utf-16-be")
        start = contents + second
        (length,) = struct.unpack_from(">I", data, start)
        if name.endswith(".ogg"):
            files[name] = data[start + 4 : start + 4 + length]
    return files


def fitted(samples: np.ndarray) -> np.ndarray:
    """Repeats a short recording, with pauses of 0.2 s, and cuts a long recording."""
    shortest, longest = (
        round(seconds * SAMPLE_RATE_HZ) for seconds in (_SHORTEST_S, _LONGEST_S)
    )
    if len(samples) < shortest:
        pause = np.zeros(SAMPLE_RATE_HZ // 5, np.float32)
        unit = np.concatenate([samples, pause])
        samples = np.tile(unit, -(-shortest // len(unit)))
    return samples[:longest]
