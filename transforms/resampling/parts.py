"""Resamples a recording part by part, to the samples of `resample` on the whole of it.

A checkpoint is a place from which outputs can be computed without what was before it.
"""

import math
from typing import NamedTuple

import numpy as np

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.resampling.whole import (
    FixedFilter,
    filter_reach,
    fixed_filter,
    float32_ratio,
    interpolate_part,
    is_unflushed,
    unflushed_length,
)

# Outputs this near to the end of what was read may be lost if the recording ends there
# (`unflushed_length`), beyond those that the filter reaches.
_MARGIN = 16


class Checkpoint(NamedTuple):
    """A place in a recording from which its outputs can be computed.

    Attributes:
        output: Index of the next output.
        whole: Index of the sample before this output in the input.
        part: Distance from this sample to the output, 0 to 1.
    """

    output: int = 0
    whole: int = 0
    part: float = 0.0


def is_slow(sample_rate_hz: int) -> bool:
    """Whether resampling from this rate takes as long as a third of the model VGG41."""
    return sample_rate_hz != SAMPLE_RATE_HZ and fixed_filter(sample_rate_hz) is None


def needed_samples(
    sample_rate_hz: int, start: Checkpoint, stop: int
) -> tuple[int, int]:
    """First sample and end of the samples that outputs need.

    Args:
        sample_rate_hz: Sample rate of the recording.
        start: Where the outputs begin.
        stop: End of the outputs.

    Returns:
        Indices in the recording; they may be outside of it.
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return start.output, stop
    fixed = fixed_filter(sample_rate_hz)
    if fixed:
        return fixed.needed(start.output, -(-stop // fixed.step) * fixed.step)
    reach = filter_reach(sample_rate_hz)
    span = math.ceil((stop - start.output) / float32_ratio(sample_rate_hz))
    return start.whole + 1 - reach, start.whole + span + reach + 2


def resample_part(
    samples: FloatArray,
    first: int,
    sample_rate_hz: int,
    start: Checkpoint,
    stop: int | None = None,
    num_samples: int | None = None,
) -> tuple[FloatArray, Checkpoint]:
    """Computes consecutive outputs of a recording.

    Args:
        samples: float32 [n]. A part of the recording, from `needed_samples`.
        first: Index in the recording of the first sample of the part.
        sample_rate_hz: Sample rate of the recording.
        start: Where the outputs begin.
        stop: Index at which outputs end; None for as many as the part gives.
        num_samples: Number of samples of the recording; None if it goes on after the
            part.

    Returns:
        float32 [num_outputs], and the checkpoint of the next output.
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        end = first + len(samples)
        until = end if stop is None else min(stop, end)
        return samples[start.output - first : until - first], Checkpoint(until)
    fixed = fixed_filter(sample_rate_hz)
    if fixed:
        result = _by_filter(fixed, samples, first, start, stop, num_samples)
        place = (0, 0.0)
    else:
        result, place = _by_kernel(
            sample_rate_hz, samples, first, start, stop, num_samples
        )
    reached = Checkpoint(start.output + len(result), *place)
    if num_samples is not None and is_unflushed(num_samples):
        result = result[: unflushed_length(num_samples, sample_rate_hz) - start.output]
    return result if stop is None else result[: stop - start.output], reached


def _by_filter(
    fixed: FixedFilter,
    samples: FloatArray,
    first: int,
    start: Checkpoint,
    stop: int | None,
    num_samples: int | None,
) -> FloatArray:
    """Outputs to the end of a step of the filter, or of the recording."""
    if num_samples is None:
        size_in, size_out = fixed.top.shape
        num_blocks = (first + len(samples) + fixed.reach) // size_in - 1
        until = num_blocks * size_out // fixed.step * fixed.step
    else:
        until = fixed.num_outputs(num_samples)
    if stop is not None:
        until = min(until, -(-stop // fixed.step) * fixed.step)
    return fixed.part(samples, first, start.output, max(until, start.output))


def _by_kernel(
    sample_rate_hz: int,
    samples: FloatArray,
    first: int,
    start: Checkpoint,
    stop: int | None,
    num_samples: int | None,
) -> tuple[FloatArray, tuple[int, float]]:
    limit = num_samples
    if limit is None:
        limit = first + len(samples) - filter_reach(sample_rate_hz) - _MARGIN
    ratio = float32_ratio(sample_rate_hz)
    max_count = max(0, int((limit - start.whole) * ratio) + 2)
    if stop is not None:
        max_count = min(max_count, stop - start.output)
    place = (start.whole, start.part)
    return interpolate_part(samples, sample_rate_hz, first, place, limit, max_count)


class PartResampler:
    """Resamples a recording whose samples arrive one after the other.

    Attributes:
        checkpoint: Where the next outputs begin.
        num_samples: Number of samples that have arrived.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.checkpoint = Checkpoint()
        self.num_samples = 0
        self._rate_hz = sample_rate_hz
        # Samples that later outputs need, and the index of the first of them.
        self._kept = np.empty(0, np.float32)
        self._first = 0

    def push(self, samples: FloatArray) -> FloatArray:
        """Takes further samples; returns the outputs that no later sample changes."""
        self.num_samples += len(samples)
        self._kept = np.concatenate([self._kept, samples])
        return self._outputs(None)

    def finish(self) -> FloatArray:
        """Returns the outputs that are left at the end of the recording."""
        return self._outputs(self.num_samples)

    def _outputs(self, num_samples: int | None) -> FloatArray:
        result, self.checkpoint = resample_part(
            self._kept, self._first, self._rate_hz, self.checkpoint, None, num_samples
        )
        output = self.checkpoint.output
        needed, _ = needed_samples(self._rate_hz, self.checkpoint, output)
        if needed > self._first:
            self._kept = self._kept[needed - self._first :]
            self._first = needed
        return result
