"""Composes random phrases for soundfonts: melodies, chords, strokes, beats."""

from collections.abc import Sequence

import numpy as np

from training.recipes.sources import DrumKit, Drums, Effects, Instrument, Played, Preset
from training.synthesis import midi
from training.synthesis.midi import DRUM_CHANNEL, Score

Random = np.random.Generator

_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 7), (0, 12), (0, 4, 7, 12), (0, 4, 9))
_STRUMMED = ((0, 7, 12, 16, 19, 24), (0, 7, 12, 15, 19), (0, 5, 10, 15, 19, 24))
_INTERVALS = (-7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 7)
_STEPS_S = (0.12, 0.18, 0.25, 0.4, 0.7, 1.2)
_BASS, _SNARE, _CRASH, _TOMS = (35, 36), (38, 40), (49, 57), (41, 45, 48, 50)
# No stroke begins in the last _REST_S of a phrase, and notes end before its last
# _LAST_OFF_S.
_REST_S, _LAST_OFF_S = 0.4, 0.12


class Phrase:
    """A part of a score, from `start_s` on, that one recipe fills."""

    def __init__(
        self, score: Score, start_s: float, length_s: float, rng: Random
    ) -> None:
        self._score, self._rng = score, rng
        self._start_s, self._end_s = start_s, start_s + length_s
        for channel in (0, DRUM_CHANNEL):
            score.control(start_s, channel, midi.ALL_OFF, 0)
            score.control(start_s, channel, midi.SUSTAIN, 0)
            reverb = int(rng.choice([0, 10, 40, 90]))
            score.control(start_s, channel, midi.REVERB, reverb)

    def play_instrument(self, source: Instrument, preset: Preset) -> None:
        rng = self._rng
        self._set_up(preset)
        self._score.bend(self._start_s, 0, rng.uniform(-0.12, 0.12))
        if source.style == "poly" and rng.random() < 0.3:
            self._score.control(self._start_s, 0, midi.SUSTAIN, 127)
        steps = (0.5, 0.8, 1.3, 2.2) if source.style == "sustain" else _STEPS_S
        step = float(rng.choice(steps))
        key = int(rng.integers(source.low + 5, source.high - 4))
        loudness = int(rng.integers(50, 111))
        now = self._start_s + 0.05 + rng.uniform(0, 0.3)
        while now < self._end_s - _REST_S:
            key = min(max(key + self._pick(_INTERVALS), source.low), source.high)
            velocity = loudness + int(rng.integers(-20, 21))
            now += self._stroke(source, now, key, velocity, step)
            if rng.random() < 0.12:
                now += rng.uniform(0.2, 0.8)

    def play_drums(self, source: Drums, kit: int) -> None:
        rng = self._rng
        self._score.program(self._start_s, DRUM_CHANNEL, 0, kit)
        step = float(rng.choice([0.13, 0.2, 0.3, 0.5, 0.9, 1.4]))
        key = self._pick(source.keys)
        now = self._start_s + 0.05 + rng.uniform(0, 0.3)
        while now < self._end_s - _REST_S:
            if rng.random() < 0.3:
                key = self._pick(source.keys)
            self._note(now, 0.3, key, int(rng.integers(40, 128)), DRUM_CHANNEL)
            now += step * float(rng.choice([0.5, 1, 1, 1, 2])) * rng.uniform(0.95, 1.05)

    def play_kit(self, kit: int) -> None:
        """Plays sixteenths on a cymbal, a backbeat, a bass drum pattern and fills."""
        rng = self._rng
        self._score.program(self._start_s, DRUM_CHANNEL, 0, kit)
        step = rng.uniform(0.1, 0.22)
        cymbal, bass, snare = (
            self._pick((42, 42, 46, 51)),
            self._pick(_BASS),
            self._pick(_SNARE),
        )
        is_kick = rng.random(16) < 0.25
        is_kick[0] = True
        every = self._pick((1, 2, 2))
        times = np.arange(self._start_s + 0.05, self._end_s - _REST_S, step)
        for index, now in enumerate(times):
            beat = index % 16
            if index % every == 0:
                self._drum(now, cymbal, 45, 100)
            if is_kick[beat]:
                self._drum(now, bass, 80, 127)
            if beat % 8 == 4 or (beat > 12 and rng.random() < 0.15):
                self._drum(now, snare, 70, 127)
            if beat == 0 and rng.random() < 0.2:
                self._drum(now, self._pick(_CRASH), 80, 120)
            if beat > 11 and rng.random() < 0.15:
                self._drum(now, self._pick(_TOMS), 70, 120)

    def play_effect(self, source: Effects, preset: Preset) -> None:
        rng = self._rng
        self._set_up(preset)
        now = self._start_s + 0.05 + rng.uniform(0, 0.3)
        while now < self._end_s - _REST_S:
            length = float(rng.choice([0.6, 1.2, 2.5, 5.0]))
            key = int(rng.integers(source.low, source.high + 1))
            self._score.bend(now, 0, rng.uniform(-0.5, 0.5))
            self._note(now, length, key, int(rng.integers(70, 128)))
            now += length * rng.uniform(0.7, 1.3)

    def _stroke(
        self, source: Instrument, now: float, key: int, velocity: int, step: float
    ) -> float:
        """Plays one note or chord and returns the time until the next."""
        rng, style = self._rng, source.style
        length = step * float(rng.choice([0.5, 1, 1, 1, 2]))
        if style == "strum" or (style == "pick" and rng.random() < 0.25):
            root = int(rng.integers(source.low, source.low + 13))
            return self._strum(source, now, root, velocity, length)
        if style == "arpeggio":
            gap = rng.uniform(0.05, 0.12)
            scale = (0, 4, 7, 12, 16, 19, 24)[: int(rng.integers(3, 8))]
            for index, interval in enumerate(scale):
                if key + interval <= source.high:
                    self._note(now + index * gap, 1.0, key + interval, velocity)
            return max(length, gap * len(scale))
        if style == "poly" and rng.random() < 0.6:
            for interval in _CHORDS[int(rng.integers(len(_CHORDS)))]:
                if key + interval <= source.high:
                    self._note(now, length * 1.1, key + interval, velocity)
            return length
        held = 1.0 if style == "sustain" else float(rng.choice([0.5, 0.95, 1.2]))
        self._note(now, length * held, key, velocity)
        return length

    def _strum(
        self, source: Instrument, now: float, root: int, velocity: int, length: float
    ) -> float:
        strings = _STRUMMED[int(self._rng.integers(len(_STRUMMED)))]
        if self._rng.random() < 0.5:
            strings = strings[::-1]
        gap = self._rng.uniform(0.008, 0.03)
        for index, interval in enumerate(strings):
            key = min(source.high, root + interval)
            self._note(now + index * gap, max(length, 0.3) + 0.3, key, velocity)
        return max(length, 0.25)

    def _set_up(self, preset: Preset) -> None:
        self._score.program(self._start_s, 0, *preset)
        expression = int(self._rng.integers(90, 128))
        self._score.control(self._start_s, 0, midi.EXPRESSION, expression)

    def _drum(self, now: float, key: int, softest: int, loudest: int) -> None:
        velocity = int(self._rng.integers(softest, loudest + 1))
        self._note(now, 0.2, key, velocity, DRUM_CHANNEL)

    def _note(
        self, now: float, length: float, key: int, velocity: int, channel: int = 0
    ) -> None:
        end_s = min(now + length, self._end_s - _LAST_OFF_S)
        self._score.note(now, max(end_s, now + 0.02), channel, key, velocity)

    def _pick(self, choices: Sequence[int]) -> int:
        return choices[int(self._rng.integers(len(choices)))]


def play(
    phrase: Phrase,
    source: Played,
    index: int,
    presets: Sequence[Preset],
    kits: Sequence[int],
) -> None:
    """Fills a phrase; presets and drum kits change from phrase to phrase.

    Args:
        phrase: Phrase to fill.
        source: Source to play.
        index: Number of the phrase in its score.
        presets: Presets of the source that the soundfont has.
        kits: Drum kits (programs) of the soundfont.
    """
    kit = kits[index % len(kits)]
    match source:
        case Drums():
            phrase.play_drums(source, kit)
        case DrumKit():
            phrase.play_kit(kit)
        case Effects():
            phrase.play_effect(source, presets[index % len(presets)])
        case Instrument():
            phrase.play_instrument(source, presets[index % len(presets)])
