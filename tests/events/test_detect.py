"""Events equal those of an independent implementation with plain loops."""

import dataclasses
import itertools
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.events.detect import (
    PatchTimes,
    find_events,
    smooth,
    smoothing_patches,
)
from transforms.events.hierarchy import descendants, parents
from transforms.events.settings import Bounds, EventSettings
from transforms.events.thresholds import Threshold
from transforms.front_end.patches import HOP_SAMPLES
from transforms.models.loading import load_model
from transforms.schemas import PATCH_SAMPLES

HOP_S, DURATION_S = 0.5, 1.0
RATE_HZ = 22050
# A chain, a pair of siblings and a label without relations.
LABELS = ("Animal", "Bark", "Dog", "Cat", "Wind")
Row = tuple[str, Fraction | float, Fraction | float, float, float, int]


@dataclasses.dataclass
class Plain:
    """The definition of an event, patch by patch, with exact times.

    `hop` and `length` of a patch are numbers of samples.
    """

    options: EventSettings
    scores: np.ndarray
    clip_end_s: float
    hop: int = RATE_HZ // 2
    length: int = RATE_HZ

    def events(self) -> list[Row]:
        smoothed = self.smoothed()
        found = []
        for column, label in enumerate(LABELS):
            one = self.options.thresholds.get(label)
            if one is None:
                value = self.options.threshold
                if value is None and not self.options.thresholds:
                    value = 0.5
                if value is None:
                    continue
                one = Threshold(value, self.options.low)
            found += self.of_label(label, smoothed[:, column].tolist(), one)
        shortest_s = self.options.min_duration_s
        found = [e for e in found if float(e[2] - e[1]) >= shortest_s]
        if self.options.leaves:
            found = [e for e in found if not any(self.hides(o, e) for o in found)]
        if self.options.labels:
            found = [e for e in found if e[0] in self.options.labels]
        found.sort(key=lambda e: (e[1], LABELS.index(e[0])))
        return [(e[0], float(e[1]), float(e[2]), *e[3:]) for e in found]

    def smoothed(self) -> np.ndarray:
        """Medians, with the first and the last patch repeated."""
        half = smoothing_patches(self.options.smooth_s, self.hop / RATE_HZ) // 2
        last = len(self.scores) - 1
        rows = [
            [self.scores[min(max(p + k, 0), last)] for k in range(-half, half + 1)]
            for p in range(last + 1)
        ]
        return np.array([np.sort(row, axis=0)[half] for row in rows]).reshape(
            len(rows), len(LABELS)
        )

    def of_label(self, label: str, scores: list[float], one: Threshold) -> list[Row]:
        low = one.threshold if one.low is None else one.low
        events: list[list[int]] = []
        is_open = False
        for patch, score in enumerate(scores):
            if is_open and score >= low:
                events[-1].append(patch)
            elif score >= one.threshold:
                events.append([patch])
                is_open = True
            else:
                is_open = False
        joined: list[list[int]] = []
        for event in events:
            if joined:
                gap = self.start(event[0]) - self.end(joined[-1][-1])
                if float(gap) <= self.options.merge_gap_s:
                    joined[-1] += event
                    continue
            joined.append(event)
        return [
            (
                label,
                self.start(event[0]),
                self.end(event[-1]),
                max(scores[p] for p in event),
                sum(scores[p] for p in event) / len(event),
                len(event),
            )
            for event in joined
        ]

    def start(self, patch: int) -> Fraction:
        start = Fraction(patch * self.hop, RATE_HZ)
        middle = start + Fraction(self.length - self.hop, 2 * RATE_HZ)
        if self.options.bounds == "hop" and patch and middle < self.clip_end_s:
            start = middle
        return min(start, Fraction(self.clip_end_s))

    def end(self, patch: int) -> Fraction:
        end = Fraction(patch * self.hop + self.length, RATE_HZ)
        if self.options.bounds == "hop" and patch < len(self.scores) - 1:
            end -= Fraction(self.length - self.hop, 2 * RATE_HZ)
        return min(end, Fraction(self.clip_end_s))

    @staticmethod
    def hides(other: Row, event: Row) -> bool:
        below = other[0] in descendants(event[0])
        return below and other[1] < event[2] and event[1] < other[2]


# Few values, so that scores are equal to thresholds and to each other.
UNIT = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0])
SECONDS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.5])


@st.composite
def threshold(draw: st.DrawFn) -> Threshold:
    value = draw(UNIT)
    low = draw(st.one_of(st.none(), UNIT.filter(lambda x: x <= value)))
    return Threshold(value, low)


@st.composite
def options(draw: st.DrawFn) -> EventSettings:
    value = draw(st.one_of(st.none(), UNIT))
    low = draw(st.one_of(st.none(), UNIT))
    common = 0.5 if value is None else value
    return EventSettings(
        threshold=value,
        thresholds=draw(st.dictionaries(st.sampled_from(LABELS), threshold())),
        low=None if low is None or low > common else low,
        labels=tuple(draw(st.lists(st.sampled_from(LABELS), max_size=2))),
        smooth_s=draw(SECONDS),
        min_duration_s=draw(SECONDS),
        merge_gap_s=draw(SECONDS),
        leaves=draw(st.booleans()),
        bounds=draw(st.sampled_from(get_args(Bounds))),
    )


@st.composite
def clip(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Scores, float32 [num_patches, 5], and the end of the clip."""
    count = draw(st.integers(1, 12))
    row = st.lists(UNIT, min_size=len(LABELS), max_size=len(LABELS))
    rows = draw(st.lists(row, min_size=count, max_size=count))
    # The last patch may reach over the end, almost with its whole length.
    shorter = draw(st.sampled_from([-0.2, 0.0, 0.25, 0.75, 0.95]))
    end_s = (count - 1) * HOP_S + DURATION_S - shorter
    return np.array(rows, np.float32), end_s


def found(
    plain: Plain, sizes: list[int], chosen: EventSettings | None = None
) -> list[Row]:
    """The events of the clip of `plain`, whose activations come in blocks."""
    chosen = chosen or plain.options
    times = PatchTimes(
        len(plain.scores), plain.hop, plain.length, RATE_HZ, 0.0, plain.clip_end_s
    )
    blocks = np.split(plain.scores, np.cumsum(sizes)) if sizes else [plain.scores]
    events = find_events(blocks, times, chosen.of_labels(LABELS), chosen)
    columns = [
        [LABELS[index] for index in events.label],
        times.seconds(events.start).tolist(),
        times.seconds(events.end).tolist(),
        events.score_max.tolist(),
        events.score_mean.tolist(),
        events.num_patches.tolist(),
    ]
    return [*zip(*columns, strict=True)]


def assert_equal(events: list[Row], expected: list[Row]) -> None:
    """Compares events. A mean, and the end of a clip, may be rounded differently."""
    assert len(events) == len(expected)
    for event, other in zip(events, expected, strict=True):
        assert (event[0], event[3], event[5]) == (other[0], other[3], other[5])
        assert event[1:] == pytest.approx(other[1:], rel=1e-12, abs=1e-12)


@settings(max_examples=600, deadline=None)
@given(clip(), options(), st.lists(st.integers(0, 4), max_size=3))
def test_events_equal_those_of_plain_loops(
    given_clip: tuple[np.ndarray, float], chosen: EventSettings, sizes: list[int]
) -> None:
    plain = Plain(chosen, *given_clip)
    assert_equal(found(plain, sizes), plain.events())


@settings(max_examples=300, deadline=None)
@given(clip(), options(), st.integers(1, 101), st.floats(0, 8))
def test_times_are_exact_for_all_hops(
    given_clip: tuple[np.ndarray, float],
    chosen: EventSettings,
    hop: int,
    end_s: float,
) -> None:
    plain = Plain(chosen, given_clip[0], end_s, hop * HOP_SAMPLES, PATCH_SAMPLES)
    # The last patch begins before the end of the clip.
    plain.clip_end_s += (len(plain.scores) - 1) * plain.hop / RATE_HZ + 0.01
    assert_equal(found(plain, []), plain.events())


@pytest.mark.parametrize("seed", range(3))
def test_events_of_long_clips_equal_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.repeat(rng.random((150, 5), np.float32), rng.integers(1, 5, 150), 0)
    scores += rng.normal(0, 0.05, scores.shape).astype(np.float32)
    end_s = len(scores) * HOP_S
    for smooth_s, low, gap_s, bounds in itertools.product(
        (0.0, 1.5, 3.5), (None, 0.4), (0.0, 2.0), get_args(Bounds)
    ):
        chosen = EventSettings(
            0.6, low=low, smooth_s=smooth_s, merge_gap_s=gap_s, bounds=bounds
        )
        plain = Plain(chosen, scores, end_s)
        expected = plain.events()
        assert_equal(found(plain, [1, 64, 64]), expected)
        assert len(expected) > 5


@settings(max_examples=100, deadline=None)
@given(clip(), st.integers(0, 6), st.lists(st.integers(0, 4), max_size=5))
def test_smoothing_does_not_depend_on_blocks(
    given_clip: tuple[np.ndarray, float], half: int, sizes: list[int]
) -> None:
    scores, _ = given_clip
    blocks = np.split(scores, np.cumsum(sizes))
    whole = np.concatenate([*smooth([scores], 2 * half + 1)])
    assert np.array_equal(np.concatenate([*smooth(blocks, 2 * half + 1)]), whole)
    assert whole.shape == scores.shape


def test_a_clip_without_patches_has_no_events() -> None:
    plain = Plain(EventSettings(0.0), np.zeros((0, 5), np.float32), 0.0)
    assert found(plain, []) == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, 1), (0.49, 1), (0.9, 1), (1.1, 3), (1.5, 3), (2.4, 5), (10.0, 21)],
)
def test_the_filter_has_the_nearest_odd_number_of_patches(
    seconds: float, expected: int
) -> None:
    assert smoothing_patches(seconds, 0.5) == expected


def test_the_hierarchy_has_the_labels_of_the_models_and_no_circles() -> None:
    labels = {*load_model("fsd-sinet-vgg41-tlpf-demo").labels}
    for label in labels:
        assert {*parents(label)} <= labels
        assert label not in descendants(label) <= labels
        assert all(label in descendants(above) for above in parents(label))
    assert {"Snare drum", "Percussion", "Gong"} <= descendants("Music")
    assert parents("Bicycle bell") == ("Alarm", "Bell")
    assert not parents("Hiss") + parents("A label of another vocabulary")
