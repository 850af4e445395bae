"""Counts and scores events and segments of every label."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from pipeline.results.evaluation.intervals import UNDEFINED, Estimate
from pipeline.results.evaluation.predictions import (
    PredictionScores,
    Rates,
    score_counts,
)
from pipeline.results.evaluation.settings import Settings
from pipeline.results.event_scores.clips import Clip
from pipeline.results.event_scores.matching import match_events
from pipeline.results.event_scores.segments import count_active, count_common
from transforms.events.detect import Times

# Index of a clip, and of a label.
Key = tuple[int, int]


class LabelCounts(NamedTuple):
    """Counts of a label: of its events, or of its segments.

    Attributes:
        num_true: Number of true ones; with marks, of those that are marked.
        num_found: Number of found ones; with marks, only those that are marked, too.
        num_hits: Number of found ones that are true.
    """

    num_true: int
    num_found: int
    num_hits: int


class Known(NamedTuple):
    """What a ground truth says of a label in a clip.

    Attributes:
        times: Start and end of events, float64 [num_events, 2].
        is_true: Whether the events are true, bool [num_events].
    """

    times: Times
    is_true: npt.NDArray[np.bool_]


_NO_EVENTS: Times = np.zeros((0, 2))
_NOTHING_KNOWN = Known(_NO_EVENTS, np.zeros(0, bool))


@dataclasses.dataclass(frozen=True)
class KindOfScores:
    """Scores of one kind, event-based or segment-based.

    Attributes:
        counts: Counts of every label.
        scores: Precision, recall and F1. With marks, only the precision is defined.
    """

    counts: tuple[LabelCounts, ...]
    scores: PredictionScores


@dataclasses.dataclass(frozen=True)
class Counter:
    """Counts events and segments.

    Attributes:
        collar_s: Seconds by which the start of a found event may differ.
        segment_s: Length of a segment.
        is_marks: Whether the ground truth says only of some found events whether they
            are true, so that nothing is known of other times.
    """

    collar_s: float
    segment_s: float
    is_marks: bool

    def count_events(self, known: Known, found: Times) -> LabelCounts:
        """Counts events of a label in a clip."""
        is_found = match_events(known.times, found, self.collar_s) >= 0
        num_hits = int((is_found & known.is_true).sum())
        num_found = int(is_found.sum()) if self.is_marks else len(found)
        return LabelCounts(int(known.is_true.sum()), num_found, num_hits)

    def count_segments(self, known: Known, found: Times, clip: Clip) -> LabelCounts:
        """Counts segments of a label in a clip."""
        grid = (clip.start_s, self.segment_s)
        true = known.times[known.is_true]
        num_found = (
            count_common(known.times, found, *grid)
            if self.is_marks
            else count_active(found, *grid)
        )
        return LabelCounts(
            count_active(true, *grid), num_found, count_common(true, found, *grid)
        )


def score_events(
    known: Mapping[Key, Known],
    found: Mapping[Key, Times],
    clips: list[Clip],
    num_labels: int,
    counter: Counter,
    settings: Settings,
) -> tuple[KindOfScores, KindOfScores]:
    """Scores events and segments, with intervals of the bootstrap over recordings.

    Args:
        known: Events of the ground truth.
        found: Found events, float64 [num_events, 2] each.
        clips: Clips to score.
        num_labels: Number of labels to score.
        counter: Counts what is found.
        settings: Settings of the bootstrap.
    """
    # Sorted, so that the intervals do not depend on how clips are put into shards.
    recordings = sorted({clip.recording for clip in clips})
    row_of = {recording: i for i, recording in enumerate(recordings)}
    keys = sorted(known.keys() | found.keys())
    counts = np.array(
        [
            (*counter.count_events(one, other), *counter.count_segments(one, other, c))
            for one, other, c in _pairs(keys, known, found, clips)
        ]
    ).reshape(-1, 6)
    rows = [row_of[clips[clip].recording] for clip, _ in keys]
    places = (rows, [label for _, label in keys])
    tables = [
        csr_array((values, places), shape=(len(row_of), num_labels))
        for values in counts.T
    ]
    by_event, by_segment = (
        _kind(three, counter.is_marks, settings) for three in (tables[:3], tables[3:])
    )
    return by_event, by_segment


def _pairs(
    keys: list[Key],
    known: Mapping[Key, Known],
    found: Mapping[Key, Times],
    clips: list[Clip],
) -> Iterator[tuple[Known, Times, Clip]]:
    for key in keys:
        clip = clips[key[0]]
        yield known.get(key, _NOTHING_KNOWN), found.get(key, _NO_EVENTS), clip


def _kind(tables: list[csr_array], is_marks: bool, settings: Settings) -> KindOfScores:
    """Scores counts of one kind: true, found and hits, [num_recordings, num_labels]."""
    true, chosen, hits = tables
    # Of found events without a mark nothing is known, and of events that were not found
    # neither: only the precision is. It is undefined for a label without found ones.
    scores = score_counts(hits, chosen, chosen if is_marks else true, settings)
    if is_marks:
        scores = _each(scores, lambda rates: Rates(precision=rates.precision))
    if true.shape[0] == 1:
        scores = _each(scores, _without_intervals)
    sums = (table.sum(axis=0).tolist() for table in tables)
    return KindOfScores(tuple(map(LabelCounts, *sums)), scores)


def _each(
    scores: PredictionScores, change: Callable[[Rates], Rates]
) -> PredictionScores:
    classes = tuple(map(change, scores.classes))
    return PredictionScores(classes, change(scores.macro), change(scores.micro))


def _without_intervals(rates: Rates) -> Rates:
    """Resamples of a single recording are all the same, and show no error."""

    def bare(estimate: Estimate) -> Estimate:
        return dataclasses.replace(UNDEFINED, value=estimate.value)

    return Rates(bare(rates.precision), bare(rates.recall), bare(rates.f1))
