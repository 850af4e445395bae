"""Counts the labels of all clips of a dataset for the report, one part at a time."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.dataset.snapshot import Snapshot, vectors_of

NUM_BINS = 40
NUM_BEST = 20


@dataclasses.dataclass
class LabelStatistics:
    """Statistics of the labels of one model, over all clips with activations.

    Attributes:
        labels: Names of the classes.
        num_clips: Number of clips.
        num_top: Number of clips whose top label it is, int64 [num_classes].
        bins: Histogram of each label's mean activations, int64 [num_classes, NUM_BINS],
            in equal steps from 0 to 1.
        top_bins: The same histogram, of the clips whose top label it is.
        best_ids: For every label, up to NUM_BEST clip_ids with its highest mean
            activations, the highest first.
        best_scores: Mean activations of the clips in `best_ids`.
    """

    labels: tuple[str, ...]
    num_clips: int
    num_top: np.ndarray
    bins: np.ndarray
    top_bins: np.ndarray
    best_ids: list[list[str]]
    best_scores: list[list[float]]


def empty_statistics(labels: Sequence[str]) -> LabelStatistics:
    """Returns statistics without clips."""
    count = len(labels)
    bins = np.zeros((2, count, NUM_BINS), np.int64)
    num_top = np.zeros(count, np.int64)
    ids: list[list[str]] = [[] for _ in labels]
    scores: list[list[float]] = [[] for _ in labels]
    return LabelStatistics(tuple(labels), 0, num_top, bins[0], bins[1], ids, scores)


def label_statistics(snapshot: Snapshot) -> LabelStatistics | None:
    """Counts labels over the committed clips; None if there are no activations."""
    if not snapshot.has_column("clips", "activations_mean"):
        return None
    statistics = empty_statistics(snapshot.labels("activations_mean"))
    for batch in snapshot.clips("activations_mean"):
        scores = vectors_of(batch["activations_mean"])
        count_scores(statistics, batch["clip_id"].to_pylist(), scores)
    return statistics


def count_scores(
    statistics: LabelStatistics, clip_ids: list[str], scores: np.ndarray
) -> None:
    """Adds clips to statistics.

    Args:
        statistics: Statistics, changed in place.
        clip_ids: Clips of the rows.
        scores: Mean activations, float32 [num_clips, num_classes].
    """
    if not clip_ids:
        return
    statistics.num_clips += len(clip_ids)
    top = scores.argmax(axis=1)
    bins = np.clip((scores * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    classes = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    np.add.at(statistics.num_top, top, 1)
    np.add.at(statistics.bins, (classes, bins), 1)
    np.add.at(statistics.top_bins, (top, bins[np.arange(len(top)), top]), 1)
    order = np.argsort(-scores, axis=0, kind="stable")[:NUM_BEST]
    for label, rows in enumerate(order.T):
        _keep_best(
            statistics, label, [(float(scores[r, label]), clip_ids[r]) for r in rows]
        )


def _keep_best(
    statistics: LabelStatistics, label: int, found: list[tuple[float, str]]
) -> None:
    ids, scores = statistics.best_ids[label], statistics.best_scores[label]
    if len(scores) == NUM_BEST and found[0][0] <= scores[-1]:
        return
    # Equal scores are sorted by clip_id: the page shall not depend on the parts' order.
    both = sorted([*zip(scores, ids, strict=True), *found], key=lambda x: (-x[0], x[1]))
    scores[:] = [score for score, _ in both[:NUM_BEST]]
    ids[:] = [clip_id for _, clip_id in both[:NUM_BEST]]
