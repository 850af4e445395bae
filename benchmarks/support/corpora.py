"""Makes corpora of many clips of varied sound for benchmarks."""

import pathlib

import numpy as np

from training.synthesis.encode import encode

# Extension, encoder, sample rate and number of channels of each format.
Formats = tuple[tuple[str, str, int, int], ...]
WAV: Formats = (("wav", "pcm_s16le", 44100, 1),)
COMPRESSED: Formats = (
    ("flac", "flac", 48000, 2),
    ("mp3", "libmp3lame", 48000, 2),
    ("ogg", "libvorbis", 48000, 2),
)
MIXED: Formats = (
    ("wav", "pcm_s16le", 44100, 2),
    ("flac", "flac", 44100, 2),
    ("mp3", "libmp3lame", 44100, 2),
    ("wav", "pcm_s16le", 48000, 1),
)

MEAN_CLIP_S = 7.6


def make_corpus(
    folder: pathlib.Path, num_clips: int, seconds: float, formats: Formats = MIXED
) -> pathlib.Path:
    """Writes clips of one length, in the given formats in turn; returns the folder.

    One of ten clips is made; the others are hard links to it under other names.
    """
    folder.mkdir(parents=True)
    originals = max(4, num_clips // 10)
    for index in range(num_clips):
        suffix, codec, rate_hz, num_channels = formats[index % len(formats)]
        path = folder / f"{index:06d}.{suffix}"
        original = index % (originals - originals % len(formats))
        if index == original:
            samples = varied_sound(
                round(seconds * rate_hz), rate_hz, num_channels, index
            )
            encode(path, samples, rate_hz, codec)
        else:
            path.hardlink_to(folder / f"{original:06d}.{suffix}")
    return folder


def make_fsd50k_like(
    folder: pathlib.Path, num_clips: int, formats: Formats = WAV
) -> pathlib.Path:
    """Writes clips of 0.3 to 30 s, with FSD50K's mean of 7.6 s; returns the folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    # An exponential distribution with cut ends and the mean of FSD50K's clips.
    seconds = np.clip(rng.exponential(8.0, num_clips), 0.3, 30)
    seconds *= MEAN_CLIP_S / seconds.mean()
    for index, length_s in enumerate(np.clip(seconds, 0.3, 30)):
        suffix, codec, rate_hz, num_channels = formats[index % len(formats)]
        samples = varied_sound(round(length_s * rate_hz), rate_hz, num_channels, index)
        encode(folder / f"{index:06d}.{suffix}", samples, rate_hz, codec)
    return folder


def varied_sound(
    num_samples: int, rate_hz: int, num_channels: int, seed: int
) -> np.ndarray:
    """Gliding tones and noise: float64 [num_channels, num_samples] from -1 to 1."""
    rng = np.random.default_rng(seed)
    t = np.arange(num_samples) / rate_hz
    tones = sum(
        rng.uniform(0.05, 0.2)
        * np.sin(2 * np.pi * f * t * (1 + rng.uniform(0, 0.1) * t))
        for f in rng.uniform(80, 4000, 4)
    )
    noise = rng.uniform(0.01, 0.1) * rng.standard_normal((num_channels, num_samples))
    return np.clip(tones + noise, -1, 1)
