"""Plays scores with General MIDI soundfonts (fluidsynth) and patches (TiMidity++).

The fonts are Debian packages. FluidR3 and MuseScore General (both MIT; parts CC0 or
public domain) and FreePats (GUS patches; GPL-2+ with an exception for compositions)
are trained on. TimGM6mb (GPL-2) and csound's sf_GMbank (public domain) are held out:
none of their sounds is ever trained on. These two share some samples with each other,
none with FluidR3 and MuseScore General, and some with patches of FreePats; these
patches are never played.
"""

import dataclasses
import functools
import os
import pathlib
import struct
import subprocess
import tempfile
from collections.abc import Sequence

import numpy as np

from training.recipes.sources import DrumKit, Drums, Played, Preset
from training.synthesis.midi import Score
from training.synthesis.phrases import Phrase, play
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

_FOLDER = pathlib.Path("/usr/share/sounds")
_DRUM_BANK = 128
# Kits that are not used: electronic kits do not sound like drums, and the keys of
# orchestra and effect kits play other instruments.
_OTHER_KITS = frozenset({24, 25, 48, 55, 56, 57, 58, 59, 95, 96, 127})

# Programs of FreePats whose recordings are, or may be, in a held-out font. Flute, cor
# anglais, pan flute and ocarina are equal sample by sample. For the others, windows of
# 0.3 s, or short windows of the bare samples, have a correlation of more than 0.9 with
# the held-out font.
_SHARED_PATCHES = frozenset(
    (0, program)
    for program in (4, 25, 26, 44, 46, 64, 67, 68, 69, 73, 74, 75, 79, 101, 122)
)


@dataclasses.dataclass(frozen=True)
class Soundfont:
    """A soundfont.

    Attributes:
        name: Short name, used in names of files and as seed.
        path: Path of an SF2 or SF3 file, or of a TiMidity++ configuration that lists
            patches.
        package: Debian package with the file.
        shared: Presets that are never played, because a font of the other split has
            them, too.
    """

    name: str
    path: pathlib.Path
    package: str
    shared: frozenset[Preset] = frozenset()


TRAINED_FONTS = (
    Soundfont("fluid", _FOLDER / "sf2/FluidR3_GM.sf2", "fluid-soundfont-gm"),
    Soundfont("fluid_gs", _FOLDER / "sf2/FluidR3_GS.sf2", "fluid-soundfont-gs"),
    Soundfont(
        "musescore",
        _FOLDER / "sf3/MuseScore_General_Full.sf3",
        "musescore-general-soundfont",
    ),
    Soundfont(
        "freepats",
        pathlib.Path("/etc/timidity/freepats.cfg"),
        "freepats",
        _SHARED_PATCHES,
    ),
)
HELD_OUT_FONTS = (
    Soundfont("timgm", _FOLDER / "sf2/TimGM6mb.sf2", "timgm6mb-soundfont"),
    Soundfont("gmbank", _FOLDER / "sf2/sf_GMbank.sf2", "csound-soundfont"),
)


@functools.cache
def read_presets(path: pathlib.Path) -> frozenset[Preset]:
    """Reads (bank, program) of every preset; drum kits are in bank 128.

    The presets of a soundfont are in its `phdr` chunk (SF2 2.04, section 7.2).
    """
    if _is_configuration(path):
        listed = _read_configuration(path)
        kits = {(_DRUM_BANK, kit) for kind, kit, _ in listed if kind == "drumset"}
        tones = {(bank, tone) for kind, bank, tone in listed if kind == "bank"}
        return frozenset(kits | tones)
    data = path.read_bytes()
    start = data.index(b"phdr") + 8
    (size,) = struct.unpack_from("<I", data, start - 4)
    # Records of 38 bytes; the last one is a terminator.
    records = range(start, start + size - 38, 38)
    pairs = (struct.unpack_from("<HH", data, record + 20) for record in records)
    return frozenset((bank, program) for program, bank in pairs)


def _is_configuration(path: pathlib.Path) -> bool:
    return path.suffix == ".cfg"


def _read_configuration(path: pathlib.Path) -> list[tuple[str, int, int]]:
    """Reads the patches of a TiMidity++ configuration (timidity.cfg(5)).

    Each is ("bank", bank, program) or ("drumset", kit, key).
    """
    listed, kind, number = [], "", 0
    for line in path.read_text().splitlines():
        match line.partition("#")[0].split():
            case ["bank" | "drumset" as kind, digits]:
                number = int(digits)
            case [digits, _, *_] if digits.isdecimal():
                listed.append((kind, number, int(digits)))
    return listed


def _known_drums(font: Soundfont, source: Drums) -> Drums:
    """The drums of the source that the font has.

    For a configuration these are the drums that it lists: others would be silent or
    played by another font. For a soundfont these are all drums.
    """
    if not _is_configuration(font.path):
        return source
    listed = _read_configuration(font.path)
    known = {key for kind, _, key in listed if kind == "drumset"}
    return Drums(tuple(key for key in source.keys if key in known))


def usable_presets(
    font: Soundfont, source: Played
) -> tuple[tuple[Preset, ...], tuple[int, ...]]:
    """The presets of the source, and the drum kits, that the font has."""
    found = read_presets(font.path) - font.shared
    kits = sorted(program for bank, program in found if bank == _DRUM_BANK)
    kits = [program for program in kits if program not in _OTHER_KITS]
    if isinstance(source, Drums | DrumKit):
        return (), tuple(kits)
    return tuple(p for p in source.presets if p in found), tuple(kits) or (0,)


def can_play(font: Soundfont, source: Played) -> bool:
    """Whether the font has any preset, drum or kit of the source."""
    if isinstance(source, Drums) and not _known_drums(font, source).keys:
        return False
    presets, kits = usable_presets(font, source)
    return bool(kits if isinstance(source, Drums | DrumKit) else presets)


def render_phrases(
    font: Soundfont,
    source: Played,
    num_phrases: int,
    phrase_s: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Renders phrases; each phrase is a clip.

    Returns:
        `num_phrases` float32 arrays [phrase_s * 22050], mono, full scale at 1.
    """
    presets, kits = usable_presets(font, source)
    if isinstance(source, Drums):
        source = _known_drums(font, source)
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
    """Renders a score: float32 [num_samples] at 22,050 Hz."""
    with tempfile.TemporaryDirectory() as folder:
        midi_path, raw_path = (pathlib.Path(folder) / n for n in ("a.mid", "a.raw"))
        score.write(midi_path)
        synthesise = _run_timidity if _is_configuration(font) else _run_fluidsynth
        synthesise(font, midi_path, raw_path)
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


def _run_timidity(
    font: pathlib.Path, midi_path: pathlib.Path, raw_path: pathlib.Path
) -> None:
    """Runs TiMidity++ like `_run_fluidsynth` runs fluidsynth.

    TiMidity++ also reads the system's configuration, and plays presets of it that
    `font` does not list. So the score must only use presets that `font` lists.
    """
    subprocess.run(
        [
            *("timidity", "-idqq", "-c", font, "-s", str(SAMPLE_RATE_HZ)),
            *("--preserve-silence", "-A", "70", "-EFchorus=d"),
            # Play all voices to their ends, even if this is slow.
            *("-p", "256", "--no-polyphony-reduction", "-k", "0"),
            *("-Or1sSl", "-o", raw_path, midi_path),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Otherwise TiMidity++ would first read the user's configuration,
        # ~/.timidity.cfg.
        env={**os.environ, "HOME": str(midi_path.parent)},
    )
