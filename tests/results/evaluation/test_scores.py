"""Scores equal those of scikit-learn, and of slow implementations in this file."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from pipeline.results.evaluation import scores


def random_case(
    seed: int, num_clips: int, num_classes: int, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns truth and scores; with few steps, many scores are equal."""
    rng = np.random.default_rng(seed)
    truth = rng.random((num_clips, num_classes)) < rng.random(num_classes) ** 2
    given = rng.integers(0, num_steps, truth.shape) / num_steps
    return truth, given.astype(np.float32)


cases = st.builds(
    random_case,
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.integers(1, 6),
    st.sampled_from([1, 2, 3, 10, 10**6]),
)


def slow_lwlrap(truth: np.ndarray, given: np.ndarray) -> float:
    """Computes lwlrap by its formula, in loops over clips and their labels."""
    precisions = []
    for is_true, row in zip(truth.tolist(), given.tolist(), strict=True):
        for label, own in enumerate(row):
            if is_true[label]:
                ahead = [other for other, score in enumerate(row) if score >= own]
                hits = [other for other in ahead if is_true[other]]
                precisions.append(len(hits) / len(ahead))
    return sum(precisions) / len(precisions) if precisions else float("nan")


def slow_d_prime(auc: float) -> float:
    """Computes d' by a search for the point where the normal distribution is auc."""
    low, high = -10.0, 10.0
    for _ in range(200):
        middle = (low + high) / 2
        if 0.5 * (1 + math.erf(middle / math.sqrt(2))) < auc:
            low = middle
        else:
            high = middle
    return math.sqrt(2) * low


@given(cases)
@settings(deadline=None, max_examples=60)
def test_scores_of_classes_equal_scikit_learn(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, given_scores = case
    precisions = scores.average_precisions(truth, given_scores)
    areas = scores.areas_under_roc(truth, given_scores)
    for index in range(truth.shape[1]):
        t, s = truth[:, index], given_scores[:, index]
        if not t.any():
            assert np.isnan(precisions[index]) and np.isnan(areas[index])
            continue
        assert precisions[index] == average_precision_score(t, s)
        if t.all():
            assert np.isnan(areas[index])
        else:
            assert areas[index] == roc_auc_score(t, s)


@given(cases)
@settings(deadline=None, max_examples=60)
def test_lwlrap_equals_its_formula(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, given_scores = case
    result = scores.lwlrap(truth, given_scores)
    expected = slow_lwlrap(truth, given_scores)
    assert result == pytest.approx(expected, abs=1e-9, nan_ok=True)
    if truth.any():
        # The weights leave out clips without labels, which scikit-learn counts as 1.
        weights = truth.sum(axis=1)
        of_sklearn = label_ranking_average_precision_score(
            truth, given_scores, sample_weight=weights
        )
        assert result == pytest.approx(of_sklearn, abs=1e-9)


def test_lwlrap_equals_a_result_by_hand() -> None:
    truth = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)
    given_scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.1, 0.3], [1, 1, 1]])
    # Labels rank 1st and 3rd in the first clip, 3rd in the second.
    assert scores.lwlrap(truth, given_scores) == pytest.approx((1 + 2 / 3 + 1 / 3) / 3)


def test_lwlrap_of_many_clips_equals_its_formula() -> None:
    truth, given_scores = random_case(5, 6000, 6, 1000)
    assert truth.sum() > 4096
    expected = slow_lwlrap(truth, given_scores)
    assert scores.lwlrap(truth, given_scores) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("auc", [0.01, 0.3, 0.5, 0.76, 0.975, 0.9999])
def test_d_prime_is_the_inverse_of_the_normal_distribution(auc: float) -> None:
    assert scores.d_prime(auc) == pytest.approx(slow_d_prime(auc), abs=1e-9)


def test_d_prime_of_a_perfect_ranking_is_infinite() -> None:
    assert scores.d_prime(1.0) == math.inf
    assert scores.d_prime(0.0) == -math.inf
    assert math.isnan(scores.d_prime(math.nan))


@given(cases, st.integers(0, 100))
@settings(deadline=None, max_examples=60)
def test_weighted_scores_equal_scikit_learn(
    case: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    truth, given_scores = case
    (weights,) = scores.bootstrap_weights(len(truth), 4, seed)
    precisions, areas, lwlraps = scores.resampled_scores(truth, given_scores, weights)
    for row, weight in enumerate(weights.T):
        for index in range(truth.shape[1]):
            t, s = truth[:, index], given_scores[:, index]
            num_hits, num_others = weight[t].sum(), weight[~t].sum()
            if not num_hits:
                assert np.isnan(precisions[row, index])
            else:
                expected = average_precision_score(t, s, sample_weight=weight)
                assert precisions[row, index] == pytest.approx(expected, abs=1e-9)
            if not num_hits or not num_others:
                assert np.isnan(areas[row, index])
            else:
                expected = roc_auc_score(t, s, sample_weight=weight)
                assert areas[row, index] == pytest.approx(expected, abs=1e-9)
        drawn = np.repeat(np.arange(len(truth)), weight)
        expected = slow_lwlrap(truth[drawn], given_scores[drawn])
        assert lwlraps[row] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_resamples_are_drawn_with_replacement_and_depend_on_the_seed_alone() -> None:
    blocks = [*scores.bootstrap_weights(50, 230, 7)]
    assert [block.shape for block in blocks] == [(50, 100), (50, 100), (50, 30)]
    weights = np.concatenate(blocks, axis=1)
    assert (weights.sum(axis=0) == 50).all()
    assert len(np.unique(weights, axis=1).T) == 230
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
    again = np.concatenate([*scores.bootstrap_weights(50, 230, 7)], axis=1)
    np.testing.assert_array_equal(again, weights)
    other = np.concatenate([*scores.bootstrap_weights(50, 230, 8)], axis=1)
    assert (other != weights).any()
