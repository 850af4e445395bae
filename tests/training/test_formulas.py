"""Sounds made by formula are scaled, depend on their seed, and resemble their names."""

import numpy as np
import pytest

from training.synthesis.effects import EFFECTS
from training.synthesis.formulas import FORMULAS, render_formula
from training.synthesis.oddities import ODDITIES
from training.synthesis.signals import SIGNALS
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

SEEDS = range(6)


def render(name: str, seconds: float, seed: int) -> np.ndarray:
    return render_formula(name, seconds, np.random.default_rng(seed))


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_scaled_and_follow_from_their_seed(name: str) -> None:
    for seed in SEEDS:
        first, same, other = (render(name, 2.0, s) for s in (seed, seed, seed + 100))
        assert first.shape == (2 * SAMPLE_RATE_HZ,)
        assert first.dtype == np.float32
        np.testing.assert_array_equal(first, same)
        peak = float(np.abs(first).max())
        if name == "silence":
            assert peak <= 1 / 32768
        else:
            assert abs(peak - 0.5) < 1e-6
            assert np.abs(first - other).max() > 1e-3


def test_no_two_formulas_have_one_name() -> None:
    assert len(FORMULAS) == len(SIGNALS) + len(EFFECTS) + len(ODDITIES)


def centre_hz(samples: np.ndarray) -> float:
    """The frequency below which half of the power is."""
    power = np.cumsum(np.abs(np.fft.rfft(samples)) ** 2)
    half = int(np.searchsorted(power, power[-1] / 2))
    return half * SAMPLE_RATE_HZ / len(samples)


def loudness(samples: np.ndarray, hop_s: float) -> np.ndarray:
    """RMS of every `hop_s` seconds."""
    hop = round(hop_s * SAMPLE_RATE_HZ)
    rows = samples[: len(samples) // hop * hop].reshape(-1, hop)
    return np.asarray(np.sqrt((rows**2).mean(axis=1)))


@pytest.mark.parametrize(
    ("low", "high"),
    [("thunder", "gunshots"), ("explosions", "rain"), ("wind", "rain")],
)
def test_one_effect_is_darker_than_another(low: str, high: str) -> None:
    dark, bright = (
        np.median([centre_hz(render(name, 4.0, seed)) for seed in SEEDS])
        for name in (low, high)
    )
    assert dark < bright / 2


@pytest.mark.parametrize("name", ["gunshots", "explosions", "footsteps", "impacts"])
def test_strokes_stand_out(name: str) -> None:
    for seed in SEEDS:
        levels = loudness(render(name, 4.0, seed), 0.01)
        assert levels.max() > 3 * np.median(levels), seed


@pytest.mark.parametrize("name", ["rain", "stream", "wind"])
def test_weather_goes_on_without_a_pause(name: str) -> None:
    for seed in SEEDS:
        levels = loudness(render(name, 4.0, seed), 0.2)
        assert levels.min() > 0.02 * levels.max(), seed


def test_footsteps_have_a_walking_pace() -> None:
    for seed in SEEDS:
        levels = loudness(render("footsteps", 10.0, seed), 0.01)
        levels = levels - levels.mean()
        likeness = np.correlate(levels, levels, "full")[len(levels) - 1 :]
        # The strongest repetition is after one or two steps.
        gap_s = 0.01 * (20 + int(likeness[20:160].argmax()))
        assert 0.25 < gap_s < 1.6, seed
        assert likeness[20:160].max() > 0.1 * likeness[0], seed
