"""The resampling filters give the samples of libsamplerate, at most a last bit off."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.resampling import whole as resampling
from transforms.resampling.whole import (
    fixed_filter,
    resample,
    resample_by_essentia,
    resample_by_kernel,
    sinc_table,
)

RATES_HZ = (11025, 44100, 88200, 176400)
OTHER_RATES_HZ = (8000, 16000, 24000, 32000, 48000, 96000)
# Block sizes: of the filters at each rate, of MonoLoader, and of the blocks that are
# filtered at once.
EDGES = (96, 192, 384, 768, 4096, 24576, 49152)


def noise(num_samples: int, seed: int = 0) -> FloatArray:
    samples = np.random.default_rng(seed).uniform(-1, 1, num_samples)
    return samples.astype(np.float32)


def assert_same(samples: FloatArray, rate_hz: int) -> None:
    fixed = fixed_filter(rate_hz)
    actual = fixed.run(samples) if fixed else resample_by_kernel(samples, rate_hz)
    expected = resample_by_essentia(samples, rate_hz)
    assert actual.dtype == np.float32 and actual.shape == expected.shape
    # float64 sums in another order may be rounded to the next float32.
    last_bit = np.spacing(np.abs(expected))
    np.testing.assert_array_less(np.abs(actual - expected), 1.5 * last_bit)
    assert np.count_nonzero(actual != expected) <= 1 + 1e-6 * len(expected)


@pytest.mark.parametrize("rate_hz", RATES_HZ + OTHER_RATES_HZ)
def test_short_clips_equal_libsamplerate(rate_hz: int) -> None:
    for num_samples in (*range(1, 20), 45, 46, 91, 92, 93, 183, 366, 732):
        assert_same(noise(num_samples), rate_hz)


@pytest.mark.parametrize("rate_hz", RATES_HZ + OTHER_RATES_HZ)
@pytest.mark.parametrize("edge", EDGES)
def test_clips_around_block_edges_equal_libsamplerate(rate_hz: int, edge: int) -> None:
    for num_samples in (edge - 1, edge, edge + 1, 2 * edge):
        assert_same(noise(num_samples, edge), rate_hz)


@pytest.mark.parametrize("rate_hz", RATES_HZ + OTHER_RATES_HZ)
def test_half_a_minute_equals_libsamplerate(rate_hz: int) -> None:
    assert_same(noise(30 * rate_hz), rate_hz)


@settings(max_examples=60)
@given(
    num_samples=st.integers(1, 60000),
    rate_hz=st.sampled_from(RATES_HZ + OTHER_RATES_HZ)
    | st.integers(2000, 400000).filter(lambda rate_hz: rate_hz != SAMPLE_RATE_HZ),
    level=st.sampled_from([1e-30, 1e-6, 1.0, 1e4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_clip_equals_libsamplerate(
    num_samples: int, rate_hz: int, level: float, seed: int
) -> None:
    assert_same(noise(num_samples, seed) * np.float32(level), rate_hz)


@pytest.mark.parametrize("rate_hz", [*RATES_HZ, *OTHER_RATES_HZ])
def test_only_power_of_two_ratios_have_a_fixed_filter(rate_hz: int) -> None:
    assert (fixed_filter(rate_hz) is None) == (rate_hz in OTHER_RATES_HZ)


@pytest.mark.parametrize("has_numba", [True, False])
def test_other_rates_work_without_numba(
    has_numba: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_numba:
        monkeypatch.setitem(sys.modules, "transforms.resampling.kernel", None)
    monkeypatch.setattr(resampling, "has_numba", lambda: has_numba)
    samples = noise(5000)
    expected = resample_by_essentia(samples, 48000)
    np.testing.assert_array_equal(resample(samples, 48000), expected)


def test_clips_at_22050_hz_are_not_resampled() -> None:
    samples = noise(5000)
    assert resample(samples, 22050) is samples


def test_table_passes_a_constant_signal() -> None:
    table = sinc_table()
    assert table.shape == (22440,) and table.argmax() == 0
    # A constant passes if coefficients that are an input sample apart sum to 1.
    for offset in (0, 17, 245, 490):
        left, right = table[offset::491], table[491 - offset :: 491]
        assert left.sum() + right.sum() == pytest.approx(1, abs=1e-4)
