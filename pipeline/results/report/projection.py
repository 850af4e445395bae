"""Places clips on the report's two-dimensional map by their embeddings.

The map uses t-SNE, which keeps neighbours together: the first two principal components
of 200 classes mostly overlap. The implementation is that of scikit-learn, which
`evaluate` needs anyway. The cost of t-SNE grows with the number of clips, so t-SNE
places a few thousand clips, and every other clip goes between its nearest placed clips.
"""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

NUM_PLACED = 2000
_NUM_COMPONENTS = 50
_NUM_NEAREST = 5
_BLOCK = 4096
# With fewer clips, t-SNE has too few neighbours to be of use.
_MIN_CLIPS = 8


def project(vectors: np.ndarray, num_placed: int = NUM_PLACED) -> np.ndarray:
    """Returns places on a two-dimensional map; the same for the same vectors.

    Args:
        vectors: float32 [num_clips, size]. t-SNE places the first `num_placed`, so
            these should represent all.
        num_placed: Number of vectors that t-SNE places.

    Returns:
        float32 [num_clips, 2], from -1 to 1.
    """
    unit = unit_rows(vectors)
    if not len(unit):
        return np.zeros((0, 2), np.float32)
    reduced = _principal(unit, unit[:num_placed])
    placed = _tsne(reduced[:num_placed])
    rest = _between(reduced[:num_placed], placed, reduced[num_placed:])
    points = np.concatenate([placed, rest])
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return (centred / (np.abs(centred).max() or 1)).astype(np.float32)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Scales vectors to length one, so that products are cosines; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def _principal(unit: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Reduces vectors to the principal components of `fitted`, at most 50.

    This is usual before t-SNE.
    """
    mean = fitted.mean(axis=0)
    _, _, components = np.linalg.svd(fitted - mean, full_matrices=False)
    # The sign of a component is arbitrary: choose it so that the largest weight is
    # positive, to get the same map each time.
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(len(components)), largest])[:, None]
    return (unit - mean) @ components[:_NUM_COMPONENTS].T


def _tsne(reduced: np.ndarray) -> np.ndarray:
    start = np.zeros((len(reduced), 2), np.float32)
    start[:, : reduced.shape[1]] = reduced[:, :2]
    spread = start.std()
    if len(reduced) < _MIN_CLIPS or not spread:
        return start
    # One thread only: several threads wait for each other longer than they work (4 s
    # became 21 s for 2,000 clips on a busy machine), and add in another order.
    with threadpool_limits(1):
        return TSNE(
            init=start / spread * 1e-4,
            perplexity=min(30, (len(reduced) - 1) / 3),
            max_iter=500,
            random_state=0,
        ).fit_transform(reduced)


def _between(known: np.ndarray, placed: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Places each of `others` at the mean of its nearest known clips.

    The mean is weighted by 1 / distance².
    """
    points = np.empty((len(others), 2), np.float32)
    num_nearest = min(_NUM_NEAREST, len(known))
    square = (known**2).sum(axis=1)
    for begin in range(0, len(others), _BLOCK):
        block = others[begin : begin + _BLOCK]
        distance = square - 2 * block @ known.T + (block**2).sum(axis=1)[:, None]
        nearest = np.argpartition(distance, num_nearest - 1, axis=1)[:, :num_nearest]
        chosen = np.take_along_axis(distance, nearest, axis=1)
        weights = 1 / np.maximum(chosen, 1e-6)
        weights /= weights.sum(axis=1, keepdims=True)
        points[begin : begin + _BLOCK] = np.einsum(
            "ij,ijk->ik", weights, placed[nearest]
        )
    return points
