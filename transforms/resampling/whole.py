"""Resamples to 22,050 Hz exactly as MonoLoader does: libsamplerate's sinc-medium.

For a fixed ratio, the interpolated sinc is a fixed filter. If the ratio is a power of
two (44.1 kHz, 88.2 kHz, 11.025 kHz), Essentia's float32 ratio is exact and the filter
never drifts. Two matrix products a block then give the same samples in a fraction of
the time. For other rates numba compiles the algorithm itself (`kernel`);
without numba, Essentia resamples them.
"""

import dataclasses
import fractions
import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.essentia_import import algorithm

# libsamplerate's sinc-medium, the default of MonoLoader. Its table has 491 coefficients
# for each input sample and 22,438 for each side of the filter (mid_qual_coeffs.h).
_QUALITY = 1
_TABLE_STEP, _TABLE_SIZE = 491, 22438
# MonoLoader passes blocks of this many samples to its resampler. If the last block is
# full, it never flushes the filter, and the end of the clip is lost.
_MONOLOADER_BLOCK = 4096
# Samples in a block, on the side with the lower rate. The filter reaches 45.7 such
# samples to each side of an output, so two blocks of input are enough for every output
# of a block.
_BLOCK = 96
# Ratios, or inverse ratios, with a fixed filter. Larger factors would need large
# matrices, and no audio has such a rate.
_FACTORS = (2, 4, 8)
# Number of blocks filtered at once: half a megabyte of float64, which fits the cache.
_BLOCKS_AT_ONCE = 256


def resample(samples: FloatArray, sample_rate_hz: int) -> FloatArray:
    """Resamples to 22,050 Hz exactly as MonoLoader does.

    Args:
        samples: float32 [num_samples], not empty.
        sample_rate_hz: Sample rate of `samples`.

    Returns:
        float32 [about num_samples * 22050 / sample_rate_hz].
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return samples
    fixed = fixed_filter(sample_rate_hz)
    if fixed is not None:
        result = fixed.run(samples)
    elif has_numba():
        result = resample_by_kernel(samples, sample_rate_hz)
    else:
        result = resample_by_essentia(samples, sample_rate_hz)
    if is_unflushed(len(samples)):
        result = result[: unflushed_length(len(samples), sample_rate_hz)]
    return result


def resample_by_kernel(samples: FloatArray, sample_rate_hz: int) -> FloatArray:
    """Resamples from any rate with numba; the filter is flushed at the end."""
    max_count = int(len(samples) * float32_ratio(sample_rate_hz)) + 2
    num_samples = len(samples)
    result, _ = interpolate_part(
        samples, sample_rate_hz, 0, (0, 0.0), num_samples, max_count
    )
    return result


def interpolate_part(
    samples: FloatArray,
    sample_rate_hz: int,
    first: int,
    position: tuple[int, float],
    num_samples: int,
    max_count: int,
) -> tuple[FloatArray, tuple[int, float]]:
    """Resamples a part of a clip with numba.

    Args:
        samples: float32 [n]. The part; outside of it the clip is taken for silent.
        sample_rate_hz: Sample rate of the clip.
        first: Index in the clip of the first sample of the part.
        position: Place of the first output: the index of the sample before it, and the
            fraction to the next sample.
        num_samples: Number of samples of the clip, at which outputs end.
        max_count: Largest number of outputs.

    Returns:
        float32 [up to max_count], and the place of the next output.
    """
    # numba takes half a second to import, and is not available on every platform.
    from transforms.resampling.kernel import interpolate

    return interpolate(
        samples,
        float32_ratio(sample_rate_hz),
        _TABLE_STEP,
        _taps(sample_rate_hz),
        position,
        first,
        num_samples,
        max_count,
    )


def filter_reach(sample_rate_hz: int) -> int:
    """Number of samples to each side of an output that `interpolate_part` reads."""
    return len(_taps(sample_rate_hz).remainders)


@functools.lru_cache(maxsize=8)
def _taps(sample_rate_hz: int) -> Any:
    from transforms.resampling.kernel import arrange, increment_of

    increment = increment_of(float32_ratio(sample_rate_hz), _TABLE_STEP)
    return arrange(sinc_table().astype(np.float32), _TABLE_SIZE, increment)


def compile_kernel() -> None:
    """Compiles the kernel for other rates, or loads it from numba's cache."""
    if has_numba():
        resample_by_kernel(np.zeros(1, np.float32), 48000)


@functools.cache
def has_numba() -> bool:
    """Whether the kernel can be used."""
    return importlib.util.find_spec("numba") is not None


def float32_ratio(sample_rate_hz: int) -> float:
    """Output samples per input sample, rounded as Essentia rounds the ratio."""
    return float(np.float32(SAMPLE_RATE_HZ) / np.float32(sample_rate_hz))


def resample_by_essentia(samples: FloatArray, sample_rate_hz: int) -> FloatArray:
    """Resamples from any rate with Essentia's libsamplerate; flushed at the end."""
    resampler = _essentia_resampler(sample_rate_hz, SAMPLE_RATE_HZ)
    result: FloatArray = resampler(np.ascontiguousarray(samples))
    return result


def _essentia_resampler(from_hz: float, to_hz: float) -> Callable[..., Any]:
    return algorithm(
        "Resample",
        inputSampleRate=float(from_hz),
        outputSampleRate=float(to_hz),
        quality=_QUALITY,
    )


@dataclasses.dataclass(frozen=True)
class FixedFilter:
    """A filter that turns blocks of input into blocks of output.

    Blocks are filtered in steps of `_BLOCKS_AT_ONCE`, counted from the start of the
    clip, because the order of sums may depend on the number of blocks.

    Attributes:
        top: float64 [block of input, block of output]. Weights of the first of the two
            input blocks.
        bottom: As `top`, for the second input block.
        reach: Number of input samples before a block that the filter uses.
        ratio: Output samples per input sample.
    """

    top: np.ndarray
    bottom: np.ndarray
    reach: int
    ratio: fractions.Fraction

    @property
    def step(self) -> int:
        """Number of outputs in a step."""
        return _BLOCKS_AT_ONCE * int(self.top.shape[1])

    def num_outputs(self, num_samples: int) -> int:
        """Number of outputs of a clip.

        libsamplerate computes an output only if the next one, too, is in the clip.
        """
        return math.ceil(num_samples * self.ratio) - 1

    def run(self, samples: FloatArray) -> FloatArray:
        """Filters a clip. Returns float32 [num_outputs(num_samples)].

        Sums are float64, as in libsamplerate. Only their order differs, and the
        difference is smaller than float32 can represent.
        """
        return self.part(samples, 0, 0, self.num_outputs(len(samples)))

    def part(
        self, samples: FloatArray, first: int, start: int, stop: int
    ) -> FloatArray:
        """Filters a part of a clip. Returns float32 [stop - start].

        Args:
            samples: float32 [n]. The part; outside of it the clip is taken for silent.
            first: Index in the clip of the first sample of the part.
            start: Index in the clip of the first output; a multiple of `step`.
            stop: End of the outputs; a multiple of `step`, or the end of the clip.
        """
        size_in, size_out = self.top.shape
        result = np.empty(stop - start, np.float32)
        for at in range(start, stop, self.step):
            num_blocks = -(-min(self.step, stop - at) // size_out)
            begin = at // size_out * size_in - self.reach - first
            blocks = _zero_padded(samples, begin, (num_blocks + 1) * size_in)
            blocks = blocks.reshape(-1, size_in)
            outputs = blocks[:-1] @ self.top
            outputs += blocks[1:] @ self.bottom
            result[at - start :][: self.step] = outputs.reshape(-1)[: stop - at]
        return result

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """First sample and end of the samples that the outputs of a part need."""
        size_in, size_out = self.top.shape
        num_blocks = -(-stop // size_out) + 1
        return (
            start // size_out * size_in - self.reach,
            num_blocks * size_in - self.reach,
        )


@functools.cache
def fixed_filter(sample_rate_hz: int) -> FixedFilter | None:
    """The filter from a rate to 22,050 Hz; None if this rate has no fixed filter."""
    ratio = fractions.Fraction(SAMPLE_RATE_HZ, sample_rate_hz)
    factors = ratio.numerator, ratio.denominator
    if 1 not in factors or max(factors) not in _FACTORS:
        return None
    # Below a ratio of 1 the filter is stretched, to remove what would alias.
    scale = min(1.0, float(ratio))
    step = _TABLE_STEP * scale
    reach = math.floor(_TABLE_SIZE / step) + 1
    inputs = np.arange(2 * _BLOCK * ratio.denominator) - reach
    outputs = np.arange(_BLOCK * ratio.numerator) / float(ratio)
    positions = np.abs(inputs[:, np.newaxis] - outputs) * step
    matrix = scale * _interpolated(positions)
    top, bottom = np.split(matrix, 2)
    return FixedFilter(top, bottom, reach, ratio)


def _interpolated(positions: np.ndarray) -> np.ndarray:
    """Coefficients at positions in the table; linear between entries, 0 at the end."""
    table = sinc_table()
    index = np.minimum(positions.astype(np.int64), _TABLE_SIZE)
    between = positions - index
    values = table[index] + between * (table[index + 1] - table[index])
    return np.where(positions <= _TABLE_SIZE, values, 0.0)


@functools.cache
def sinc_table() -> np.ndarray:
    """libsamplerate's coefficients: float64 [22440], the peak of the filter first.

    They are measured with impulses. From 2 Hz to 491 Hz, every output lies on an entry
    of the table: an impulse at an even sample gives the even entries, and an impulse at
    an odd sample the odd entries.
    """
    resampler = _essentia_resampler(2, _TABLE_STEP)
    table = np.zeros(_TABLE_SIZE + 2)
    for place in (100, 101):
        impulse = np.zeros(200, np.float32)
        impulse[place] = 1
        answer = resampler(impulse)
        entries = np.abs(2 * np.arange(len(answer)) - _TABLE_STEP * place)
        is_inside = entries < len(table)
        table[entries[is_inside]] = answer[is_inside]
    return table


def _zero_padded(samples: FloatArray, start: int, size: int) -> np.ndarray:
    """Samples from `start` on as float64 [size], with zeros outside the clip."""
    result = np.zeros(size)
    begin, end = max(start, 0), min(start + size, len(samples))
    if begin < end:
        result[begin - start : end - start] = samples[begin:end]
    return result


def is_unflushed(num_samples: int) -> bool:
    """Whether MonoLoader loses the end of a clip with this number of samples."""
    return num_samples % _MONOLOADER_BLOCK == 0


def unflushed_length(num_samples: int, sample_rate_hz: int) -> int:
    """Number of output samples of the resampler before its filter is flushed.

    libsamplerate's sinc_process stops when at most half its filter lies ahead of the
    read position (src_sinc.c). Tests compare the result with MonoLoader for 12 rates.
    """
    ratio = float32_ratio(sample_rate_hz)
    half_filter = round((_TABLE_SIZE + 2) / _TABLE_STEP / min(ratio, 1.0)) + 1
    return max(0, math.ceil((num_samples - half_filter) * ratio))
