"""libsamplerate's sinc interpolation at any ratio, as a numba kernel.

Follows sinc_mono_vari_process and calc_output_single of src_sinc.c (0.1.8): the
position within the filter is a whole number of 4096ths of a table entry, the
coefficient is linear between entries, and sums are float64.

Tap k lies k increments further along the table than tap 0. Its entry is therefore
entry_of(start) + entry_of(k * increment), or one more if the two remainders carry.
`arrange` puts the entries of all taps for one start side by side. The taps are then
read in order, and the processor handles several at once.
"""

import dataclasses
from typing import Any

import numpy as np
from numba import njit

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
# Allows LLVM to reorder sums and to fuse products with sums.
_SUMS: dict[str, Any] = {**_OPTIONS, "fastmath": {"reassoc", "contract", "nsz"}}
# 1.0 in the fixed-point format of src_sinc.c (12 SHIFT_BITS).
ONE = 4096
# The number of taps is padded to a multiple of this, for whole vectors.
_LANES = 16


@dataclasses.dataclass(frozen=True)
class Taps:
    """A table of coefficients laid out by start and tap.

    Attributes:
        values: float32 [starts, taps]. Coefficients.
        steps: float32 [starts, taps]. Differences from a coefficient to the next entry
            of the table.
        remainders: float32 [taps]. Distances of the taps of start 0 from their entries.
    """

    values: np.ndarray
    steps: np.ndarray
    remainders: np.ndarray

    def reversed(self) -> "Taps":
        """The same taps, last one first, for the side of the filter that looks back."""
        turned = (self.values[:, ::-1], self.steps[:, ::-1], self.remainders[::-1])
        return Taps(*map(np.ascontiguousarray, turned))


def arrange(table: np.ndarray, size: int, increment: int) -> Taps:
    """Lays out a table of coefficients by start and tap.

    Args:
        table: float32 [more than size], the peak of the filter first.
        size: Number of entries after which the filter is 0.
        increment: Distance from a tap to the next, in 4096ths of an entry.
    """
    num_taps = -(-(size * ONE // increment + 1) // _LANES) * _LANES
    positions = np.arange(num_taps) * increment
    starts = np.arange(increment // ONE + 2)
    entries = starts[:, np.newaxis] + positions // ONE
    padded = np.zeros(max(int(entries.max()), size) + 2, np.float32)
    padded[: size + 1] = table[: size + 1]
    steps = np.diff(padded)
    steps[size:] = 0
    remainders = (positions % ONE / ONE).astype(np.float32)
    return Taps(padded[entries], steps[entries], remainders)


def interpolate(
    samples: np.ndarray,
    ratio: float,
    entries: int,
    taps: Taps,
    position: tuple[int, float],
    first: int,
    num_samples: int,
    max_count: int,
) -> tuple[np.ndarray, tuple[int, float]]:
    """Resamples a part of a clip.

    Args:
        samples: float32 [n]. The part; outside of it the clip is taken for silent.
        ratio: Output samples per input sample.
        entries: Entries of the table of coefficients per input sample.
        taps: Taps that were arranged for `increment_of(ratio, entries)`.
        position: Place in the clip of the first output: the index of the sample before
            it, and the fraction to the next sample.
        first: Index in the clip of the first sample of the part; the filter reaches
            `len(taps.remainders)` samples to both sides of an output.
        num_samples: Number of samples of the clip, at which outputs end.
        max_count: Largest number of outputs.

    Returns:
        float32 [up to max_count], and the place of the next output.
    """
    back = taps.reversed()
    reach = len(taps.remainders)
    padded = np.zeros(len(samples) + 2 * reach, np.float32)
    padded[reach : reach + len(samples)] = samples
    result = np.empty(max_count, np.float32)
    count, whole, part = _fill(
        padded,
        first,
        *position,
        num_samples,
        ratio,
        float(entries),
        back.values,
        back.steps,
        back.remainders,
        taps.values,
        taps.steps,
        taps.remainders,
        result,
    )
    return result[:count], (whole, part)


def increment_of(ratio: float, entries: int) -> int:
    """Distance from a tap to the next, in 4096ths of an entry."""
    return round(entries * min(ratio, 1.0) * ONE)


@njit(**_SUMS)
def _half(
    values: np.ndarray,
    steps: np.ndarray,
    remainders: np.ndarray,
    start: int,
    samples: np.ndarray,
    first: int,
) -> float:
    """Sums the taps of one side of the filter."""
    row = start >> 12
    part = (start & (ONE - 1)) / ONE
    near, far = values[row], values[row + 1]
    near_step, far_step = steps[row], steps[row + 1]
    window = samples[first : first + len(remainders)]
    total = 0.0
    for tap in range(len(remainders)):
        between = part + remainders[tap]
        low, high = near[tap], far[tap]
        low_step, high_step = near_step[tap], far_step[tap]
        # Both values are read before one is chosen: a conditional read would be a
        # branch.
        carries = between >= 1.0
        value = high if carries else low
        step = high_step if carries else low_step
        between -= 1.0 if carries else 0.0
        total += (value + between * step) * window[tap]
    return total


@njit(**_OPTIONS)
def _fill(
    padded: np.ndarray,
    first: int,
    whole: int,
    part: float,
    num_samples: int,
    ratio: float,
    entries: float,
    back_values: np.ndarray,
    back_steps: np.ndarray,
    back_remainders: np.ndarray,
    values: np.ndarray,
    steps: np.ndarray,
    remainders: np.ndarray,
    result: np.ndarray,
) -> tuple[int, int, float]:
    """Fills `result`; returns the number of samples written and the next position.

    The read position is `whole`, the index of a sample in the clip, and `part`, the
    fraction to the next sample. `padded` begins `reach` samples before sample `first`.
    """
    reach = len(remainders)
    scale = min(ratio, 1.0)
    advance = 1.0 / ratio
    stride = entries * scale
    increment = int(np.rint(stride * ONE))
    count = 0
    while count < len(result) and whole + part + (advance + 1e-20) < num_samples:
        start = int(np.rint(part * stride * ONE))
        at = whole + 1 - first
        left = _half(back_values, back_steps, back_remainders, start, padded, at)
        rest = increment - start
        right = _half(values, steps, remainders, rest, padded, reach + at)
        result[count] = np.float32(scale * (left + right))
        count += 1
        part += advance
        remainder = part - np.rint(part)
        if remainder < 0.0:
            remainder += 1.0
        whole += int(np.rint(part - remainder))
        part = remainder
    return count, whole, part
