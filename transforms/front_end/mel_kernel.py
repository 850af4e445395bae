"""Applies the filters of the log-mel bands in a numba kernel.

No sum is reordered and no product is fused with a sum, so the result is bit-identical
to Essentia's C++ code.
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
        first_bins: int64 [num_bands]. First bin of every filter.
        ends: int64 [num_bands]. Index in `weights` after the last weight of a filter.
        weights: float32. Weights of all filters, one filter after the other.
        smallest: float32. Floor of the bands.
        bands: float32 [num_frames, num_bands]. Receives the result.
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
            # max() could drop nan; here nan stays nan.
            bands[frame, band] = smallest if total < smallest else total
