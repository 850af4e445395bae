"""A small parser reads the written scores and phrases back."""

import dataclasses
import pathlib
import random
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.recipes.rendered import RECIPES
from training.recipes.sources import DrumKit, Drums, Effects, Instrument, Preset
from training.synthesis.midi import DRUM_CHANNEL, Score
from training.synthesis.phrases import Phrase, play

TICK_S = 1 / 960
Played = Instrument | Drums | DrumKit | Effects
SOURCES: dict[str, Played] = {
    recipe.name: recipe.source
    for recipe in RECIPES
    if isinstance(recipe.source, Instrument | Drums | DrumKit | Effects)
}
PRESETS, KITS = ((0, 5), (8, 6)), (0, 8)
# The last notes of an arpeggio may sound, for 20 ms each, after the end of a phrase.
# This is allowed, because the next phrase has the same recipe and so the same labels.
ARPEGGIO_S = 6 * 0.12 - 0.4 + 0.02


@dataclasses.dataclass(frozen=True)
class Note:
    """A note with start and end."""

    start_s: float
    end_s: float
    channel: int
    key: int
    velocity: int


def read_midi(path: pathlib.Path) -> list[tuple[int, bytes]]:
    """Events (ticks from the start, bytes) of a file with one track, with its end."""
    data = path.read_bytes()
    assert data[:4] == b"MThd" and data[14:18] == b"MTrk"
    assert struct.unpack(">IHHH", data[4:14]) == (6, 0, 1, 480)
    (length,) = struct.unpack(">I", data[18:22])
    track = data[22:]
    assert len(track) == length
    events = []
    position, now = 0, 0
    while position < length:
        delta = 0
        while True:
            byte = track[position]
            position += 1
            delta = delta << 7 | byte & 127
            if not byte & 128:
                break
        now += delta
        # A change of program has one data byte; all other events here have two.
        size = 2 if track[position] >> 4 == 0xC else 3
        events.append((now, track[position : position + size]))
        position += size
    return events


def notes_of(events: Sequence[tuple[int, bytes]]) -> list[Note]:
    """Notes sorted by start; an "off" ends the first sounding note with its key."""
    sounding: dict[tuple[int, int], list[tuple[int, int]]] = {}
    notes = []
    for ticks, event in events:
        status, channel = event[0] >> 4, event[0] & 15
        if status == 0x9:
            waiting = sounding.setdefault((channel, event[1]), [])
            waiting.append((ticks, event[2]))
        elif status == 0x8:
            start, velocity = sounding[channel, event[1]].pop(0)
            times = start * TICK_S, ticks * TICK_S
            notes.append(Note(*times, channel, event[1], velocity))
    assert not any(sounding.values()), "a note has no end"
    return sorted(notes, key=lambda note: note.start_s)


def phrases(
    path: pathlib.Path, source: Played, seed: int, num: int = 3, length_s: float = 4.0
) -> list[tuple[int, bytes]]:
    score, rng = Score(), np.random.default_rng(seed)
    for index in range(num):
        phrase = Phrase(score, index * length_s, length_s, rng)
        play(phrase, source, index, PRESETS, KITS)
    score.write(path)
    return read_midi(path)


def test_score_is_read_back(tmp_path: pathlib.Path) -> None:
    score = Score()
    score.program(0.0, 0, 8, 14)
    score.note(0.25, 0.5, 0, 60, 100)
    score.bend(0.5, 0, -1)
    score.bend(0.5, 0, 0)
    score.bend(0.5, 0, 1)
    score.control(0.5, DRUM_CHANNEL, 64, 127)
    score.write(tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid") == [
        (0, b"\xb0\x00\x08"),
        (0, b"\xc0\x0e"),
        (240, b"\x90\x3c\x64"),
        (480, b"\x80\x3c\x00"),
        (480, b"\xe0\x01\x00"),
        (480, b"\xe0\x00\x40"),
        (480, b"\xe0\x7f\x7f"),
        (480, b"\xb9\x40\x7f"),
        (480 + 960, b"\xff\x2f\x00"),
    ]


@settings(max_examples=100)
@given(
    deltas=st.lists(st.integers(0, 3_000_000) | st.integers(0, 300), max_size=20),
    shuffler=st.randoms(use_true_random=False),
)
def test_any_times_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, deltas: list[int], shuffler: random.Random
) -> None:
    ticks = np.cumsum([0, *deltas]).tolist()
    events = [(tick, number % 128) for number, tick in enumerate(ticks)]
    shuffler.shuffle(events)
    score = Score()
    for tick, value in events:
        score.control(tick / 960, 0, 1, value)
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    score.write(path)
    read = [(tick, event[2]) for tick, event in read_midi(path)]
    expected = sorted(events, key=lambda event: event[0])
    assert read[:-1] == expected
    assert read[-1][0] == ticks[-1] + 960


@pytest.mark.parametrize(
    ("ticks", "coded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8100"),
        (16383, "ff7f"),
        (16384, "818000"),
        (2097152, "81808000"),
    ],
)
def test_variable_lengths_are_coded_as_in_the_standard(
    tmp_path: pathlib.Path, ticks: int, coded: str
) -> None:
    score = Score()
    score.control(ticks / 960, 0, 7, 1)
    score.write(tmp_path / "a.mid")
    track = (tmp_path / "a.mid").read_bytes()[22:]
    assert track.hex() == coded + "b00701" + "8740ff2f00"


def test_velocities_are_limited_to_those_of_midi(tmp_path: pathlib.Path) -> None:
    score = Score()
    for start, velocity in enumerate((-5, 0, 64, 200)):
        score.note(start, start + 0.5, 3, 60, velocity)
    score.write(tmp_path / "a.mid")
    notes = notes_of(read_midi(tmp_path / "a.mid"))
    assert [note.velocity for note in notes] == [1, 1, 64, 127]
    assert {note.channel for note in notes} == {3}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_phrases_stay_in_their_time_and_range(
    source: Played, tmp_path: pathlib.Path
) -> None:
    length_s, num = 4.0, 4
    is_arpeggio = isinstance(source, Instrument) and source.style == "arpeggio"
    late_s = ARPEGGIO_S if is_arpeggio else -0.1
    for seed in range(6):
        notes = notes_of(phrases(tmp_path / "a.mid", source, seed, num, length_s))
        assert {int(note.start_s / length_s) for note in notes} >= set(range(num))
        for note in notes:
            own = min(num - 1, int(note.start_s / length_s))
            assert own * length_s <= note.start_s < note.end_s
            assert note.end_s <= (own + 1) * length_s + late_s
            assert note.key in keys_of(source)
            assert (note.channel == DRUM_CHANNEL) == isinstance(source, Drums | DrumKit)


def keys_of(source: Played) -> Sequence[int]:
    match source:
        case Drums():
            return source.keys
        case DrumKit():
            return range(35, 58)
        case _:
            return range(source.low, source.high + 1)


@settings(max_examples=60)
@given(
    style=st.sampled_from(
        ["mono", "poly", "pick", "strum", "arpeggio", "strokes", "sustain"]
    ),
    low=st.integers(0, 90),
    width=st.integers(24, 37),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_instrument_stays_in_its_range(
    tmp_path_factory: pytest.TempPathFactory,
    style: str,
    low: int,
    width: int,
    seed: int,
) -> None:
    source = Instrument(PRESETS, low, low + width, style)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    notes = notes_of(phrases(path, source, seed))
    assert notes
    assert {note.key for note in notes} <= set(range(low, low + width + 1))


@pytest.mark.parametrize("name", ["piano", "strum", "drum_kit", "hi_hat", "rain"])
def test_seed_decides_what_is_played(name: str, tmp_path: pathlib.Path) -> None:
    source = SOURCES[name]
    path = tmp_path / "a.mid"
    first, same, other = (phrases(path, source, seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    ("name", "channel", "expected"),
    [
        ("piano", 0, [(0, 5), (8, 6), (0, 5)]),
        ("drum_kit", DRUM_CHANNEL, [(0, 0), (0, 8), (0, 0)]),
        ("hi_hat", DRUM_CHANNEL, [(0, 0), (0, 8), (0, 0)]),
        ("rain", 0, [(0, 5), (8, 6), (0, 5)]),
    ],
)
def test_presets_and_kits_take_turns(
    name: str, channel: int, expected: list[Preset], tmp_path: pathlib.Path
) -> None:
    played = phrases(tmp_path / "a.mid", SOURCES[name], seed=0)
    events = [event for _, event in played]
    banks = [event[2] for event in events if event[:2] == bytes([0xB0 | channel, 0])]
    programs = [event[1] for event in events if event[0] == 0xC0 | channel]
    assert list(zip(banks, programs, strict=True)) == expected
