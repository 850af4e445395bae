"""Chooses the threshold of every class, with pure functions on arrays.

Arrays are [num_clips, num_classes]: `truth` is bool, `scores` are 0 to 1, of any real
type. A clip has a label if its score is equal to the threshold or higher.
"""

import dataclasses

import numpy as np

from pipeline.results.evaluation.settings import Objective

Array = np.ndarray
# A class with fewer positives to fit on does not get a threshold of its own. A new
# positive scores at least the lowest of n others with a chance of n / (n + 1), whatever
# the distribution of the scores: with 4, even a threshold below all of them is expected
# to miss a fifth of the class. With normal scores (d' of 2.5) and 4,170 clips,
# thresholds fitted on 1, 2, 3, 4, 5 and 10 positives reach 48, 70, 78, 83, 85 and 92 %
# of the best F1 on other clips; a test repeats a part of this.
MIN_POSITIVES = 5


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Thresholds of classes that were fitted on clips.

    Attributes:
        thresholds: float64 [num_classes]. A class without one of its own has `common`.
        common: Threshold that is best for the pairs of a clip and a class, of all
            classes together.
        num_positives: Number of clips that have the label, int [num_classes].
        has_few: Whether a class has fewer than MIN_POSITIVES positives, bool
            [num_classes].
        is_unreached: Whether a class has enough positives, but reaches the precision of
            the objective with no threshold, bool [num_classes].
    """

    thresholds: Array
    common: float
    num_positives: Array
    has_few: Array
    is_unreached: Array


def fit_thresholds(truth: Array, scores: Array, objective: Objective) -> Fitted:
    """Chooses the threshold of every class that is best on the given clips.

    Args:
        truth: bool [num_clips, num_classes], with at least one positive.
        scores: [num_clips, num_classes].
        objective: What a threshold is chosen for. If all classes together do not reach
            its precision, the common threshold is the one with the highest F1.
    """
    common = best_threshold(truth.ravel(), scores.ravel(), objective)
    if np.isnan(common):
        common = best_threshold(truth.ravel(), scores.ravel(), Objective())
    num_positives = truth.sum(axis=0)
    has_few = num_positives < MIN_POSITIVES
    own = np.array(
        [
            np.nan if few else best_threshold(t, s, objective)
            for few, t, s in zip(has_few, truth.T, scores.T, strict=True)
        ]
    )
    return Fitted(
        np.where(np.isnan(own), common, own),
        common,
        num_positives,
        has_few,
        np.isnan(own) & ~has_few,
    )


def best_threshold(truth: Array, scores: Array, objective: Objective) -> float:
    """Chooses the threshold that is best on the given scores.

    Only thresholds just below the score of a positive come into question: any other has
    the recall of one of these, but more false alarms. Of equally good ones, the lowest
    is chosen: it finds most.

    Args:
        truth: bool [num_scores].
        scores: [num_scores].
        objective: Highest F1, or the highest recall with at least some precision.

    Returns:
        A threshold; NaN if there are no positives, or no threshold has the precision.
    """
    cuts, first = np.unique(np.sort(scores[truth]), return_index=True)
    num_positives = np.count_nonzero(truth)
    hits = num_positives - first
    # How many of the cuts a score reaches.
    num_reached = np.searchsorted(cuts, scores, side="right")
    counts = np.bincount(num_reached, minlength=len(cuts) + 1)
    chosen = counts[::-1].cumsum()[::-1][1:]
    if objective.precision is None:
        f1 = 2 * hits / (chosen + num_positives)
        found = np.flatnonzero(f1 == f1.max(initial=0))
    else:
        found = np.flatnonzero(hits / chosen >= objective.precision)
    return just_below(cuts[found[0]], scores) if len(found) else float("nan")


def just_below(score: float, scores: Array) -> float:
    """Returns the threshold midway between a score and the next lower one.

    A threshold equal to a score would make its clip lose the label as soon as the score
    differs in its last digit, as it may with another engine. Midway, the scores on both
    sides have the most room. Below the lowest score, 0 stands for the next lower one.

    The threshold is a number of the type of the scores: NumPy rounds it to their type
    when it compares float32 scores with a float, and would round it to a score.
    """
    upper = float(score)
    lower = float(scores[scores < score].max(initial=0))
    middle = float(scores.dtype.type((lower + upper) / 2))
    # Between neighbours there is no number: the middle is one of them.
    return middle if middle > lower else upper
