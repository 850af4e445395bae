"""What a sound may be played by: soundfonts, synthesisers, formulas, recordings."""

import dataclasses
from typing import Literal

Style = Literal["mono", "poly", "pick", "strum", "arpeggio", "strokes", "sustain"]
Preset = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Presets (bank, program) of a soundfont that play phrases between two keys."""

    presets: tuple[Preset, ...]
    low: int
    high: int
    style: Style


@dataclasses.dataclass(frozen=True)
class Drums:
    """Keys of the General MIDI drum map that play rhythms."""

    keys: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class DrumKit:
    """A beat on bass drum, snare drum, cymbals and now and then toms."""


@dataclasses.dataclass(frozen=True)
class Effects:
    """Presets (bank, program) that are recorded sounds; the key sets the speed."""

    presets: tuple[Preset, ...]
    low: int = 55
    high: int = 67


@dataclasses.dataclass(frozen=True)
class Speech:
    """Sentences by speech synthesisers; a crowd is many at once."""

    kind: Literal["male", "female", "robot", "whisper", "crowd"]


@dataclasses.dataclass(frozen=True)
class Signal:
    """A function of `training.synthesis.signals`."""

    name: str


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A group of short recordings of `training.recordings`, each at a speed of its own.

    Attributes:
        group: Its name.
        speeds: Lowest and highest; 1 is as recorded.
    """

    group: str
    speeds: tuple[float, float]


# What soundfonts play.
Played = Instrument | Drums | DrumKit | Effects
Source = Played | Speech | Signal | Recordings
