"""Computes log-mel bands of many frames: Essentia's bits in a third of its time.

Essentia's TensorflowInputFSDSINet takes one frame a call. Here only the FFT and the
logarithm are Essentia's, because other libraries round them differently. The window and
the filters run over many frames at a time, in the order of the C++ code, so that every
bit is the same. The filters run in `mel_kernel`, compiled by numba, or else in numpy.
"""

import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.essentia_import import algorithm

FRAME_SAMPLES = 660
NUM_MELS = 96
_FFT_SAMPLES = 2048
_NUM_BINS = _FFT_SAMPLES // 2 + 1
_LOWEST_HZ, _HIGHEST_HZ = 50.0, 10500.0
_SMALLEST_POWER = np.float32(1e-30)
# Number of frames at a time: their spectra fit the processor's cache.
_CHUNK_FRAMES = 512


def log_mel_bands(frames: FloatArray) -> FloatArray:
    """Computes the log-mel bands of frames.

    Args:
        frames: float32 [num_frames, 660], any strides.

    Returns:
        float32 [num_frames, 96]: log10 of the power in 96 Slaney-mel triangles from
        50 to 10,500 Hz, floored at 1e-30.
    """
    result = np.empty((len(frames), NUM_MELS), np.float32)
    apply_filters = _filters_by_numba() or _filters_by_numpy
    for start in range(0, len(frames), _CHUNK_FRAMES):
        chunk = frames[start : start + _CHUNK_FRAMES]
        bands = apply_filters(_magnitudes(chunk))
        logarithms = _log10()(bands.ravel())
        result[start : start + len(chunk)] = logarithms.reshape(-1, NUM_MELS)
    return result


def _magnitudes(frames: FloatArray) -> FloatArray:
    """Magnitude spectra, float32 [num_frames, 1025], of frames centred in zeros."""
    padded = np.zeros((len(frames), _FFT_SAMPLES), np.float32)
    before = (_FFT_SAMPLES - FRAME_SAMPLES) // 2
    np.multiply(frames, _window(), out=padded[:, before : before + FRAME_SAMPLES])
    spectrum = _spectrum()
    magnitudes = np.empty((len(frames), _NUM_BINS), np.float32)
    for index, frame in enumerate(padded):
        magnitudes[index] = spectrum(frame)
    return magnitudes


@functools.cache
def _filters_by_numba() -> Callable[[FloatArray], FloatArray] | None:
    """A function that does the same as `_filters_by_numpy`; None without numba."""
    if importlib.util.find_spec("numba") is None:
        return None
    from transforms.front_end.mel_kernel import apply_filters

    first_bins, weights = zip(*_filters(), strict=True)
    ends = np.cumsum([len(w) for w in weights])
    table = np.array(first_bins), ends, np.concatenate(weights), _SMALLEST_POWER

    def run(magnitudes: FloatArray) -> FloatArray:
        bands = np.empty((len(magnitudes), NUM_MELS), np.float32)
        apply_filters(magnitudes, *table, bands)
        return bands

    return run


def _filters_by_numpy(magnitudes: FloatArray) -> FloatArray:
    """Applies the filters: float32 [num_frames, 96], summed in float32 from the lowest
    bin to the highest, as the C++ loop does."""
    power = np.square(magnitudes).T.copy()
    bands = np.zeros((NUM_MELS, power.shape[1]), np.float32)
    product = np.empty(power.shape[1], np.float32)
    for total, (first_bin, weights) in zip(bands, _filters(), strict=True):
        for spectrum_row, weight in zip(power[first_bin:], weights, strict=False):
            np.multiply(spectrum_row, weight, out=product)
            np.add(total, product, out=total)
    return np.maximum(bands.T, _SMALLEST_POWER)


@functools.cache
def _window() -> FloatArray:
    """The periodic Hamming window, 0.54 - 0.46 cos."""
    phases = (2 * math.pi * index / FRAME_SAMPLES for index in range(FRAME_SAMPLES))
    return np.array([0.54 - 0.46 * math.cos(phase) for phase in phases], np.float32)


@functools.cache
def _spectrum() -> Any:
    """Essentia's magnitude spectrum: from float32 [2048] to float32 [1025]."""
    return algorithm("Spectrum", size=_FFT_SAMPLES)


@functools.cache
def _log10() -> Any:
    """Essentia's log10 of a vector; numpy's rounds differently on some processors."""
    return algorithm("UnaryOperator", type="log10")


@functools.cache
def _filters() -> list[tuple[int, FloatArray]]:
    """First bin and weights of every filter, measured with Essentia's MelBands."""
    mel_bands = algorithm(
        "MelBands",
        inputSize=_NUM_BINS,
        numberBands=NUM_MELS,
        sampleRate=float(SAMPLE_RATE_HZ),
        lowFrequencyBound=_LOWEST_HZ,
        highFrequencyBound=_HIGHEST_HZ,
        warpingFormula="slaneyMel",
        weighting="linear",
        normalize="unit_max",
        type="power",
    )
    weights = np.stack(
        [mel_bands(unit) for unit in np.eye(_NUM_BINS, dtype=np.float32)]
    )
    filters = []
    for band in range(NUM_MELS):
        bins = np.flatnonzero(weights[:, band])
        first, last = int(bins[0]), int(bins[-1])
        filters.append((first, weights[first : last + 1, band]))
    return filters
