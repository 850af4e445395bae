"""Precision, recall and F1 of predicted labels, and their intervals."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import precision_recall_fscore_support

from pipeline.results.evaluation.intervals import Estimate, estimate
from pipeline.results.evaluation.predictions import (
    Rates,
    mean_rates,
    score_predictions,
)
from pipeline.results.evaluation.scores import bootstrap_weights
from pipeline.results.evaluation.settings import Settings


def values_of(rates: Rates) -> list[float]:
    return [rates.precision.value, rates.recall.value, rates.f1.value]


@hypothesis_settings(deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
        lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
    )
)
def test_scores_are_those_of_scikit_learn(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, predicted = case
    found = score_predictions(truth, predicted, Settings(num_resamples=3))
    has_positives = np.asarray(truth.any(axis=0))
    # With a single column scikit-learn would take the arrays for two classes.
    padded = [np.column_stack([x, np.zeros((len(x), 1), bool)]) for x in case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = precision_recall_fscore_support(*padded, average=None, zero_division=0)
        micro = precision_recall_fscore_support(*padded, average="micro")
    expected = np.array(every[:3])[:, :-1]
    for i, rates in enumerate(found.classes):
        if has_positives[i]:
            assert values_of(rates) == pytest.approx(expected[:, i])
        else:
            assert np.isnan(values_of(rates)).all()
    if truth.any():
        mean = expected[:, has_positives].mean(axis=1)
        assert values_of(found.macro) == pytest.approx(mean)
        assert values_of(found.micro) == pytest.approx(micro[:3])
        for one, other in zip((mean, micro[:3]), mean_rates(*case), strict=True):
            assert other == pytest.approx(one)


def test_intervals_are_those_of_repeated_clips() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((60, 3)) < 0.3
    predicted = truth ^ (rng.random(truth.shape) < 0.2)
    settings = Settings(num_resamples=150, seed=7)
    found = score_predictions(truth, predicted, settings)
    drawn = []
    for block in bootstrap_weights(60, 150, 7):
        for weights in block.T:
            rows = np.repeat(np.arange(60), weights)
            result = precision_recall_fscore_support(
                truth[rows], predicted[rows], average="macro", zero_division=0
            )
            drawn.append(result[:3])
    for i, name in enumerate(("precision", "recall", "f1")):
        one: Estimate = getattr(found.macro, name)
        other = estimate(one.value, np.array(drawn)[:, i])
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
        assert one.low < one.value < one.high
