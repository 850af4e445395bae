"""What the report says of labels: counted over all clips, a part at a time."""

import dataclasses
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.folder import Dataset
from pipeline.dataset.vectors import vectors_of
from transforms import storage

NUM_BINS = 40
NUM_BEST = 20


@dataclasses.dataclass
class LabelStatistics:
    """Of one model, over all clips with activations.

    Attributes:
        labels: Names of the classes.
        num_clips: How many clips were counted.
        num_top: int64 [num_classes], how often a label is a clip's top one.
        bins: int64 [num_classes, NUM_BINS], clips by the label's mean activation, in
            equal steps from 0 to 1.
        top_bins: The same of the clips whose top label it is.
        best_ids: For every label the clip_ids with the highest mean activation,
            the highest first, up to NUM_BEST.
        best_scores: Their mean activations.
    """

    labels: tuple[str, ...]
    num_clips: int
    num_top: np.ndarray
    bins: np.ndarray
    top_bins: np.ndarray
    best_ids: list[list[str]]
    best_scores: list[list[float]]


def empty_statistics(labels: Sequence[str]) -> LabelStatistics:
    """Statistics of no clip."""
    count = len(labels)
    bins = np.zeros((2, count, NUM_BINS), np.int64)
    num_top = np.zeros(count, np.int64)
    ids: list[list[str]] = [[] for _ in labels]
    scores: list[list[float]] = [[] for _ in labels]
    return LabelStatistics(tuple(labels), 0, num_top, bins[0], bins[1], ids, scores)


def clip_tables(
    dataset: Dataset, model: str, parts: Sequence[str], columns: list[str]
) -> Iterator[tuple[str, pa.Table]]:
    """The clips tables of committed parts, with those of the columns that they have.

    Args:
        dataset: A run may be writing to it.
        model: Name.
        parts: File names of committed parts.
        columns: Names; clip_id is always read.
    """
    table = f"clips/model={model}"
    present = {*map(storage.file_name, dataset.parts(table))}
    for name in parts:
        if name in present:
            file = pq.ParquetFile(storage.open_arrow(dataset.file(table, name)))
            there = [c for c in columns if c in file.schema_arrow.names]
            yield name, file.read(["clip_id", *there])


def label_statistics(
    dataset: Dataset, model: str, parts: Sequence[str]
) -> LabelStatistics | None:
    """Counts labels over the committed clips; None without activations."""
    statistics: LabelStatistics | None = None
    for _, table in clip_tables(dataset, model, parts, ["activations_mean"]):
        if "activations_mean" not in table.column_names:
            return None
        if statistics is None:
            statistics = empty_statistics(json.loads(table.schema.metadata[b"labels"]))
        scores = vectors_of(table["activations_mean"])
        count_scores(statistics, table["clip_id"].to_pylist(), scores)
    return statistics


def count_scores(
    statistics: LabelStatistics, clip_ids: list[str], scores: np.ndarray
) -> None:
    """Adds clips to statistics.

    Args:
        statistics: Changed in place.
        clip_ids: Of the rows.
        scores: float32 [num_clips, num_classes], mean activations.
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
    # Ties by clip_id: the same page for any order of the parts.
    both = sorted([*zip(scores, ids, strict=True), *found], key=lambda x: (-x[0], x[1]))
    scores[:] = [score for score, _ in both[:NUM_BEST]]
    ids[:] = [clip_id for _, clip_id in both[:NUM_BEST]]
