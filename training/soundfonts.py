"""Plays scores with General MIDI soundfonts, by fluidsynth.

The fonts are Debian packages. FluidR3 and MuseScore General (both MIT; parts CC0 or
public domain) are trained on. TimGM6mb (GPL-2) and csound's sf_GMbank (public domain)
are held out: no sound of theirs is ever trained on. The two share some samples with
each other, none with the others.
"""

import dataclasses
import functools
import pathlib
import struct
import subprocess
import tempfile
from collections.abc import Sequence

import numpy as np

from training.midi import Score
from training.phrases import Phrase, play
from training.recipes import DrumKit, Drums, Effects, Instrument, Preset
from transforms.decoding import SAMPLE_RATE_HZ

_FOLDER = pathlib.Path("/usr/share/sounds")
_DRUM_BANK = 128
# Kits that are no plain drum kits: electronic ones sound unlike drums, the orchestra's
# and the effects' keys mean other instruments.
_OTHER_KITS = frozenset({24, 25, 48, 55, 56, 57, 58, 59, 95, 96, 127})


@dataclasses.dataclass(frozen=True)
class Soundfont:
    """A soundfont: its short name, file, and the Debian package that has it."""

    name: str
    path: pathlib.Path
    package: str


TRAINED_FONTS = (
    Soundfont("fluid", _FOLDER / "sf2/FluidR3_GM.sf2", "fluid-soundfont-gm"),
    Soundfont("fluid_gs", _FOLDER / "sf2/FluidR3_GS.sf2", "fluid-soundfont-gs"),
    Soundfont(
        "musescore",
        _FOLDER / "sf3/MuseScore_General_Full.sf3",
        "musescore-general-soundfont",
    ),
)
HELD_OUT_FONTS = (
    Soundfont("timgm", _FOLDER / "sf2/TimGM6mb.sf2", "timgm6mb-soundfont"),
    Soundfont("gmbank", _FOLDER / "sf2/sf_GMbank.sf2", "csound-soundfont"),
)


@functools.cache
def read_presets(path: pathlib.Path) -> frozenset[Preset]:
    """(bank, program) of every preset, from the font's `phdr` chunk (SF2 2.04, 7.2)."""
    data = path.read_bytes()
    start = data.index(b"phdr") + 8
    (size,) = struct.unpack_from("<I", data, start - 4)
    # Records of 38 bytes; the last one is a terminator.
    records = range(start, start + size - 38, 38)
    pairs = (struct.unpack_from("<HH", data, record + 20) for record in records)
    return frozenset((bank, program) for program, bank in pairs)


def usable_presets(
    font: Soundfont, source: Instrument | Drums | DrumKit | Effects
) -> tuple[tuple[Preset, ...], tuple[int, ...]]:
    """Presets of the source and drum kits that the font has."""
    found = read_presets(font.path)
    kits = sorted(program for bank, program in found if bank == _DRUM_BANK)
    kits = [program for program in kits if program not in _OTHER_KITS]
    if isinstance(source, Drums | DrumKit):
        return (), tuple(kits)
    return tuple(p for p in source.presets if p in found), tuple(kits) or (0,)


def can_play(font: Soundfont, source: Instrument | Drums | DrumKit | Effects) -> bool:
    presets, kits = usable_presets(font, source)
    return bool(kits if isinstance(source, Drums | DrumKit) else presets)


def render_phrases(
    font: Soundfont,
    source: Instrument | Drums | DrumKit | Effects,
    num_phrases: int,
    phrase_s: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Renders phrases, each a clip.

    Returns:
        `num_phrases` float32 arrays [phrase_s * 22050], mono, full scale at 1.
    """
    presets, kits = usable_presets(font, source)
    score = Score()
    for index in range(num_phrases):
        phrase = Phrase(score, index * phrase_s, phrase_s, rng)
        play(phrase, source, index, presets, kits)
    samples = _synthesise(score, font.path)
    size = round(phrase_s * SAMPLE_RATE_HZ)
    padded = np.zeros(num_phrases * size, np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    return list(padded.reshape(num_phrases, size))


def _synthesise(score: Score, font: pathlib.Path) -> np.ndarray:
    """float32 [num_samples] at 22,050 Hz."""
    with tempfile.TemporaryDirectory() as folder:
        midi_path, raw_path = (pathlib.Path(folder) / n for n in ("a.mid", "a.raw"))
        score.write(midi_path)
        _run_fluidsynth(font, midi_path, raw_path)
        stereo = np.fromfile(raw_path, "<i2").reshape(-1, 2)
    return stereo.mean(axis=1).astype(np.float32) / 32768


def _run_fluidsynth(
    font: pathlib.Path, midi_path: pathlib.Path, raw_path: pathlib.Path
) -> None:
    settings = {
        "synth.dynamic-sample-loading": "1",
        "synth.chorus.active": "0",
        "synth.midi-bank-select": "gs",
    }
    options: Sequence[str] = [f"-o{key}={value}" for key, value in settings.items()]
    subprocess.run(
        [
            *("fluidsynth", "-ni", "-q", "-g", "0.6"),
            *("-r", str(SAMPLE_RATE_HZ), "-O", "s16", "-T", "raw"),
            *options,
            *("-F", raw_path, font, midi_path),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
