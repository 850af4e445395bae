"""Fits thresholds on some clips of a ground truth, and scores them on other clips.

Thresholds that are scored on the clips they were fitted on look better than they are,
most of all for classes with few clips. So this module refuses clips that are in both.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.event_options import thresholds_of_file
from pipeline.results.evaluation.clip_scores import ScoredClips, read_scored_clips
from pipeline.results.evaluation.folds import assign_folds, first_shared, read_audio
from pipeline.results.evaluation.ground_truth import (
    GroundTruth,
    class_indices,
    read_ground_truth,
    same_spelling,
)
from pipeline.results.evaluation.predictions import (
    PredictionScores,
    Rates,
    mean_rates,
    score_predictions,
)
from pipeline.results.evaluation.settings import (
    Objective,
    Settings,
    ThresholdSettings,
)
from pipeline.results.evaluation.thresholds import Fitted, fit_thresholds
from transforms import storage
from transforms.errors import did_you_mean

_FSD50K_FIT_SPLIT = "val"


@dataclasses.dataclass(frozen=True)
class Fit:
    """How thresholds were fitted.

    Attributes:
        split: Split of the clips; None for all rows of a CSV file.
        num_clips: Number of clips, which all have a result.
        fitted: Thresholds, in the order of the classes.
        macro: Macro precision, recall and F1 on the clips that were fitted on. They are
            too high, and show by how much.
        micro: Micro precision, recall and F1 on these clips.
    """

    split: str | None
    num_clips: int
    fitted: Fitted
    macro: list[float]
    micro: list[float]


@dataclasses.dataclass(frozen=True)
class ThresholdScores:
    """Thresholds of the classes, and scores of the labels that follow from them.

    Attributes:
        settings: Settings.
        labels: Labels of the classes.
        thresholds: float64 [num_classes]; NaN for a class without a threshold.
        scores: Scores; undefined for a class without a threshold, which does not count
            in the macro and micro scores.
        fit: How the thresholds were fitted; None if they were given.
    """

    settings: ThresholdSettings
    labels: tuple[str, ...]
    thresholds: np.ndarray
    scores: PredictionScores
    fit: Fit | None


def read_truths(
    source: str, split: str | None, thresholds: ThresholdSettings | None
) -> tuple[GroundTruth, GroundTruth | None]:
    """Reads the ground truth of the clips to score, and of other clips to fit on.

    Returns:
        The ground truth to score. The ground truth to fit on; None if no thresholds are
        fitted, or if they are fitted by cross-validation.

    Raises:
        ConfigError: if the source cannot be used, or both have common clips.
    """
    if thresholds is None or not thresholds.is_fitted:
        return read_ground_truth(source, split), None
    if storage.absolute(thresholds.file) == storage.absolute(source):
        raise ConfigError(
            f"the thresholds would replace the ground truth {source}; give another "
            "file to --fit-thresholds"
        )
    fit_split = thresholds.fit_split
    if thresholds.num_folds is not None:
        if split and fit_split and split != fit_split:
            raise ConfigError(
                f"--cross-validate fits and scores one split: got --split {split} and "
                f"--fit-split {fit_split}; leave out one of the options"
            )
        return read_ground_truth(source, split or fit_split), None
    truth = read_ground_truth(source, split)
    fit_split = fit_split or (_FSD50K_FIT_SPLIT if truth.is_fsd50k else None)
    if fit_split is None or truth.split is None:
        missing = "--split" if fit_split else "--fit-split"
        raise ConfigError(
            f"{missing} is not given: thresholds are fitted on one split of {source} "
            "and scored on another; give --fit-split and --split, two values of its "
            "column split, or --cross-validate K"
        )
    if fit_split == truth.split:
        raise ConfigError(
            f"thresholds would be scored on split {fit_split}, on which they are "
            "fitted, and look too good; give another --split or --fit-split, or "
            "--cross-validate K"
        )
    fit_truth = read_ground_truth(source, fit_split)
    common = [name for name in truth.labels if name in fit_truth.labels]
    if common:
        raise _overlap(common[0], truth, fit_truth)
    return truth, fit_truth


def score_thresholds(
    clips: ScoredClips,
    fit_truth: GroundTruth | None,
    labels: Sequence[str],
    snapshot: Snapshot,
    settings: Settings,
    thresholds: ThresholdSettings,
) -> ThresholdScores:
    """Fits or reads thresholds, and scores the labels that follow from them.

    Args:
        clips: Clips to score.
        fit_truth: Ground truth to fit on; None as in `read_truths`.
        labels: Labels of the classes.
        snapshot: Dataset of the clips.
        settings: Settings of the evaluation.
        thresholds: Settings of the thresholds.

    Raises:
        ConfigError: if clips to score overlap clips to fit on, there are too few files
            for the folds, or given thresholds do not fit the model.
    """
    fit = None
    if not thresholds.is_fitted:
        values = _read_given(thresholds.file, labels, snapshot)
    else:
        fit_clips = clips
        if fit_truth is not None:
            fit_clips = _read_fit_clips(fit_truth, labels, snapshot, settings)
            _check_apart(clips, fit_clips, snapshot)
        fit = _fit(fit_clips, thresholds.objective)
        values = fit.fitted.thresholds
    if thresholds.num_folds is None:
        predicted = clips.has_result[:, None] & (clips.given >= values)
    else:
        predicted = _predict_by_folds(clips, snapshot, settings.seed, thresholds)
    scores = _score(clips.truth, predicted, values, settings)
    return ThresholdScores(thresholds, tuple(labels), values, scores, fit)


def _read_fit_clips(
    truth: GroundTruth, labels: Sequence[str], snapshot: Snapshot, settings: Settings
) -> ScoredClips:
    # Refuses labels that the model does not know.
    class_indices(truth, snapshot.labels("activations_mean"), snapshot.model)
    return read_scored_clips(truth, snapshot, labels, settings.aggregate, "skip")


def _fit(clips: ScoredClips, objective: Objective) -> Fit:
    """Fits on the clips with a result: the others have no scores to choose from."""
    truth = clips.source
    is_true, given = clips.truth[clips.has_result], clips.given[clips.has_result]
    if not is_true.any():
        part = f"split {truth.split} of " if truth.split else ""
        raise ConfigError(
            f"none of the {len(is_true):,} clips to fit thresholds on has a label in "
            f"{part}{truth.source}"
        )
    fitted = fit_thresholds(is_true, given, objective)
    macro, micro = mean_rates(is_true, given >= fitted.thresholds)
    return Fit(truth.split, len(is_true), fitted, macro, micro)


def _predict_by_folds(
    clips: ScoredClips, snapshot: Snapshot, seed: int, thresholds: ThresholdSettings
) -> np.ndarray:
    """Predicts the labels of each fold with thresholds fitted on the other folds."""
    assert thresholds.num_folds is not None
    rows = np.flatnonzero(clips.has_result)
    audio = read_audio(snapshot)
    files = [audio[x][0] for row in rows if (x := clips.clip_ids[row]) is not None]
    folds = assign_folds(clips.truth[rows], files, thresholds.num_folds, seed)
    predicted = np.zeros(clips.truth.shape, bool)
    for fold in range(thresholds.num_folds):
        others, held_out = rows[folds != fold], rows[folds == fold]
        if not clips.truth[others].any():
            raise ConfigError(
                f"all labels of the ground truth are in one of {thresholds.num_folds} "
                "folds; give a ground truth with more labels"
            )
        fitted = fit_thresholds(
            clips.truth[others], clips.given[others], thresholds.objective
        )
        predicted[held_out] = clips.given[held_out] >= fitted.thresholds
    return predicted


def _score(
    truth: np.ndarray, predicted: np.ndarray, thresholds: np.ndarray, settings: Settings
) -> PredictionScores:
    """Scores the classes that have a threshold."""
    used = np.flatnonzero(~np.isnan(thresholds))
    scores = score_predictions(truth[:, used], predicted[:, used], settings)
    classes = [Rates()] * len(thresholds)
    for index, rates in zip(used, scores.classes, strict=True):
        classes[index] = rates
    return dataclasses.replace(scores, classes=tuple(classes))


def _read_given(path: str, labels: Sequence[str], snapshot: Snapshot) -> np.ndarray:
    """Reads the thresholds of the classes from a file; NaN for a class without one."""
    given = {same_spelling(k): v for k, v in thresholds_of_file(path).items()}
    known = [*map(same_spelling, snapshot.labels("activations_mean"))]
    for label in given:
        if label not in known:
            hint = did_you_mean(label, known) or f"it has {', '.join(known[:3])}"
            raise ConfigError(
                f"thresholds {path}: model {snapshot.model} has no label {label!r}; "
                f"{hint}"
            )
    asked = [given.get(same_spelling(label)) for label in labels]
    if not any(asked):
        raise ConfigError(
            f"thresholds {path} have none of the {len(labels):,} classes to score, "
            f"such as {labels[0]!r}"
        )
    return np.array([np.nan if one is None else one.threshold for one in asked])


def _check_apart(
    clips: ScoredClips, fit_clips: ScoredClips, snapshot: Snapshot
) -> None:
    """Raises ConfigError if a clip to score has audio of a clip to fit on."""
    audio = read_audio(snapshot)
    one, other = (
        {clip_id: audio[clip_id] for clip_id in which.clip_ids if clip_id}
        for which in (clips, fit_clips)
    )
    shared = first_shared(one, other)
    if shared is not None:
        raise _overlap(shared, clips.source, fit_clips.source)


def _overlap(name: str, truth: GroundTruth, fit_truth: GroundTruth) -> ConfigError:
    return ConfigError(
        f"splits {truth.split} and {fit_truth.split} of {truth.source} overlap: the "
        f"audio of clip {name!r} is in both, so the scores would be too high; give "
        "splits without common audio, or --cross-validate K"
    )
