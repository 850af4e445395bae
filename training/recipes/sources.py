"""Defines the sources of sounds: soundfonts, synthesisers, formulas, recordings."""

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
    """Presets (bank, program) of recorded effects, where the key sets the speed."""

    presets: tuple[Preset, ...]
    low: int = 55
    high: int = 67


@dataclasses.dataclass(frozen=True)
class Speech:
    """Sentences read by speech synthesisers; "crowd" is many speakers at once."""

    kind: Literal["male", "female", "robot", "whisper", "crowd"]


@dataclasses.dataclass(frozen=True)
class Signal:
    """A formula of `training.synthesis.formulas.FORMULAS`."""

    name: str


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A group of short recordings of `training.recordings`, played at random speeds.

    Attributes:
        group: Name of the group.
        speeds: Lowest and highest speed; 1 is the recorded speed.
    """

    group: str
    speeds: tuple[float, float]


# Sources that soundfonts play.
Played = Instrument | Drums | DrumKit | Effects
Source = Played | Speech | Signal | Recordings
