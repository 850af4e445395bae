"""Thresholds of classes are those of plain loops, and of scikit-learn."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_curve

from pipeline.results.evaluation.settings import Objective, parse_objective
from pipeline.results.evaluation.thresholds import (
    MIN_POSITIVES,
    best_threshold,
    fit_thresholds,
)

# Many equal scores, and some that are neighbours in float32.
NEAR = [float(np.nextafter(np.float32(0.5), np.float32(x))) for x in (0, 1)]
SCORES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, NEAR[0], 0.5, NEAR[1], 0.9, 1.0]),
    st.floats(0, 1, width=32),
)
CASES = st.lists(st.tuples(st.booleans(), SCORES), min_size=1, max_size=30)
OBJECTIVES = st.one_of(
    st.just(Objective()),
    st.sampled_from([0.3, 0.5, 0.75, 0.9, 1.0]).map(Objective),
)


def arrays_of(case: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = zip(*case, strict=True)
    return np.array(truth, bool), np.array(scores, np.float32)


def rates(
    case: list[tuple[bool, float]], threshold: float
) -> tuple[float, float, float]:
    """Precision, recall and F1 of a threshold, by a plain loop."""
    hits = chosen = positives = 0
    for is_true, score in case:
        hits += is_true and score >= threshold
        chosen += score >= threshold
        positives += is_true
    precision = hits / chosen if chosen else 0.0
    recall = hits / positives if positives else 0.0
    return precision, recall, 2 * hits / max(1, chosen + positives)


@given(CASES, OBJECTIVES)
def test_a_threshold_is_as_good_as_the_best_of_all_scores(
    case: list[tuple[bool, float]], objective: Objective
) -> None:
    truth, scores = arrays_of(case)
    case = [(t, float(s)) for t, s in zip(truth, scores, strict=True)]
    found = best_threshold(truth, scores, objective)
    every = [rates(case, score) for _, score in case]
    if objective.precision is None:
        reached = [r for r in every if r[2] and r[2] == max(f1 for _, _, f1 in every)]
    else:
        reached = [r for r in every if r[1] and r[0] >= objective.precision]
    if not reached:
        assert np.isnan(found)
        return
    recall = max(r[1] for r in reached)
    precision = max(r[0] for r in reached if r[1] == recall)
    assert rates(case, found)[:2] == (precision, recall)


@given(CASES)
def test_a_threshold_is_midway_between_two_scores(
    case: list[tuple[bool, float]],
) -> None:
    truth, scores = arrays_of(case)
    found = best_threshold(truth, scores, Objective())
    if truth.any():
        numbers = scores.tolist()
        above = min(x for x in numbers if x >= found)
        below = max([x for x in numbers if x < found], default=0.0)
        middle = float(np.float32((above + below) / 2))
        assert found == (middle if middle > below else above)
        # The same clips are chosen in float32 and in float64.
        assert (scores >= found).tolist() == [x >= found for x in numbers]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_threshold_separates_neighbours(kind: type) -> None:
    scores: np.ndarray = np.array([0.75, np.nextafter(kind(0.75), kind(1))], kind)
    found = best_threshold(np.array([False, True]), scores, Objective())
    assert found == scores[1]


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(400) < 0.2
    scores = np.round(rng.normal(truth, 1) / 8 + 0.5, 2).clip(0, 1).astype(np.float32)
    precision, recall, _ = precision_recall_curve(truth, scores)
    found = best_threshold(truth, scores, Objective())
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    assert f1_score(truth, scores >= found) == pytest.approx(f1.max())
    for wanted in (0.3, 0.4):
        found = best_threshold(truth, scores, Objective(wanted))
        hit = recall[:-1][precision[:-1] >= wanted].max()
        assert (truth & (scores >= found)).sum() / truth.sum() == pytest.approx(hit)


def test_classes_with_few_positives_have_the_common_threshold() -> None:
    num_positives = [0, MIN_POSITIVES - 1, MIN_POSITIVES, 40]
    rng = np.random.default_rng(0)
    truth = np.arange(100)[:, None] < np.array(num_positives)
    scores = rng.random(truth.shape) / 2 + truth * 0.3
    fitted = fit_thresholds(truth, scores, Objective())
    assert fitted.common == best_threshold(truth.ravel(), scores.ravel(), Objective())
    own = [best_threshold(truth[:, i], scores[:, i], Objective()) for i in (2, 3)]
    assert fitted.thresholds.tolist() == [fitted.common, fitted.common, *own]
    assert fitted.has_few.tolist() == [True, True, False, False]
    assert fitted.num_positives.tolist() == num_positives
    assert not fitted.is_unreached.any()


def test_classes_that_do_not_reach_the_precision_have_the_common_threshold() -> None:
    truth = np.zeros((40, 2), bool)
    truth[:10] = True
    scores = np.linspace(0.9, 0.1, 40)[:, None] * [1, 1]
    scores[-1, 1] = 0.95
    fitted = fit_thresholds(truth, scores, Objective(0.99))
    assert fitted.is_unreached.tolist() == [False, True]
    assert fitted.thresholds[1] == fitted.common
    # The highest score of all is wrong, so both together do not reach it either.
    both = best_threshold(truth.ravel(), scores.ravel(), Objective())
    assert fitted.common == both
    assert ((scores[:, 0] >= fitted.thresholds[0]) == truth[:, 0]).all()


def test_thresholds_of_few_positives_are_poor_on_other_clips() -> None:
    """Their F1 on infinitely many clips, by the number of positives to fit on."""
    rng, normal = np.random.default_rng(0), statistics.NormalDist()
    separations = rng.normal(2.5, 0.7, 100).clip(0.5)

    def f1(threshold: float, separation: float, share: float) -> float:
        recall = 1 - normal.cdf(threshold - separation)
        chosen = share * recall + (1 - share) * (1 - normal.cdf(threshold))
        return 2 * share * recall / (chosen + share)

    def reached(num_positives: int) -> float:
        truth = np.arange(4170) < num_positives
        share = num_positives / len(truth)
        found, best = [], []
        for separation in separations:
            # As scores from 0 to 1, which keep their order.
            scores = rng.normal(separation * truth) / 20 + 0.5
            threshold = (best_threshold(truth, scores, Objective()) - 0.5) * 20
            found.append(f1(threshold, separation, share))
            every = np.linspace(-2, 6, 81)
            best.append(max(f1(x, separation, share) for x in every))
        return float(np.mean(found) / np.mean(best))

    poor, just = reached(MIN_POSITIVES - 3), reached(MIN_POSITIVES)
    assert poor < 0.75 and 0.8 < just < 0.9 < reached(4 * MIN_POSITIVES)


@pytest.mark.parametrize("objective", [Objective(), Objective(0.9)])
def test_objectives_are_read_as_they_are_written(objective: Objective) -> None:
    assert parse_objective(str(objective)) == objective


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F2", "objective is 'F2', expected f1 or precision:P, such as precision:0.9"),
        ("recall:0.9", "expected f1 or precision:P"),
        ("precision", "expected f1 or precision:P"),
        ("precision:0", "precision is 0, expected above 0 and at most 1"),
        ("precision:nan", "precision is nan, expected above 0 and at most 1"),
    ],
)
def test_wrong_objectives_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_objective(text)
