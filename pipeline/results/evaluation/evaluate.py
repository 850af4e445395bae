"""Scores a dataset against a ground truth, from Parquet alone.

Clips are read in a stream and kept as one row of scores each; patches are not read:
the dataset has their mean and maximum for every clip.
"""

import collections
import dataclasses
import os
from collections.abc import Callable
from typing import Literal

import numpy as np

from pipeline.dataset.snapshot import Snapshot
from pipeline.dataset.vectors import vectors_of
from pipeline.errors import ConfigError
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
# How a name of the ground truth may name a clip, by ledger column; the first of those
# under which most are found is taken.
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
    """How to evaluate.

    Attributes:
        aggregate: From patches to a clip.
        missing: What to do with clips of the ground truth without a result: count
            them as scored 0 in all classes, or leave them out.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """

    aggregate: Aggregate = "mean"
    missing: Missing = "zero"
    num_resamples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """One class: average precision with its interval, area under the ROC curve."""

    label: str
    num_positives: int
    average_precision: Estimate
    auc: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that was found.

    Attributes:
        snapshot: What was scored.
        truth: Against what.
        settings: How.
        joined_by: How the ground truth names clips.
        num_evaluated: Clips that the scores are of, those counted as 0 included.
        without_result: Why clips of the ground truth have no result -> their number.
        classes: All that were asked for, in the model's order.
        overall: mAP, mean AUC, d_prime and lwlrap.
        published: What is known of the same model, if anything.
        unfinished: What is missing if the run has not ended.
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
        split: Of the ground truth.
        model: Name; may be None if the dataset has one model.
        settings: How to evaluate.

    Raises:
        ConfigError: if dataset or ground truth cannot be used, or do not fit.
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
            f"none of the {len(names):,} clips of the ground truth {truth.source} "
            "that are to be scored has a label"
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
    """Finds the clips that the ground truth names, by name.

    Returns:
        What the names are, and the clip_id of each that the dataset has.

    Raises:
        ConfigError: if none is found, or a name fits several clips.
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
    """Scores with confidence intervals.

    Intervals are of the basic bootstrap over clips (Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, section 5.2): the figure minus the error that
    resamples show. Quantiles of the resamples themselves would lie too high, because a
    positive that is drawn twice ranks well.

    Args:
        truth: bool [num_clips, num_classes].
        given: float [num_clips, num_classes].
        labels: Of the classes.
        settings: Of the bootstrap.
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
    """A figure from 0 to 1 with its interval; NaN if it or all resamples are."""
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
    """Name of every clip of the ground truth that has no result -> why."""
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
    """float32 [num_clips, num_classes], a row a clip_id; 0 without a result."""
    column = f"activations_{settings.aggregate}"
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids) if clip_id}
    result = np.zeros((len(clip_ids), len(indices)), np.float32)
    for batch in snapshot.clips(column):
        rows = np.array([row_of.get(x, -1) for x in batch["clip_id"].to_pylist()], int)
        values = vectors_of(batch[column])
        result[rows[rows >= 0]] = values[rows >= 0][:, indices]
    if not np.isfinite(result).all():
        bad = clip_ids[int(np.flatnonzero(~np.isfinite(result).all(axis=1))[0])]
        raise ConfigError(f"{column} of clip {bad!r} is not finite; extract it again")
    return result


def _truth_matrix(
    truth: GroundTruth, names: list[str], labels: list[str]
) -> np.ndarray:
    """bool [num_clips, num_classes]."""
    column_of = {same_spelling(label): i for i, label in enumerate(labels)}
    result = np.zeros((len(names), len(labels)), bool)
    for row, name in enumerate(names):
        result[row, [column_of[same_spelling(x)] for x in truth.labels[name]]] = True
    return result
