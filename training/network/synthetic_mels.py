"""Makes log-mel patches without audio, with the range and structure of real patches."""

import numpy as np


def synthetic_log_mels(num: int, num_frames: int, seed: int) -> np.ndarray:
    """Makes patches of decaying harmonic tones and bursts over a tilted noise floor.

    Returns:
        float32 [num, num_frames, 96] from -8 to 1 (log10 of power, as in Essentia).
    """
    rng = np.random.default_rng(seed)
    return np.stack([_log_mel(rng, num_frames) for _ in range(num)])


def _log_mel(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    t, band = np.arange(num_frames)[:, np.newaxis], np.arange(96)
    floor = rng.uniform(-7, -4) - rng.uniform(0, 2) * band / 96
    power = 10 ** (floor + 0.25 * rng.standard_normal((num_frames, 96)))
    for _ in range(rng.integers(2, 6)):
        onset, lasts = rng.integers(-20, num_frames), rng.uniform(3, 60)
        envelope = np.where(t < onset, 0, np.exp((onset - t) / lasts))
        first, spacing = rng.uniform(2, 40), rng.uniform(4, 25)
        harmonics = first + spacing * np.log2(np.arange(1, 9))
        lines = np.exp(-0.5 * (band[:, np.newaxis] - harmonics) ** 2).max(axis=1)
        burst = rng.random(96) * (rng.random() < 0.3)
        power += 10 ** rng.uniform(-3, 1) * envelope * np.maximum(lines, burst)
    return np.clip(np.log10(power), -8, 1).astype(np.float32)
