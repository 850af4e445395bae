"""Makes signalling tones and noises by formula.

Real sirens and dial tones are electronic, too, so that the formulas are true to them.
The noises have no label: the model learns from them to give no label.
"""

from collections.abc import Callable

import numpy as np

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

Random = np.random.Generator
Signal = Callable[[np.ndarray, Random], np.ndarray]

# Rows and columns of the keypad (ITU-T Q.23), and call progress tones (ITU-T E.180).
_KEYPAD_HZ = ((697, 770, 852, 941), (1209, 1336, 1477))
_PROGRESS_HZ: tuple[tuple[int, ...], ...] = (
    *((425,), (350, 440), (480, 620), (440, 480), (400, 450)),
)


def siren(t: np.ndarray, rng: Random) -> np.ndarray:
    """Wail, yelp or two tones of an electronic siren."""
    kind = rng.integers(3)
    low = rng.uniform(400, 800)
    high = low * rng.uniform(1.3, 2.2)
    rate = rng.uniform(0.1, 0.5) if kind == 0 else rng.uniform(2, 5)
    if kind == 2:
        is_high = (t * rng.uniform(0.4, 1.5)) % 1 < 0.5
        position = is_high.astype(np.float64)
    else:
        position = 0.5 - 0.5 * np.cos(2 * np.pi * rate * t)
    return _harmonics(low + (high - low) * position, rng)


def dial_tones(t: np.ndarray, rng: Random) -> np.ndarray:
    """Keypad tones of a dialled number, or a call progress tone."""
    if rng.random() < 0.35:
        tones = _PROGRESS_HZ[rng.integers(len(_PROGRESS_HZ))]
        period = rng.choice([0.5, 1.0, 3.0, 6.0])
        return _tones(t, tones) * (t % period < period * rng.choice([0.35, 0.5, 1.0]))
    result = np.zeros_like(t)
    on, off = rng.uniform(0.07, 0.35, size=2)
    for start in np.arange(rng.uniform(0, 0.3), t[-1], on + off):
        pressed = (t >= start) & (t < start + on)
        key = tuple(row[rng.integers(len(row))] for row in _KEYPAD_HZ)
        result[pressed] = _tones(t[pressed], key)
    return result


def coloured_noise(t: np.ndarray, rng: Random) -> np.ndarray:
    """Noise whose spectrum falls by up to 12 dB per octave, steady or swelling."""
    noise = shape_spectrum(
        rng.standard_normal(len(t)),
        lambda hz: np.maximum(hz, 30) ** -rng.uniform(-0.3, 2.0),
    )
    if rng.random() < 0.4:
        depth, rate = rng.uniform(0, 1), rng.choice([0.2, 0.5, 2, 8])
        noise *= 1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rate * t))
    return noise


def hum(t: np.ndarray, rng: Random) -> np.ndarray:
    """Mains hum and a little hiss."""
    mains = rng.choice([50.0, 60.0])
    tones = sum(
        rng.uniform(0, 1) / k * np.sin(2 * np.pi * (mains * k * t + rng.random()))
        for k in range(1, int(rng.integers(3, 20)))
    )
    hiss = rng.standard_normal(len(t)) * 10 ** rng.uniform(-3, -1)
    return np.asarray(tones) + hiss


def clicks(t: np.ndarray, rng: Random) -> np.ndarray:
    """Clicks of a worn record or of a switch, over faint noise."""
    result = rng.standard_normal(len(t)) * 10 ** rng.uniform(-4, -2)
    rate = 10 ** rng.uniform(-0.3, 1.5)
    for place in np.flatnonzero(rng.random(len(t)) < rate / SAMPLE_RATE_HZ):
        start = int(place)
        size = min(int(rng.integers(5, 120)), len(t) - start)
        decay = np.exp(-np.arange(size) / (size / 4))
        result[start : start + size] += rng.standard_normal(size) * decay
    return result


def sweeps(t: np.ndarray, rng: Random) -> np.ndarray:
    """Rising or falling sine sweeps over four octaves or more, as in measurements."""
    low = rng.uniform(np.log(40), np.log(500))
    high = rng.uniform(low + np.log(16), np.log(10000))
    position = (t * rng.uniform(0.1, 0.7)) % 1
    if rng.random() < 0.5:
        position = 1 - position
    frequency = np.exp(low + (high - low) * position)
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ)


def silence(t: np.ndarray, rng: Random) -> np.ndarray:
    """Digital silence, or noise in the last bit of a converter."""
    return rng.choice([0.0, 1.0]) * rng.integers(-1, 2, len(t)) / 32768


SIGNALS: tuple[Signal, ...] = (
    *(siren, dial_tones, coloured_noise, hum, clicks, sweeps, silence),
)


def shape_spectrum(
    samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Filters samples without phase shift; `gain` maps frequencies in Hz to factors."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    return np.fft.irfft(spectrum * gain(frequencies), len(samples))


def _harmonics(frequency: np.ndarray, rng: Random) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ
    weights = rng.uniform(0, 1, int(rng.integers(1, 7))) ** 2
    weights[0] = 1
    tones = (w / k * np.sin(k * phase) for k, w in enumerate(weights, start=1))
    return np.sum([*tones], axis=0)


def _tones(t: np.ndarray, frequencies: tuple[int, ...]) -> np.ndarray:
    return np.sum([np.sin(2 * np.pi * f * t) for f in frequencies], axis=0)
