"""Scores a dataset against a ground truth, from the Parquet files alone.

Only the table of clips is read, in a stream: it holds the mean and the maximum of the
patches of every clip.
"""

import collections
import dataclasses
import os
from collections.abc import Callable
from typing import Literal

import numpy as np

from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.errors import ConfigError, DatasetError
from pipeline.results.evaluation import scores
from pipeline.results.evaluation.ground_truth import (
    GroundTruth,
    class_indices,
    read_ground_truth,
    same_spelling,
)
from pipeline.results.evaluation.published import Published, find_published

Aggregate = Literal["mean", "max"]
Missing = Literal["zero", "skip"]
CONFIDENCE = 0.95
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


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    Attributes:
        aggregate: Whether the mean or the maximum of its patches is a clip's score.
        missing: Whether clips of the ground truth without a result count as scored 0
            in all classes (`zero`), or are left out (`skip`).
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """

    aggregate: Aggregate = "mean"
    missing: Missing = "zero"
    num_resamples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """Scores of one class; `auc` is the area under the ROC curve."""

    label: str
    num_positives: int
    average_precision: Estimate
    auc: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        snapshot: Dataset and model that were scored.
        truth: Ground truth.
        settings: Settings.
        joined_by: What the names in the ground truth are, such as `fname`.
        num_evaluated: Number of scored clips, including those counted as scored 0.
        without_result: Reason why a clip has no result -> number of clips.
        classes: Scores of the classes that the ground truth asks for, in the model's
            order.
        overall: Scores over all classes: mAP, mean_auc, d_prime and lwlrap.
        published: Published score of the same model; None if there is none.
        unfinished: How many clips are done if the run has not finished, else None.
    """

    snapshot: Snapshot
    truth: GroundTruth
    settings: Settings
    joined_by: str
    num_evaluated: int
    without_result: dict[str, int]
    classes: tuple[ClassScore, ...]
    overall: dict[str, Estimate]
    published: Published | None
    unfinished: str | None


def evaluate(
    output: str,
    ground_truth: str,
    split: str | None,
    model: str | None,
    settings: Settings,
) -> Evaluation:
    """Scores the clips of a dataset.

    Args:
        output: Folder of a dataset.
        ground_truth: FSD50K root or CSV file, see `ground_truth.py`.
        split: Split of the ground truth; None for its default.
        model: Name of the model; may be None if the dataset has only one.
        settings: Settings of the evaluation.

    Raises:
        ConfigError: if the ground truth cannot be used, or does not fit the dataset.
        DatasetError: if the folder holds no dataset with activations, or a damaged one.
    """
    if settings.num_resamples < 1:
        raise ConfigError(f"resamples is {settings.num_resamples}, expected 1 or more")
    snapshot = Snapshot(output, model)
    labels = snapshot.labels(f"activations_{settings.aggregate}")
    truth = read_ground_truth(ground_truth, split)
    indices = class_indices(truth, labels, snapshot.model)
    joined_by, clip_ids = join_clips(truth, snapshot)
    without_result = _without_result(truth, clip_ids, snapshot)
    names = [n for n in truth.labels if n not in without_result]
    if not names:
        raise ConfigError(f"no clip of the ground truth {truth.source} has a result")
    if settings.missing == "zero":
        names = [*truth.labels]
    given = _read_scores(snapshot, [clip_ids.get(n) for n in names], indices, settings)
    asked = [labels[index] for index in indices]
    is_true = _truth_matrix(truth, names, asked)
    if not is_true.any():
        raise ConfigError(
            f"none of the {len(names):,} clips to score has a label in the ground "
            f"truth {truth.source}"
        )
    classes, overall = score_all(is_true, given, asked, settings)
    return Evaluation(
        snapshot,
        truth,
        settings,
        joined_by,
        len(names),
        dict(collections.Counter(without_result.values()).most_common()),
        classes,
        overall,
        find_published(snapshot, truth),
        snapshot.unfinished(),
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
    columns &= {*snapshot.ledger_dataset().schema.names}
    ledger = snapshot.ledger(sorted(columns))
    clip_ids = ledger["clip_id"].to_pylist()
    best: tuple[str, list[tuple[str, str]]] = ("", [])
    for key, (column, name_of) in _KEYS.items():
        if column not in columns:
            continue
        names = (name_of(str(value)) for value in ledger[column].to_pylist())
        pairs = [(n, i) for n, i in zip(names, clip_ids, strict=True)]
        pairs = [pair for pair in pairs if pair[0] in truth.labels]
        if len({*dict(pairs)}) > len({*dict(best[1])}):
            best = (key, pairs)
    key, pairs = best
    if not pairs:
        raise ConfigError(
            f"none of the {len(truth.labels):,} clips of the ground truth "
            f"{truth.source} is in {snapshot.dataset.shown}: it names "
            f"{next(iter(truth.labels))!r}, the dataset has {clip_ids[0]!r}"
        )
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(n for n, i in pairs if found[n] != i)
        raise ConfigError(
            f"the ground truth {truth.source} names {name!r}, the {key} of several "
            f"clips in {snapshot.dataset.shown}; name clips by clip_id"
        )
    return key, found


def score_all(
    truth: np.ndarray, given: np.ndarray, labels: list[str], settings: Settings
) -> tuple[tuple[ClassScore, ...], dict[str, Estimate]]:
    """Computes the scores of every class and over all classes, with intervals.

    Intervals come from the basic bootstrap over clips (Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, section 5.2): the score minus the error that
    the resamples show. Quantiles of the resamples themselves would be too high, because
    a positive clip that is drawn twice ranks well.

    Args:
        truth: Whether a clip has a label, bool [num_clips, num_classes].
        given: Scores by the model, float [num_clips, num_classes].
        labels: Labels of the classes.
        settings: Settings of the bootstrap.

    Returns:
        The scores of every class, and mAP, mean_auc, d_prime and lwlrap.
    """
    precisions = scores.average_precisions(truth, given)
    areas = scores.areas_under_roc(truth, given)
    blocks = [
        scores.resampled_scores(truth, given, weights)
        for weights in scores.bootstrap_weights(
            len(truth), settings.num_resamples, settings.seed
        )
    ]
    drawn_precisions, drawn_areas, drawn_lwlrap = map(
        np.concatenate, zip(*blocks, strict=True)
    )
    mean_area = _estimate(scores.nanmean(areas), scores.nanmean(drawn_areas, axis=1))
    overall = {
        "mAP": _estimate(
            scores.nanmean(precisions), scores.nanmean(drawn_precisions, axis=1)
        ),
        "mean_auc": mean_area,
        "d_prime": Estimate(*map(scores.d_prime, dataclasses.astuple(mean_area))),
        "lwlrap": _estimate(np.array(scores.lwlrap(truth, given)), drawn_lwlrap),
    }
    classes = tuple(
        ClassScore(
            label,
            int(truth[:, i].sum()),
            _estimate(precisions[i], drawn_precisions[:, i]),
            float(areas[i]),
        )
        for i, label in enumerate(labels)
    )
    return classes, overall


def _estimate(measured: np.ndarray, drawn: np.ndarray) -> Estimate:
    """Returns a score from 0 to 1 with its interval.

    The interval is NaN if the score or all its resamples are NaN.
    """
    value = float(measured)
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return Estimate(value, float("nan"), float("nan"))
    tail = (1 - CONFIDENCE) / 2
    low, high = 2 * value - np.quantile(drawn, [1 - tail, tail])
    return Estimate(value, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)))


def _without_result(
    truth: GroundTruth, clip_ids: dict[str, str], snapshot: Snapshot
) -> dict[str, str]:
    """Returns name -> reason, for the clips of the ground truth without a result."""
    ledger = snapshot.ledger(["clip_id", "status", "num_patches"])
    rows = zip(*(column.to_pylist() for column in ledger.columns), strict=True)
    reasons = {
        clip_id: "failed" if status != "ok" else "shorter than one patch"
        for clip_id, status, num_patches in rows
        if status != "ok" or not num_patches
    }
    reason_of = {
        name: reasons.get(clip_ids[name]) if name in clip_ids else "not in the dataset"
        for name in truth.labels
    }
    return {name: reason for name, reason in reason_of.items() if reason}


def _read_scores(
    snapshot: Snapshot,
    clip_ids: list[str | None],
    indices: list[int],
    settings: Settings,
) -> np.ndarray:
    """Reads the scores of clips; a clip without a result has scores of 0.

    Args:
        snapshot: Dataset to read.
        clip_ids: clip_id of each row; None for a clip that is not in the dataset.
        indices: Indexes of the classes to read.
        settings: Settings of the evaluation.

    Returns:
        float32 [num_clips, num_classes].
    """
    column = f"activations_{settings.aggregate}"
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids) if clip_id}
    result = np.zeros((len(clip_ids), len(indices)), np.float32)
    for batch in snapshot.clips(column):
        rows = np.array([row_of.get(x, -1) for x in batch["clip_id"].to_pylist()], int)
        values = vectors_of(batch[column])
        result[rows[rows >= 0]] = values[rows >= 0][:, indices]
    if not np.isfinite(result).all():
        bad = clip_ids[int(np.flatnonzero(~np.isfinite(result).all(axis=1))[0])]
        raise DatasetError(
            f"{column} of clip {bad!r} is not finite; extract again with --overwrite"
        )
    return result


def _truth_matrix(
    truth: GroundTruth, names: list[str], labels: list[str]
) -> np.ndarray:
    """Returns whether each clip has each label, bool [num_clips, num_classes]."""
    column_of = {same_spelling(label): i for i, label in enumerate(labels)}
    result = np.zeros((len(names), len(labels)), bool)
    for row, name in enumerate(names):
        result[row, [column_of[same_spelling(x)] for x in truth.labels[name]]] = True
    return result
