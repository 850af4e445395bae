"""Finds events in the activations of a clip, with pure functions on arrays.

Scores are compared in float64: an activation of float32 is at or above a threshold if
its exact value is.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.elements import FloatArray
from transforms.events.hierarchy import descendants
from transforms.events.settings import Bounds, EventSettings, LabelThresholds

Times = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class PatchTimes:
    """Where the patches of a clip are.

    Attributes:
        num_patches: Number of patches.
        hop_samples: Samples from the start of a patch to the start of the next.
        patch_samples: Samples of a patch.
        rate_hz: Rate of these samples.
        clip_start_s: Start of the clip in its file, in seconds.
        clip_duration_s: Duration of the clip. No event ends later, although a last
            patch that was filled up by repetition does.
    """

    num_patches: int
    hop_samples: int
    patch_samples: int
    rate_hz: int
    clip_start_s: float
    clip_duration_s: float

    @property
    def hop_s(self) -> float:
        return self.hop_samples / self.rate_hz

    def spans(self, bounds: Bounds) -> tuple[Times, Times]:
        """Returns the start and the end of the time for which every patch stands.

        With bounds `hop`, a patch stands for the hop in its middle, except that the
        first patch begins with the clip, and the last one ends where it ends itself.

        Returns:
            Two float64 [num_patches], in half samples from the start of the clip:
            whole numbers, so that spans that touch have equal numbers.
        """
        start = np.arange(self.num_patches, dtype=np.float64) * 2 * self.hop_samples
        end = start + 2 * self.patch_samples
        clip_end = self.clip_duration_s * 2 * self.rate_hz
        if bounds == "hop":
            margin = self.patch_samples - self.hop_samples
            middle = start + margin
            end = np.append(end[:-1] - margin, end[-1:])
            # The middle of a patch that was filled up may be after the end of the clip.
            start = np.where((start > 0) & (middle < clip_end), middle, start)
        end = np.minimum(end, clip_end)
        return np.minimum(start, end), end

    def seconds(self, half_samples: Times) -> Times:
        """Converts half samples to seconds."""
        return half_samples / (2 * self.rate_hz)


@dataclasses.dataclass(frozen=True)
class Events:
    """Events of one clip, sorted by start and then by label.

    Attributes:
        label: Indexes of the labels, int64 [num_events].
        start: Starts in half samples from the start of the clip, float64.
        end: Ends, likewise.
        score_max: Highest score of the event's patches, float64, after smoothing.
        score_mean: Mean of these scores, float64.
        num_patches: Number of patches in which the label was detected, int64.
    """

    label: Integers
    start: Times
    end: Times
    score_max: Times
    score_mean: Times
    num_patches: Integers

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Events":
        """Returns some of the events."""
        columns = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Events(**{name: column[rows] for name, column in columns.items()})


def find_events(
    blocks: Iterable[FloatArray],
    times: PatchTimes,
    thresholds: LabelThresholds,
    settings: EventSettings,
) -> Events:
    """Finds the events of a clip.

    In this order: scores are smoothed; an event of a label begins with a patch at or
    above the threshold and ends before the next patch below the low threshold; events
    of one label that overlap, touch, or are at most `merge_gap_s` apart become one;
    short events are dropped; with `leaves`, events of labels above others are dropped.

    Args:
        blocks: Activations of consecutive patches, float32 [any number, num_classes].
        times: Times of all patches.
        thresholds: Thresholds of the labels.
        settings: Settings.
    """
    num_smooth = smoothing_patches(settings.smooth_s, times.hop_s)
    points = _points_above(smooth(blocks, num_smooth), thresholds.lows)
    runs = _runs(points, thresholds.thresholds, *times.spans(settings.bounds))
    events = _merged(runs, times, settings.merge_gap_s)
    duration_s = times.seconds(events.end - events.start)
    events = events.take(duration_s >= settings.min_duration_s)
    if settings.leaves:
        events = events.take(_is_leaf(events, thresholds.labels))
    if settings.labels:
        wanted = [label in settings.labels for label in thresholds.labels]
        events = events.take(np.array(wanted)[events.label])
    return events.take(np.lexsort((events.label, events.start)))


def smoothing_patches(smooth_s: float, hop_s: float) -> int:
    """Number of patches of the median filter: the nearest odd number."""
    return 2 * int(smooth_s / hop_s / 2) + 1


def smooth(blocks: Iterable[FloatArray], num_patches: int) -> Iterator[FloatArray]:
    """Filters scores with a median over patches, block by block.

    Before the first and after the last patch, the filter sees that patch repeated.

    Args:
        blocks: float32 [any number, num_classes].
        num_patches: Length of the filter, an odd number.

    Yields:
        Blocks with as many patches in all as were given.
    """
    half = num_patches // 2
    held: FloatArray | None = None
    for block in blocks:
        if not half or not len(block):
            yield block
            continue
        before = np.repeat(block[:1], half, axis=0) if held is None else held
        held = np.concatenate([before, block])
        yield _medians(held, half)
        held = held[-2 * half :]
    if held is not None:
        yield _medians(np.concatenate([held, np.repeat(held[-1:], half, axis=0)]), half)


def _medians(scores: FloatArray, half: int) -> FloatArray:
    """Medians of all complete windows: `2 * half` patches fewer than given."""
    if len(scores) <= 2 * half:
        return scores[:0]
    # SciPy takes long to load, and few runs smooth.
    from scipy.ndimage import median_filter

    smoothed: FloatArray = median_filter(scores, size=(2 * half + 1, 1))
    return smoothed[half:-half]


class _Points(NamedTuple):
    """Scores at or above the low thresholds, sorted by label and patch.

    Labels are int16, patches int32: with a low threshold, a day has millions of points.
    """

    label: npt.NDArray[np.integer]
    patch: npt.NDArray[np.integer]
    score: FloatArray


def _points_above(blocks: Iterable[FloatArray], lows: Times) -> _Points:
    found, begin = [_Points(*(np.zeros(0, t) for t in ("i2", "i4", "f4")))], 0
    for block in blocks:
        patch, label = np.nonzero(block >= lows)
        score = block[patch, label]
        patch = (patch + begin).astype(np.int32)
        found.append(_Points(label.astype(np.int16), patch, score))
        begin += len(block)
    label, patch, score = map(np.concatenate, zip(*found, strict=True))
    # Patches are in order already.
    order = np.argsort(label, kind="stable")
    return _Points(label[order], patch[order], score[order])


def _runs(points: _Points, thresholds: Times, starts: Times, ends: Times) -> Events:
    """Events before merging: runs of patches, from the first at the threshold on."""
    label, patch, score = points
    num_points = len(label)
    is_first = np.ones(num_points, bool)
    is_first[1:] = (label[1:] != label[:-1]) | (patch[1:] != patch[:-1] + 1)
    first = np.flatnonzero(is_first)
    end = np.append(first[1:], num_points)[: len(first)]
    # Points of a run before the first one at the threshold do not count.
    high = np.flatnonzero(score >= thresholds[label])
    place = np.searchsorted(high, first)
    is_event = place < len(high)
    is_event[is_event] = high[place[is_event]] < end[is_event]
    first, end = high[place[is_event]], end[is_event]
    count = end - first
    # Every second result of reduceat is that of the points between two events.
    pairs = np.stack([first, end], axis=1).ravel()
    padded = np.append(score, score[:1])
    score_max = np.maximum.reduceat(padded, pairs)[::2] if len(pairs) else padded[:0]
    total = np.add.reduceat(padded, pairs, dtype=np.float64)[::2] if len(pairs) else 0
    return Events(
        label[first].astype(np.int64),
        starts[patch[first]],
        ends[patch[end - 1]],
        score_max.astype(np.float64),
        total / count,
        count,
    )


def _merged(events: Events, times: PatchTimes, gap_s: float) -> Events:
    """Joins events of one label that are at most `gap_s` apart."""
    if not len(events.label):
        return events
    is_first = np.ones(len(events.label), bool)
    is_other = events.label[1:] != events.label[:-1]
    is_first[1:] = is_other | (
        times.seconds(events.start[1:] - events.end[:-1]) > gap_s
    )
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(is_first)) - 1
    count = np.add.reduceat(events.num_patches, first)
    total = np.add.reduceat(events.score_mean * events.num_patches, first)
    return Events(
        events.label[first],
        events.start[first],
        events.end[last],
        np.maximum.reduceat(events.score_max, first),
        total / count,
        count,
    )


def _is_leaf(events: Events, labels: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Whether no event of a label below overlaps an event, bool [num_events]."""
    result = np.ones(len(events.label), bool)
    index_of = {label: index for index, label in enumerate(labels)}
    for label in np.unique(events.label):
        below = [index_of[x] for x in descendants(labels[label]) if x in index_of]
        is_below, is_own = np.isin(events.label, below), events.label == label
        starts, ends = np.sort(events.start[is_below]), np.sort(events.end[is_below])
        # An event is overlapped if more events below have begun before it ends than
        # have ended before it starts.
        begun = np.searchsorted(starts, events.end[is_own], "left")
        ended = np.searchsorted(ends, events.start[is_own], "right")
        result[is_own] = begun == ended
    return result
