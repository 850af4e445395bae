"""Scores a dataset against a ground truth, from the Parquet files alone."""

import dataclasses

import numpy as np

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.results.evaluation import scores
from pipeline.results.evaluation.clip_scores import read_labels, read_scored_clips
from pipeline.results.evaluation.fit import (
    ThresholdScores,
    read_truths,
    score_thresholds,
)
from pipeline.results.evaluation.ground_truth import GroundTruth, class_indices
from pipeline.results.evaluation.intervals import Estimate, estimate
from pipeline.results.evaluation.published import Published, find_published
from pipeline.results.evaluation.settings import Settings, ThresholdSettings


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
        thresholds: Scores of thresholds; None if none were asked for.
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
    thresholds: ThresholdScores | None = None


def evaluate(
    output: str,
    ground_truth: str,
    split: str | None,
    model: str | None,
    settings: Settings,
    thresholds: ThresholdSettings | None = None,
) -> Evaluation:
    """Scores the clips of a dataset.

    Args:
        output: Folder of a dataset.
        ground_truth: FSD50K root or CSV file, see `ground_truth.py`.
        split: Split of the ground truth; None for its default.
        model: Name of the model; may be None if the dataset has only one.
        settings: Settings of the evaluation.
        thresholds: Thresholds to fit or to read, and to score; None for none.

    Raises:
        ConfigError: if the ground truth cannot be used, or does not fit the dataset.
        DatasetError: if the folder holds no dataset with activations, or a damaged one.
    """
    if settings.num_resamples < 1:
        raise ConfigError(f"resamples is {settings.num_resamples}, expected 1 or more")
    snapshot = Snapshot(output, model)
    labels = read_labels(snapshot, settings.aggregate)
    truth, fit_truth = read_truths(ground_truth, split, thresholds)
    asked = [labels[i] for i in class_indices(truth, labels, snapshot.model)]
    clips = read_scored_clips(
        truth, snapshot, asked, settings.aggregate, settings.missing
    )
    # Before the other scores, which take longer: thresholds may be refused.
    threshold_scores = None
    if thresholds is not None:
        threshold_scores = score_thresholds(
            clips, fit_truth, asked, snapshot, settings, thresholds
        )
    classes, overall = score_all(clips.truth, clips.given, asked, settings)
    return Evaluation(
        snapshot,
        truth,
        settings,
        clips.joined_by,
        len(clips.truth),
        clips.without_result,
        classes,
        overall,
        find_published(snapshot, truth),
        snapshot.unfinished(),
        threshold_scores,
    )


def score_all(
    truth: np.ndarray, given: np.ndarray, labels: list[str], settings: Settings
) -> tuple[tuple[ClassScore, ...], dict[str, Estimate]]:
    """Computes the scores of every class and over all classes, with intervals.

    Intervals come from the basic bootstrap over clips. Quantiles of the resamples
    themselves would be too high, because a positive clip that is drawn twice ranks
    well.

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
    mean_area = estimate(scores.nanmean(areas), scores.nanmean(drawn_areas, axis=1))
    overall = {
        "mAP": estimate(
            scores.nanmean(precisions), scores.nanmean(drawn_precisions, axis=1)
        ),
        "mean_auc": mean_area,
        "d_prime": Estimate(*map(scores.d_prime, dataclasses.astuple(mean_area))),
        "lwlrap": estimate(np.array(scores.lwlrap(truth, given)), drawn_lwlrap),
    }
    classes = tuple(
        ClassScore(
            label,
            int(truth[:, i].sum()),
            estimate(precisions[i], drawn_precisions[:, i]),
            float(areas[i]),
        )
        for i, label in enumerate(labels)
    )
    return classes, overall
