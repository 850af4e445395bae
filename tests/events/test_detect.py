"""Events equal those of an independent implementation with plain loops."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.events.detect import (
    Events,
    PatchTimes,
    find_events,
    smooth,
    smoothing_patches,
)
from transforms.events.hierarchy import children, descendants
from transforms.events.settings import EventSettings, Threshold
from transforms.models.loading import load_model

HOP_S, DURATION_S = 0.5, 1.0
# A chain, a pair of siblings and a label without relations.
LABELS = ("Animal", "Bark", "Dog", "Cat", "Wind")
Row = tuple[str, float, float, float, float, int]


@dataclasses.dataclass
class Plain:
    """The definition of an event, patch by patch. Times are those of the patches."""

    options: EventSettings
    scores: np.ndarray
    clip_end_s: float

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
        found = [e for e in found if e[2] - e[1] >= self.options.min_duration_s]
        if self.options.leaves:
            found = [e for e in found if not any(self.hides(o, e) for o in found)]
        if self.options.labels:
            found = [e for e in found if e[0] in self.options.labels]
        return sorted(found, key=lambda e: (e[1], LABELS.index(e[0])))

    def smoothed(self) -> np.ndarray:
        """Medians, with the first and the last patch repeated."""
        half = smoothing_patches(self.options.smooth_s, HOP_S) // 2
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
                if gap <= self.options.merge_gap_s:
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

    def start(self, patch: int) -> float:
        start = patch * HOP_S
        middle = start + (DURATION_S - HOP_S) / 2
        if self.options.bounds == "hop" and patch and middle < self.clip_end_s:
            start = middle
        return min(start, self.clip_end_s)

    def end(self, patch: int) -> float:
        end = patch * HOP_S + DURATION_S
        if self.options.bounds == "hop" and patch < len(self.scores) - 1:
            end -= (DURATION_S - HOP_S) / 2
        return min(end, self.clip_end_s)

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
        bounds=draw(st.sampled_from(["patch", "hop"])),
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
    scores: np.ndarray, end_s: float, chosen: EventSettings, sizes: list[int]
) -> list[Row]:
    times = PatchTimes(np.arange(len(scores)) * HOP_S, DURATION_S, HOP_S, end_s)
    blocks = np.split(scores, np.cumsum(sizes)) if sizes else [scores]
    return rows_of(find_events(blocks, times, chosen.of_labels(LABELS), chosen))


def rows_of(events: Events) -> list[Row]:
    columns = [getattr(events, f.name).tolist() for f in dataclasses.fields(events)]
    return [(LABELS[row[0]], *row[1:]) for row in zip(*columns, strict=True)]


@settings(max_examples=600, deadline=None)
@given(clip(), options(), st.lists(st.integers(0, 4), max_size=3))
def test_events_equal_those_of_plain_loops(
    given_clip: tuple[np.ndarray, float], chosen: EventSettings, sizes: list[int]
) -> None:
    scores, end_s = given_clip
    expected = Plain(chosen, scores, end_s).events()
    events = found(scores, end_s, chosen, sizes)
    assert [e[:4] + e[5:] for e in events] == [e[:4] + e[5:] for e in expected]
    assert [e[4] for e in events] == pytest.approx([e[4] for e in expected])


@pytest.mark.parametrize("seed", range(3))
def test_events_of_long_clips_equal_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.repeat(rng.random((150, 5), np.float32), rng.integers(1, 5, 150), 0)
    scores += rng.normal(0, 0.05, scores.shape).astype(np.float32)
    end_s = len(scores) * HOP_S
    for smooth_s, low, gap_s, bounds in itertools.product(
        (0.0, 1.5, 3.5), (None, 0.4), (0.0, 2.0), ("patch", "hop")
    ):
        chosen = EventSettings(
            0.6, low=low, smooth_s=smooth_s, merge_gap_s=gap_s, bounds=bounds
        )
        expected = Plain(chosen, scores, end_s).events()
        events = found(scores, end_s, chosen, [1, 64, 64])
        assert [e[:4] for e in events] == [e[:4] for e in expected]
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
    assert found(np.zeros((0, 5), np.float32), 0.0, EventSettings(0.0), []) == []


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
        assert {*children(label)} <= labels
        assert label not in descendants(label)
    assert {"Snare drum", "Percussion", "Gong"} <= descendants("Music")
    assert not children("A label of another vocabulary")
