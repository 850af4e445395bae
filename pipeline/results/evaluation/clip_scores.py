"""Reads the scores of the clips that a ground truth names.

The table of clips has the mean and the maximum of the patches of every clip. Only the
mean of logits needs the table of patches. Both tables are read in a stream.
"""

import collections
import dataclasses
import os
from collections.abc import Callable, Container, Iterator, Sequence

import numpy as np
import pyarrow.compute as pc
from scipy.special import expit, logit

from pipeline.dataset.snapshot import Snapshot, has_results, vectors_of
from pipeline.errors import ConfigError, DatasetError
from pipeline.results.evaluation.ground_truth import GroundTruth, same_spelling
from pipeline.results.evaluation.settings import Aggregate, Missing
from pipeline.results.events.clip_blocks import read_runs

# What the names in a ground truth may be -> the ledger column to compare, and how to
# get the name from its value. The entry that finds most clips is used, the first one if
# several find as many.
_KEYS: dict[str, tuple[str, Callable[[str], str]]] = {
    "clip_id": ("clip_id", str),
    "fname": ("fname", str),
    "file name": ("uri", os.path.basename),
    "file name without extension": (
        "uri",
        lambda uri: os.path.splitext(os.path.basename(uri))[0],
    ),
}
# Activations of exactly 0 and 1 have infinite logits. These limits have logits of
# -16.1 and 16.1. Of the float32 values near 1, they change only 1 and the one below it.
_CLIPPED_TO = (1e-7, 1 - 1e-7)
# Rows of the ledger that are Python objects at once.
_BATCH_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True)
class ScoredClips:
    """Labels and scores of the clips of a ground truth.

    Attributes:
        source: Ground truth.
        joined_by: What the names in the ground truth are, such as `fname`.
        clip_ids: clip_id of each clip; None for a clip that is not in the dataset.
        has_result: Whether a clip has a result, bool [num_clips]; the scores of the
            others are 0.
        truth: Whether a clip has a label, bool [num_clips, num_classes].
        given: Scores by the model, float [num_clips, num_classes].
        without_result: Reason why a clip has no result -> number of clips.
    """

    source: GroundTruth
    joined_by: str
    clip_ids: tuple[str | None, ...]
    has_result: np.ndarray
    truth: np.ndarray
    given: np.ndarray
    without_result: dict[str, int]


def read_labels(snapshot: Snapshot, aggregate: Aggregate) -> tuple[str, ...]:
    """Returns the model's labels.

    Raises:
        DatasetError: if the dataset does not have what the scores of clips need.
    """
    if aggregate == "logit-mean":
        snapshot.schema("patches", "activations")
        return snapshot.labels("activations_mean")
    return snapshot.labels(f"activations_{aggregate}")


def read_scored_clips(
    truth: GroundTruth,
    snapshot: Snapshot,
    labels: Sequence[str],
    aggregate: Aggregate,
    missing: Missing,
) -> ScoredClips:
    """Reads the labels and the scores of the clips of a ground truth.

    Args:
        truth: Ground truth.
        snapshot: Dataset to read.
        labels: Labels of the classes to read, in the model's order.
        aggregate: How a clip's score follows from its patches.
        missing: Whether clips without a result are kept (`zero`) or not (`skip`).

    Raises:
        ConfigError: if the ground truth does not fit the dataset, or no clip to score
            has a label.
        DatasetError: if the dataset has no activations, or is damaged.
    """
    joined_by, found = join_clips(truth, snapshot)
    reason_of = _without_result(truth, found, snapshot)
    names = [name for name in truth.labels if name not in reason_of]
    if not names:
        raise ConfigError(f"no clip of the ground truth {truth.source} has a result")
    if missing == "zero":
        names = [*truth.labels]
    clip_ids = tuple(found.get(name) for name in names)
    is_true = _truth_matrix(truth, names, labels)
    if not is_true.any():
        raise ConfigError(
            f"none of the {len(names):,} clips to score has a label in the ground "
            f"truth {truth.source}"
        )
    return ScoredClips(
        truth,
        joined_by,
        clip_ids,
        np.array([name not in reason_of for name in names]),
        is_true,
        _read_scores(snapshot, clip_ids, labels, aggregate),
        dict(collections.Counter(reason_of.values()).most_common()),
    )


def join_clips(truth: GroundTruth, snapshot: Snapshot) -> tuple[str, dict[str, str]]:
    """Finds the clips that the ground truth names.

    Returns:
        What the names are (a key of `_KEYS`), and name -> clip_id for the clips that
        the dataset has.

    Raises:
        ConfigError: if no clip is found, or several clips have the same name.
    """
    columns = {column for column, _ in _KEYS.values()}
    columns &= {*snapshot.ledger_names()}
    ledger = snapshot.ledger(sorted(columns))
    best: tuple[str, list[tuple[str, str]]] = ("", [])
    for key, (column, name_of) in _KEYS.items():
        if column not in columns:
            continue
        pairs = []
        # A dataset may have many more clips than the ground truth.
        for batch in ledger.to_batches(_BATCH_ROWS):
            names = (name_of(str(value)) for value in batch[column].to_pylist())
            both = zip(names, batch["clip_id"].to_pylist(), strict=True)
            pairs += [pair for pair in both if pair[0] in truth.labels]
        if len({*dict(pairs)}) > len({*dict(best[1])}):
            best = (key, pairs)
    key, pairs = best
    if not pairs:
        raise ConfigError(
            f"none of the {len(truth.labels):,} clips of the ground truth "
            f"{truth.source} is in {snapshot.dataset.shown}: it names "
            f"{next(iter(truth.labels))!r}, the dataset has "
            f"{ledger['clip_id'][0].as_py()!r}"
        )
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(n for n, i in pairs if found[n] != i)
        raise ConfigError(
            f"the ground truth {truth.source} names {name!r}, the {key} of several "
            f"clips in {snapshot.dataset.shown}; name clips by clip_id"
        )
    return key, found


def _without_result(
    truth: GroundTruth, clip_ids: dict[str, str], snapshot: Snapshot
) -> dict[str, str]:
    """Returns name -> reason, for the clips of the ground truth without a result."""
    ledger = snapshot.ledger(["clip_id", "status", "num_patches"])
    ledger = ledger.filter(pc.invert(has_results(ledger)))
    reasons = {
        row["clip_id"]: "failed" if row["status"] != "ok" else "shorter than one patch"
        for row in ledger.to_pylist()
    }
    reason_of = {
        name: reasons.get(clip_ids[name]) if name in clip_ids else "not in the dataset"
        for name in truth.labels
    }
    return {name: reason for name, reason in reason_of.items() if reason}


def _read_scores(
    snapshot: Snapshot,
    clip_ids: Sequence[str | None],
    labels: Sequence[str],
    aggregate: Aggregate,
) -> np.ndarray:
    """Reads the scores of clips; a clip without a result has scores of 0.

    Args:
        snapshot: Dataset to read.
        clip_ids: clip_id of each row; None for a clip that is not in the dataset.
        labels: Labels of the classes to read.
        aggregate: How a clip's score follows from its patches.

    Returns:
        [num_clips, num_classes]: float32; float64 for the mean of logits, because it
        has many values near 1, which would become equal in float32.
    """
    known = snapshot.labels("activations_mean")
    indices = [known.index(label) for label in labels]
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids) if clip_id}
    shape = (len(clip_ids), len(indices))
    result: np.ndarray
    if aggregate == "logit-mean":
        what, result = "logit-mean of activations", np.zeros(shape)
        batches = _logit_means(snapshot, row_of.keys(), indices)
    else:
        what, result = f"activations_{aggregate}", np.zeros(shape, np.float32)
        batches = _column_values(snapshot, what, indices)
    for found_ids, values in batches:
        rows = np.array([row_of.get(x, -1) for x in found_ids], int)
        result[rows[rows >= 0]] = values[rows >= 0]
    if not np.isfinite(result).all():
        bad = clip_ids[int(np.flatnonzero(~np.isfinite(result).all(axis=1))[0])]
        raise DatasetError(
            f"{what} of clip {bad!r} is not finite; extract again with --overwrite"
        )
    return result


def _column_values(
    snapshot: Snapshot, column: str, indices: list[int]
) -> Iterator[tuple[list[str], np.ndarray]]:
    for batch in snapshot.clips(column):
        yield batch["clip_id"].to_pylist(), vectors_of(batch[column])[:, indices]


def _logit_means(
    snapshot: Snapshot, wanted: Container[str], indices: list[int]
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Averages the logits of the patches of clips, one part of the dataset at a time.

    Args:
        snapshot: Dataset to read.
        wanted: clip_ids of the clips.
        indices: Indexes of the classes to read.

    Yields:
        clip_ids, and the sigmoids of their mean logits, float64 [num_clips,
        num_classes].

    Raises:
        DatasetError: if the patches are not exactly those that the ledger states.
    """
    snapshot.check_files("patches")
    for part, stated in snapshot.patch_counts():
        left = {row["clip_id"]: row["num_patches"] for row in stated.to_pylist()}
        sums: dict[str, np.ndarray] = {}
        counts: collections.Counter[str] = collections.Counter()
        for clip_id, values in read_runs(snapshot, part):
            counts[clip_id] += len(values)
            if clip_id in wanted:
                exact = np.clip(values[:, indices].astype(np.float64), *_CLIPPED_TO)
                total = logit(exact).sum(axis=0)
                sums[clip_id] = total + sums.get(clip_id, np.zeros(1))
        for clip_id, count in counts.items():
            expected = left.pop(clip_id, 0)
            if expected != count:
                problem = f"has {count:,} patches, the ledger states {expected:,}"
                raise snapshot.mismatch(clip_id, problem)
        if left:
            raise snapshot.mismatch(min(left), "has no results")
        if sums:
            means = [total / counts[clip_id] for clip_id, total in sums.items()]
            yield [*sums], expit(np.stack(means))


def _truth_matrix(
    truth: GroundTruth, names: list[str], labels: Sequence[str]
) -> np.ndarray:
    """Returns whether each clip has each label, bool [num_clips, num_classes]."""
    column_of = {same_spelling(label): i for i, label in enumerate(labels)}
    result = np.zeros((len(names), len(labels)), bool)
    for row, name in enumerate(names):
        result[row, [column_of[same_spelling(x)] for x in truth.labels[name]]] = True
    return result
