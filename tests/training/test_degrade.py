"""Degraded clips keep their length and limits; signals have the right frequencies."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from training.synthesis import degrade
from training.synthesis.degrade import (
    add_noise,
    add_room,
    equalise,
    overload,
    scaled,
    through_codec,
)
from training.synthesis.formulas import render_formula
from training.synthesis.signals import shape_spectrum
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

Random = np.random.Generator
Step = Callable[[np.ndarray, Random], np.ndarray]
STEPS: tuple[Step, ...] = (
    *(add_room, equalise, overload, add_noise, through_codec, degrade.degrade),
)
KEYPAD_HZ = (697, 770, 852, 941, 1209, 1336, 1477)
PROGRESS_HZ = (350, 400, 425, 440, 450, 480, 620)

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
each_codec = pytest.mark.parametrize(
    "codec", range(len(degrade._CODECS)), ids=[row[1] for row in degrade._CODECS]
)


@functools.cache
def melody() -> np.ndarray:
    """Two seconds of decaying tones, between 300 and 2,000 Hz."""
    rng = np.random.default_rng(3)
    t = np.arange(SAMPLE_RATE_HZ // 4) / SAMPLE_RATE_HZ
    tones = [
        np.sin(2 * np.pi * hz * t) * np.exp(-6 * t) for hz in rng.uniform(300, 2000, 8)
    ]
    return 0.4 * np.concatenate(tones).astype(np.float32)


def decibels(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


@each_step
@pytest.mark.parametrize("length", [SAMPLE_RATE_HZ * 2, 15001])
def test_steps_keep_length_and_type(step: Step, length: int) -> None:
    samples = np.resize(melody(), length)
    before = samples.copy()
    for seed in range(8):
        result = step(samples, np.random.default_rng(seed))
        assert result.shape == samples.shape
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
        assert 1e-3 < np.abs(result).max() < 20
    np.testing.assert_array_equal(samples, before)


@each_step
def test_steps_survive_silence(step: Step) -> None:
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    for seed in range(12):
        result = step(silence, np.random.default_rng(seed))
        assert result.shape == silence.shape
        assert np.abs(result).max() <= 1e-3


@each_step
def test_a_step_depends_on_its_seed(step: Step) -> None:
    first, same, *others = (
        step(melody(), np.random.default_rng(seed)) for seed in (4, 4, 5, 6, 7)
    )
    np.testing.assert_array_equal(first, same)
    assert max(np.abs(first - other).max() for other in others) > 1e-3


def test_degraded_clips_have_one_peak_and_differ() -> None:
    clips = [degrade.degrade(melody(), np.random.default_rng(s)) for s in range(12)]
    for clip in clips:
        np.testing.assert_allclose(np.abs(clip).max(), 0.7, rtol=1e-6)
    different = {clip.tobytes() for clip in clips}
    assert len(different) > 9


def test_scaling_does_not_change_silence() -> None:
    assert not scaled(np.zeros(5, np.float32)).any()
    np.testing.assert_allclose(
        scaled(np.array([0, -0.1, 0.05], np.float32)), [0, -0.7, 0.35]
    )
    assert scaled(np.zeros(0, np.float32)).shape == (0,)


def test_room_keeps_the_direct_sound_in_place() -> None:
    impulse = np.zeros(4 * SAMPLE_RATE_HZ, np.float32)
    place = 1000
    impulse[place] = 0.5
    for seed in range(20):
        result = add_room(impulse, np.random.default_rng(seed)) / np.float32(0.5)
        np.testing.assert_allclose(result[:place], 0, atol=1e-5)
        assert abs(result[place] - 1) < 1e-5
        tail = result[place + 1 :]
        # No reflection arrives earlier than one over 30 cm.
        np.testing.assert_allclose(tail[:19], 0, atol=1e-5)
        assert -18.1 < decibels(float(np.linalg.norm(tail))) < 0.1
        # The tail decays by 60 dB in at most 1.5 s.
        late = tail[round(1.52 * SAMPLE_RATE_HZ) :]
        np.testing.assert_allclose(late, 0, atol=1e-5)


def test_noise_is_as_loud_as_documented() -> None:
    levels = []
    for seed in range(40):
        noise = add_noise(melody(), np.random.default_rng(seed)) - melody()
        ratio = np.linalg.norm(noise) / np.linalg.norm(melody())
        levels.append(decibels(float(ratio)))
    assert -61 < min(levels) < -50
    assert -18 < max(levels) < -7


def test_overload_is_soft_clipping() -> None:
    ramp = np.linspace(-1, 1, 1001, dtype=np.float32)
    for seed in range(10):
        result = overload(ramp, np.random.default_rng(seed))
        assert (np.diff(result) >= 0).all()
        np.testing.assert_allclose(result, -result[::-1], atol=1e-6)
        # The peak is between tanh(0.7) and tanh(7).
        assert np.tanh(0.69) < result[-1] <= np.tanh(7.1)
        assert result[-1] < 2 * result[750], "loud parts must be amplified less"


def test_equaliser_is_uneven_within_its_limits() -> None:
    impulse = np.zeros(SAMPLE_RATE_HZ, np.float32)
    impulse[0] = 1
    hz = np.fft.rfftfreq(len(impulse), 1 / SAMPLE_RATE_HZ)
    for seed in range(10):
        result = equalise(impulse, np.random.default_rng(seed))
        gain = 20 * np.log10(np.abs(np.fft.rfft(result)) + 1e-9)
        # The lower limit is at most 316 Hz, and the upper limit at least 2,800 Hz.
        inner = gain[(hz > 800) & (hz < 1500)]
        assert -6.5 < inner.min() and inner.max() < 6.1
        assert gain.max() < 6.1
        assert gain[1] < -20
        assert np.ptp(inner) > 0.01


class ChosenCodec:
    """A random generator that draws a given codec and its first bit rate."""

    def __init__(self, index: int) -> None:
        self._index = index

    def integers(self, count: int) -> int:
        assert self._index < count
        return self._index

    def choice(self, values: tuple[int, ...]) -> int:
        return values[0]


@each_codec
def test_codecs_change_the_sound_and_keep_it_recognisable(codec: int) -> None:
    rng: Random = ChosenCodec(codec)  # type: ignore[assignment]
    original = scaled(melody())
    result = through_codec(melody(), rng)
    assert result.shape == original.shape and result.dtype == np.float32
    # Encoders delay the sound by up to two frames.
    size = len(original)
    spectra = np.fft.rfft(result, 2 * size), np.fft.rfft(original, 2 * size)
    correlation = np.fft.irfft(spectra[0] * spectra[1].conj())
    lag = int(correlation[: size // 4].argmax())
    moved, still = result[lag:], original[: size - lag]
    likeness = np.corrcoef(moved, still)[0, 1]
    assert 0.8 < likeness
    difference = np.linalg.norm(moved - still) / np.linalg.norm(still)
    assert difference > 1e-3
    assert lag < 4000


@each_codec
def test_codecs_survive_silence_and_short_clips(codec: int) -> None:
    rng: Random = ChosenCodec(codec)  # type: ignore[assignment]
    result = through_codec(np.zeros(3000, np.float32), rng)
    assert result.shape == (3000,)
    assert np.abs(result).max() < 1e-3


def near(hz: np.ndarray, tones: tuple[int, ...], tolerance_hz: float) -> np.ndarray:
    distances = np.abs(hz[:, np.newaxis] - np.array(tones))
    return np.asarray(distances.min(axis=1) <= tolerance_hz)


def power_spectrum(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    return np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ), spectrum


def test_dial_tones_have_the_frequencies_of_the_standards() -> None:
    found: set[int] = set()
    for seed in range(60):
        samples = render_formula("dial_tones", 8.0, np.random.default_rng(seed))
        hz, power = power_spectrum(samples)
        tones = (*KEYPAD_HZ, *PROGRESS_HZ)
        # Spectral lines of short tones are broad; the closest keypad tones differ by
        # 73 Hz.
        near_by = power[near(hz, tones, 25)].sum() / power.sum()
        assert near_by > 0.95
        strongest = float(hz[power.argmax()])
        nearest = min(tones, key=lambda tone: abs(tone - strongest))
        assert abs(nearest - strongest) < 12
        found.add(nearest)
        low = power[hz < 660].sum() / power.sum()
        assert low < 0.1 or low > 0.9, (
            "keypad and progress tones must not sound together"
        )
    assert found & set(KEYPAD_HZ) and found & set(PROGRESS_HZ)


def test_pressed_keys_have_a_row_and_a_column() -> None:
    num_keypads = 0
    for seed in range(20):
        samples = render_formula("dial_tones", 8.0, np.random.default_rng(seed))
        hz, power = power_spectrum(samples)
        rows = power[(hz > 660) & (hz < 1075)].sum() / power.sum()
        columns = power[(hz > 1075) & (hz < 1600)].sum() / power.sum()
        if rows + columns > 0.5:
            num_keypads += 1
            np.testing.assert_allclose((rows, columns), 0.5, atol=0.05)
    assert num_keypads > 5


def test_sirens_sweep_in_range() -> None:
    for seed in range(30):
        samples = render_formula("siren", 6.0, np.random.default_rng(seed))
        hz, power = power_spectrum(samples)
        assert power[hz < 380].sum() < 0.01 * power.sum()
        assert 395 < hz[power.argmax()] < 800 * 2.2 + 5
        # A siren has two tones or a sweep, and never one steady tone.
        peak = power.argmax()
        assert power[max(0, peak - 60) : peak + 60].sum() < 0.95 * power.sum()


def test_unity_gain_is_identity() -> None:
    for length in (1000, 1001):
        samples = np.resize(melody(), length)
        result = shape_spectrum(samples, np.ones_like)
        np.testing.assert_allclose(result, samples, atol=1e-7)
        halved = shape_spectrum(samples, lambda hz: np.full_like(hz, 0.5))
        np.testing.assert_allclose(halved, samples / 2, atol=1e-7)


def test_gain_is_a_function_of_frequencies_in_hz() -> None:
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    low, high = (np.sin(2 * np.pi * hz * t) for hz in (1000, 3000))
    kept = shape_spectrum(low + high, lambda hz: (hz < 2000).astype(float))
    np.testing.assert_allclose(kept, low, atol=1e-9)
