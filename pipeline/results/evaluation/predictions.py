"""Scores predicted labels: precision, recall and F1 of every class and of all classes.

Arrays are bool [num_clips, num_classes].
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import scipy.sparse

from pipeline.results.evaluation.intervals import UNDEFINED, Estimate, estimate
from pipeline.results.evaluation.scores import bootstrap_weights, nanmean
from pipeline.results.evaluation.settings import Settings

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Rates:
    """Precision, recall and F1, of one class or of all classes."""

    precision: Estimate = UNDEFINED
    recall: Estimate = UNDEFINED
    f1: Estimate = UNDEFINED


@dataclasses.dataclass(frozen=True)
class PredictionScores:
    """Scores of predicted labels.

    Attributes:
        classes: Scores of every class; undefined for a class without positives.
        macro: Means over the classes that have positives.
        micro: Scores of all pairs of a clip and a class.
    """

    classes: tuple[Rates, ...]
    macro: Rates
    micro: Rates


def score_predictions(
    truth: Array, predicted: Array, settings: Settings
) -> PredictionScores:
    """Scores predicted labels, with intervals of the bootstrap over clips.

    As in scikit-learn, a class that is never predicted has a precision of 0, and the
    macro F1 is the mean of the F1 of the classes. The false alarms of classes without
    positives count in the micro scores.

    Args:
        truth: Whether a clip has a label.
        predicted: Whether the label is predicted.
        settings: Settings of the bootstrap.
    """
    ones = np.ones((len(truth), 1))
    measured = _all_rates(truth, predicted, [ones])[:, 0]
    weights = bootstrap_weights(len(truth), settings.num_resamples, settings.seed)
    drawn = _all_rates(truth, predicted, weights)
    estimates = [
        Rates(*map(estimate, measured[:, i], drawn[:, :, i]))
        for i in range(measured.shape[1])
    ]
    *classes, macro, micro = estimates
    return PredictionScores(tuple(classes), macro, micro)


def mean_rates(truth: Array, predicted: Array) -> tuple[list[float], list[float]]:
    """Returns the macro and the micro precision, recall and F1, without intervals."""
    measured = _all_rates(truth, predicted, [np.ones((len(truth), 1))])[:, 0]
    return measured[:, -2].tolist(), measured[:, -1].tolist()


def _all_rates(truth: Array, predicted: Array, blocks: Iterable[Array]) -> Array:
    """Computes scores in which every clip counts as often as its weight says.

    Args:
        truth: Whether a clip has a label.
        predicted: Whether the label is predicted.
        blocks: Weights, [num_clips, num_resamples] each.

    Returns:
        Precision, recall and F1: float64 [3, num_resamples, num_classes + 2]. The last
        two columns are the macro and the micro scores.
    """
    matrices = [
        scipy.sparse.csr_array(which.T, dtype=np.float64)
        for which in (truth & predicted, predicted, truth)
    ]
    found = []
    for weights in blocks:
        hits, chosen, positives = ((matrix @ weights).T for matrix in matrices)
        classes = _rates(hits, chosen, positives)
        macro = nanmean(classes, axis=2)
        micro = _rates(*(counts.sum(axis=1) for counts in (hits, chosen, positives)))
        found.append(np.dstack([classes, macro, micro]))
    return np.concatenate(found, axis=1)


def _rates(hits: Array, chosen: Array, positives: Array) -> Array:
    """Computes precision, recall and F1 from counts; NaN without positives."""
    has_positives = np.where(positives > 0, 1, np.nan)
    precision = hits / np.maximum(chosen, 1)
    recall = hits / np.maximum(positives, 1)
    f1 = 2 * hits / np.maximum(chosen + positives, 1)
    return np.stack([precision, recall, f1]) * has_positives
