"""Filters of the log-mel bands as a numba kernel: rounded as the C++ code rounds.

No sum is reordered and no product is fused with one, so every bit is that of Essentia.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def apply_filters(
    magnitudes: np.ndarray,
    first_bins: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    smallest: float,
    bands: np.ndarray,
) -> None:
    """Sums the weighted power of every filter over its rising bins.

    Args:
        magnitudes: float32 [num_frames, num_bins]; squared in place.
        first_bins: int64 [num_bands].
        ends: int64 [num_bands], in `weights`: where the weights of a filter end.
        weights: float32, of all filters one after the other.
        smallest: float32, what bands are floored at.
        bands: float32 [num_frames, num_bands], the result.
    """
    for frame in range(len(magnitudes)):
        power = magnitudes[frame]
        for index in range(len(power)):
            power[index] *= power[index]
        start = 0
        for band in range(len(ends)):
            total = np.float32(0)
            offset = first_bins[band] - start
            for index in range(start, ends[band]):
                total += power[index + offset] * weights[index]
            start = ends[band]
            # Not max(): nan stays nan.
            bands[frame, band] = smallest if total < smallest else total
