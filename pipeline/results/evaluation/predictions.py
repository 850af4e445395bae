"""Scores predicted labels: precision, recall and F1 of every class and of all classes.

Arrays are [num_clips, num_classes]: bool, or counts of what is scored in each clip.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse

from pipeline.results.evaluation.intervals import (
    UNDEFINED,
    Estimate,
    estimate,
    number_cell,
)
from pipeline.results.evaluation.scores import bootstrap_weights, nanmean
from pipeline.results.evaluation.settings import Settings

Array = np.ndarray
Counts: TypeAlias = "Array | scipy.sparse.csr_array"
RATES = ("precision", "recall", "f1")
# A rate and its interval, as columns of a CSV file.
RATE_COLUMNS = tuple(f"{name}{end}" for name in RATES for end in ("", "_low", "_high"))


@dataclasses.dataclass(frozen=True)
class Rates:
    """Precision, recall and F1, of one class or of all classes."""

    precision: Estimate = UNDEFINED
    recall: Estimate = UNDEFINED
    f1: Estimate = UNDEFINED

    @property
    def estimates(self) -> tuple[Estimate, Estimate, Estimate]:
        """Precision, recall and F1, in the order of RATES."""
        return self.precision, self.recall, self.f1

    def cells(self) -> list[str]:
        """Returns the values for a CSV file, in the order of RATE_COLUMNS."""
        values = (x for one in self.estimates for x in (one.value, one.low, one.high))
        return [number_cell(value) for value in values]


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

    def as_json(self) -> dict[str, Any]:
        """Returns the macro and the micro scores for JSON."""
        return {
            name: {
                key: one.as_json()
                for key, one in zip(RATES, rates.estimates, strict=True)
            }
            for name, rates in (("macro", self.macro), ("micro", self.micro))
        }


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
    return score_counts(truth & predicted, predicted, truth, settings)


def score_counts(
    hits: Counts, chosen: Counts, positives: Counts, settings: Settings
) -> PredictionScores:
    """Scores counts that are summed over clips, with intervals of the bootstrap.

    Args:
        hits: Number of predictions that are right.
        chosen: Number of predictions.
        positives: Number of true items.
        settings: Settings of the bootstrap.
    """
    counts = (hits, chosen, positives)
    num_clips = hits.shape[0]
    measured = _all_rates(counts, [np.ones((num_clips, 1))])[:, 0]
    weights = bootstrap_weights(num_clips, settings.num_resamples, settings.seed)
    drawn = _all_rates(counts, weights)
    estimates = [
        Rates(*map(estimate, measured[:, i], drawn[:, :, i]))
        for i in range(measured.shape[1])
    ]
    *classes, macro, micro = estimates
    return PredictionScores(tuple(classes), macro, micro)


def mean_rates(truth: Array, predicted: Array) -> tuple[list[float], list[float]]:
    """Returns the macro and the micro precision, recall and F1, without intervals."""
    counts = (truth & predicted, predicted, truth)
    measured = _all_rates(counts, [np.ones((len(truth), 1))])[:, 0]
    return measured[:, -2].tolist(), measured[:, -1].tolist()


def _all_rates(counts: tuple[Counts, Counts, Counts], blocks: Iterable[Array]) -> Array:
    """Computes scores in which every clip counts as often as its weight says.

    Args:
        counts: Right predictions, predictions, and true items.
        blocks: Weights, [num_clips, num_resamples] each.

    Returns:
        Precision, recall and F1: float64 [3, num_resamples, num_classes + 2]. The last
        two columns are the macro and the micro scores.
    """
    matrices = [scipy.sparse.csr_array(which.T, dtype=np.float64) for which in counts]
    found = []
    for weights in blocks:
        hits, chosen, positives = ((matrix @ weights).T for matrix in matrices)
        classes = _rates(hits, chosen, positives)
        macro = nanmean(classes, axis=2)
        micro = _rates(*(x.sum(axis=1) for x in (hits, chosen, positives)))
        found.append(np.dstack([classes, macro, micro]))
    return np.concatenate(found, axis=1)


def _rates(hits: Array, chosen: Array, positives: Array) -> Array:
    """Computes precision, recall and F1 from counts; NaN without positives."""
    has_positives = np.where(positives > 0, 1, np.nan)
    precision = hits / np.maximum(chosen, 1)
    recall = hits / np.maximum(positives, 1)
    f1 = 2 * hits / np.maximum(chosen + positives, 1)
    return np.stack([precision, recall, f1]) * has_positives
