"""Computes scores of a multi-label classifier, with pure functions on arrays.

Arrays are [num_clips, num_classes]: `truth` is bool, `scores` has any real type. Equal
scores count as one step, so that the order of the clips never matters.
"""

import statistics
import warnings
from collections.abc import Iterator

import numpy as np
import scipy.sparse
from sklearn.metrics import average_precision_score, roc_auc_score

Array = np.ndarray
# Resamples that are computed at once: limits the memory.
_BLOCK = 100


def average_precisions(truth: Array, scores: Array) -> Array:
    """Computes the average precision of every class, with scikit-learn.

    The average precision is the sum, over the steps of recall, of the precision times
    the gain in recall.

    Returns:
        float64 [num_classes], NaN for a class without positives.
    """
    return np.array(
        [
            average_precision_score(t, s) if t.any() else np.nan
            for t, s in zip(truth.T, scores.T, strict=True)
        ]
    )


def areas_under_roc(truth: Array, scores: Array) -> Array:
    """Computes the area under the ROC curve of every class, with scikit-learn.

    Returns:
        float64 [num_classes], NaN for a class without positives or without negatives.
    """
    return np.array(
        [
            roc_auc_score(t, s) if t.any() and not t.all() else np.nan
            for t, s in zip(truth.T, scores.T, strict=True)
        ]
    )


def d_prime(auc: float) -> float:
    """Computes d': sqrt(2) times the inverse of the normal distribution at an AUC.

    Source: Hershey et al., "CNN Architectures for Large-Scale Audio Classification"
    (arXiv 1609.09430), section 3, and Fonseca et al., FSD50K (arXiv 2010.00475). For
    several classes, the evaluation reports d' of their mean AUC: the mean of their d'
    would be infinite as soon as one class is separated without an error.

    Args:
        auc: Area under the ROC curve, 0 to 1.

    Returns:
        d'; infinite for 0 and 1, NaN for NaN.
    """
    if np.isnan(auc):
        return float("nan")
    if auc in (0, 1):
        return float("inf") if auc else float("-inf")
    return 2**0.5 * statistics.NormalDist().inv_cdf(auc)


def lwlrap(truth: Array, scores: Array) -> float:
    """Computes the label-weighted label-ranking average precision.

    This is a mean over all pairs of a clip and one of its labels. The value of a pair
    is a ratio: of all labels that are ranked at least as high as this label, the share
    that the clip has.

    Source: Fonseca et al., "Audio tagging with noisy labels and minimal supervision"
    (DCASE 2019 task 2, arXiv 1906.02975), section 4, equation 1. The paper does not
    state the order of equal scores. Here, as in scikit-learn's
    label_ranking_average_precision_score, labels with equal scores all have the lowest
    rank among them.

    Returns:
        0 to 1; NaN if no clip has a label.
    """
    sums = label_precisions(truth, scores)
    return float(_ratio(sums.sum(), truth.sum()))


def label_precisions(truth: Array, scores: Array) -> Array:
    """Sums the precisions at the labels of each clip: the numerator of lwlrap.

    Returns:
        float64 [num_clips].
    """
    result = np.zeros(len(truth))
    rows, columns = np.nonzero(truth)
    for start in range(0, len(rows), 4096):
        row = rows[start : start + 4096]
        own = scores[row, columns[start : start + 4096]]
        is_ahead = scores[row] >= own[:, None]
        hits = (is_ahead & truth[row]).sum(axis=1)
        np.add.at(result, row, hits / is_ahead.sum(axis=1))
    return result


def resampled_scores(
    truth: Array, scores: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Computes scores in which every clip counts as often as its weight says.

    The results are those of scikit-learn with `sample_weight`, for many weights at
    once: clips are sorted once per class, and only the totals at the scores of
    positives are needed.

    Args:
        truth: bool [num_clips, num_classes].
        scores: [num_clips, num_classes].
        weights: [num_clips, num_resamples], whole numbers below 2**24 in total.

    Returns:
        Average precision and area under the ROC curve, float64 [num_resamples,
        num_classes], NaN where undefined; lwlrap, float64 [num_resamples].
    """
    weights = weights.astype(np.float32)
    precisions = np.empty((weights.shape[1], truth.shape[1]))
    areas = np.empty_like(precisions)
    for index, (t, s) in enumerate(zip(truth.T, scores.T, strict=True)):
        positive, every = _totals_at_positives(t, s, weights)
        precisions[:, index], areas[:, index] = _weighted(positive, every)
    numerator = label_precisions(truth, scores) @ weights
    return precisions, areas, _ratio(numerator, truth.sum(axis=1) @ weights)


def bootstrap_weights(num_clips: int, num_resamples: int, seed: int) -> Iterator[Array]:
    """Draws resamples with replacement, and counts how often each clip is drawn.

    Yields:
        Blocks of counts, int [num_clips, up to 100 resamples].
    """
    rng = np.random.default_rng(seed)
    for start in range(0, num_resamples, _BLOCK):
        count = min(_BLOCK, num_resamples - start)
        draws = rng.integers(0, num_clips, (count, num_clips))
        yield np.stack([np.bincount(d, minlength=num_clips) for d in draws], axis=1)


def nanmean(values: Array, axis: int | None = None) -> Array:
    """Computes the mean without NaN values; NaN, without a warning, if all are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def _totals_at_positives(
    truth: Array, scores: Array, weights: Array
) -> tuple[Array, Array]:
    """Sums weights of positives, and of all clips, in segments of decreasing score.

    A segment holds the clips with one score that a positive has, or all clips between
    two such scores.

    Returns:
        Two float64 [num_segments, num_resamples].
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], truth[order]
    is_start = np.append(True, ranked[1:] != ranked[:-1])
    ties = np.cumsum(is_start) - 1
    has_hit = np.bincount(ties, weights=hit) > 0
    is_cut = has_hit | np.append(False, has_hit[:-1])
    segment = np.cumsum(is_cut[ties] & is_start)

    def totals(which: Array) -> Array:
        ones = np.ones(np.count_nonzero(which), np.float32)
        places = (segment[which], order[which])
        shape = (segment[-1] + 1, len(order))
        matrix = scipy.sparse.csr_array((ones, places), shape=shape)
        return (matrix @ weights).astype(np.float64)

    return totals(hit), totals(np.ones_like(hit))


def _weighted(positive: Array, every: Array) -> tuple[Array, Array]:
    """Computes average precision and area under the ROC curve of every resample."""
    hits, seen = positive.cumsum(axis=0), every.cumsum(axis=0)
    num_hits = hits[-1]
    precision = _ratio((positive * _ratio(hits, seen, 0.0)).sum(axis=0), num_hits)
    negative = every - positive
    behind = negative.sum(axis=0) - negative.cumsum(axis=0) + negative / 2
    pairs = num_hits * (seen[-1] - num_hits)
    return precision, _ratio((positive * behind).sum(axis=0), pairs)


def _ratio(numerator: Array, denominator: Array, otherwise: float = np.nan) -> Array:
    """Divides; returns `otherwise` where the denominator is 0."""
    is_defined = np.asarray(denominator) > 0
    safe = np.where(is_defined, denominator, 1)
    return np.where(is_defined, numerator / safe, otherwise)
