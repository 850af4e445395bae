"""A recording that is resampled part by part has the samples of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.resampling.parts import (
    PartResampler,
    needed_samples,
    resample_part,
)
from transforms.resampling.whole import resample

RATES_HZ = (22050, 44100, 11025, 48000, 96000, 16000, 8000, 32000, 88200)
LENGTHS = st.one_of(
    st.integers(1, 200_000), st.integers(1, 48).map(lambda blocks: blocks * 4096)
)


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, num_samples).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@settings(max_examples=25, deadline=None)
@given(num_samples=LENGTHS, data=st.data())
def test_pushed_samples_give_the_outputs_of_the_whole(
    rate_hz: int, num_samples: int, data: st.DataObject
) -> None:
    samples = noise(num_samples)
    size = data.draw(st.integers(max(1, num_samples // 40), num_samples))
    resampler = PartResampler(rate_hz)
    outputs = [
        resampler.push(samples[at : at + size]) for at in range(0, num_samples, size)
    ]
    actual = np.concatenate([*outputs, resampler.finish()])
    np.testing.assert_array_equal(actual, resample(samples, rate_hz))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@settings(max_examples=25, deadline=None)
@given(num_samples=LENGTHS, data=st.data())
def test_a_part_is_computed_from_a_checkpoint_and_its_samples(
    rate_hz: int, num_samples: int, data: st.DataObject
) -> None:
    samples = noise(num_samples)
    expected = resample(samples, rate_hz)
    cut = data.draw(st.integers(0, num_samples))
    resampler = PartResampler(rate_hz)
    resampler.push(samples[:cut])
    start = resampler.checkpoint
    if start.output >= len(expected):
        return
    stop = data.draw(st.integers(start.output + 1, len(expected)))
    first, end = needed_samples(rate_hz, start, stop)
    first = max(0, first)
    actual, _ = resample_part(
        samples[first : min(end, num_samples)], first, rate_hz, start, stop, num_samples
    )
    np.testing.assert_array_equal(actual, expected[start.output : stop])
