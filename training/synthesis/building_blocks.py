"""Building blocks of sounds made by formula: noise, envelopes, pulses, resonances."""

from collections.abc import Sequence

import numpy as np

from training.synthesis.signals import shape_spectrum
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

Array = np.ndarray
Random = np.random.Generator
Floats = Sequence[float] | Array


def band_noise(size: int, low_hz: float, high_hz: float, rng: Random) -> Array:
    """Noise between two frequencies, with slopes of 12 dB an octave, at unit RMS."""

    def gain(hz: Array) -> Array:
        above = 1 / (1 + (low_hz / np.maximum(hz, 1)) ** 2)
        return above / (1 + (hz / high_hz) ** 2)

    return unit(shape_spectrum(rng.standard_normal(size), gain))


def wandering(t: Array, rate_hz: float, rng: Random) -> Array:
    """A smooth random curve between 0 and 1, with about `rate_hz` turns per second."""
    knots = np.arange(0, t[-1] + 2 / rate_hz, 1 / rate_hz)
    values = rng.uniform(0, 1, len(knots))
    place = np.minimum(t * rate_hz, len(knots) - 1.001)
    index = place.astype(int)
    # Between two knots the curve is half a cosine wave.
    blend = 0.5 - 0.5 * np.cos(np.pi * (place - index))
    return values[index] * (1 - blend) + values[index + 1] * blend


def struck(seconds: float, attack_s: float, decay_s: float) -> Array:
    """Envelope of a stroke: rises in `attack_s` and falls by 60 dB in `decay_s`."""
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.minimum(t / max(attack_s, 1e-4), 1) * 10 ** (-3 * t / decay_s)


def ringing(seconds: float, modes_hz: Floats, decays_s: Floats, rng: Random) -> Array:
    """Damped sines with a peak of 1: the modes of a body that is struck.

    Args:
        seconds: Length of the sound.
        modes_hz: Frequencies of the modes; those above 0.45 of the sample rate are left
            out.
        decays_s: Time in which each mode falls by 60 dB.
        rng: Random generator that decides strengths and phases.
    """
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    result = np.zeros_like(t)
    for frequency, decay in zip(modes_hz, decays_s, strict=True):
        if frequency < 0.45 * SAMPLE_RATE_HZ:
            phase = rng.uniform(0, 2 * np.pi)
            mode = np.sin(2 * np.pi * frequency * t + phase) * 10 ** (-3 * t / decay)
            result += rng.uniform(0.2, 1) * mode
    return result / (np.abs(result).max() + 1e-9)


def add_at(target: Array, start_s: float, sound: Array) -> None:
    """Adds a sound to `target` from `start_s` on; a part beyond the end is cut off."""
    start = round(start_s * SAMPLE_RATE_HZ)
    if 0 <= start < len(target):
        rest = target[start : start + len(sound)]
        rest += sound[: len(rest)]


def times(
    length_s: float, mean_gap_s: float, spread: float, rng: Random
) -> list[float]:
    """Random times whose gaps differ from `mean_gap_s` by a fraction of up to `spread`.

    The first time is in the first half of the length.
    """
    result, now = [], rng.uniform(0, min(mean_gap_s, length_s / 2))
    while now < length_s:
        result.append(now)
        now += mean_gap_s * (1 + rng.uniform(-spread, spread))
    return result


def bent(
    pitch_hz: float, seconds: float, bend: float, arch: float
) -> tuple[Array, Array]:
    """Pitch of a tone that rises or falls by `bend` and arches by `arch`.

    Both are natural logarithms of frequency ratios.

    Returns:
        Position within the tone, from 0 to 1, and frequency in Hz, of every sample.
    """
    u = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ / seconds
    return u, pitch_hz * np.exp(bend * u + arch * np.sin(np.pi * u))


def pulses(frequency: Array) -> Array:
    """One impulse per period of a frequency in Hz that is given for every sample."""
    cycles = np.floor(np.cumsum(frequency) / SAMPLE_RATE_HZ)
    return np.diff(cycles, prepend=0.0)


def resonant(samples: Array, centres_hz: Floats, quality: float) -> Array:
    """Filters by parallel second-order resonators; the result has an RMS of 1."""

    def gain(hz: Array) -> Array:
        total = np.zeros_like(hz)
        for centre in centres_hz:
            ratio = np.maximum(hz, 1) / centre
            total += 1 / np.sqrt(1 + quality**2 * (ratio - 1 / ratio) ** 2)
        return total

    return unit(shape_spectrum(samples, gain))


def unit(samples: Array) -> Array:
    """Scales samples to an RMS of 1; silence stays as it is."""
    rms = float(np.sqrt(np.mean(samples**2)))
    return samples / rms if rms > 0 else samples
