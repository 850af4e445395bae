"""Degrades clean clips like recordings: rooms, microphones, overload, noise, codecs.

Sounds of soundfonts and synthesisers are too clean: a model that is trained on them
alone fails on real recordings. Clips are degraded once, before log-mels are computed.
Changes that can be made to log-mels (level, mixing) are in `training.network.batches`.
"""

import functools
import pathlib
import tempfile
from typing import Any

import numpy as np

from training.synthesis.encode import encode
from training.synthesis.signals import coloured_noise, shape_spectrum
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.essentia_import import essentia_standard
from transforms.resampling.whole import resample

Random = np.random.Generator

# Codecs of sound archives and telephones: extension, encoder, sample rate, bit rates.
_CODECS: tuple[tuple[str, str, int, tuple[int, ...]], ...] = (
    ("mp3", "libmp3lame", 22050, (24000, 40000, 64000)),
    ("ogg", "libopus", 24000, (12000, 24000, 48000)),
    ("m4a", "aac", 22050, (24000, 48000)),
    ("wav", "g722", 16000, (64000,)),
    ("wav", "pcm_mulaw", 8000, (64000,)),
)


def degrade(samples: FloatArray, rng: Random) -> FloatArray:
    """Applies some of the steps to a clip, each with its own probability.

    Args:
        samples: float32 [num_samples] at 22,050 Hz.
        rng: Random generator that decides steps and their values.

    Returns:
        float32 [num_samples] with a peak of 0.7; silence stays as it is.
    """
    result = samples.astype(np.float32)
    if rng.random() < 0.65:
        result = add_room(result, rng)
    if rng.random() < 0.6:
        result = equalise(result, rng)
    if rng.random() < 0.25:
        result = overload(result, rng)
    if rng.random() < 0.6:
        result = add_noise(result, rng)
    if rng.random() < 0.4:
        result = through_codec(result, rng)
    return scaled(result)


def scaled(samples: FloatArray) -> FloatArray:
    """Scales samples to a peak of 0.7; silence stays as it is."""
    peak = float(np.abs(samples).max(initial=0))
    return samples * np.float32(0.7 / peak) if peak > 0 else samples


def add_room(samples: FloatArray, rng: Random) -> FloatArray:
    """Adds early reflections and a tail that decays by 60 dB in 0.1 to 1.5 s.

    The tail is noise that loses its high frequencies while it decays (Schroeder's model
    of a diffuse field). It is 0 to 18 dB weaker than the direct sound.
    """
    decay_s = 10 ** rng.uniform(-1, 0.18)
    size = round(decay_s * SAMPLE_RATE_HZ)
    t = np.arange(size) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(size) * 10 ** (-3 * t / decay_s)
    dull = rng.standard_normal(size) * 10 ** (-6 * t / decay_s)
    cut = rng.uniform(1500, 6000)
    dark = shape_spectrum(tail, lambda hz: 1 / (1 + (hz / cut) ** 2))
    response = dark + rng.uniform(0, 1) * dull
    before = round(rng.uniform(0.001, 0.03) * SAMPLE_RATE_HZ)
    response[: min(before, size // 2)] = 0
    for delay in rng.integers(20, 900, size=6):
        if delay < size:
            response[delay] += rng.choice([-1, 1]) * rng.uniform(0.5, 3)
    response *= 10 ** (-rng.uniform(0, 18) / 20) / np.linalg.norm(response)
    response[0] = 1
    length = len(samples) + size
    spectrum = np.fft.rfft(samples, length) * np.fft.rfft(response, length)
    return np.fft.irfft(spectrum, length)[: len(samples)].astype(np.float32)


def equalise(samples: FloatArray, rng: Random) -> FloatArray:
    """Filters like a microphone or loudspeaker: uneven by up to 6 dB, band-limited."""
    points = np.geomspace(40, 11000, 8)
    decibels = rng.uniform(-6, 6, len(points))
    lowest = 10 ** rng.uniform(1.3, 2.5)
    highest = 10 ** rng.uniform(3.45, 4.05)

    def gain(hz: np.ndarray) -> np.ndarray:
        curve = np.interp(np.log(np.maximum(hz, 1)), np.log(points), decibels)
        low = 1 / np.sqrt(1 + (lowest / np.maximum(hz, 1)) ** 4)
        high = 1 / np.sqrt(1 + (hz / highest) ** 8)
        return 10 ** (curve / 20) * low * high

    return shape_spectrum(samples, gain).astype(np.float32)


def overload(samples: FloatArray, rng: Random) -> FloatArray:
    """Clips softly, as if the sound were 0 to 20 dB too loud."""
    drive = np.float32(10 ** rng.uniform(0, 1))
    return np.tanh(drive * scaled(samples))


def add_noise(samples: FloatArray, rng: Random) -> FloatArray:
    """Adds coloured noise 8 to 60 dB below the clip."""
    t = np.arange(len(samples)) / SAMPLE_RATE_HZ
    noise = coloured_noise(t, rng)
    level = np.linalg.norm(samples) * 10 ** (-rng.uniform(8, 60) / 20)
    return samples + (noise * (level / np.linalg.norm(noise))).astype(np.float32)


def through_codec(samples: FloatArray, rng: Random) -> FloatArray:
    """Encodes and decodes with a random codec; the length stays the same."""
    extension, codec, rate, bit_rates = _CODECS[int(rng.integers(len(_CODECS)))]
    bit_rate = int(rng.choice(bit_rates))
    to_rate = _resampler(rate)(np.ascontiguousarray(scaled(samples)))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"clip.{extension}"
        encode(path, to_rate[np.newaxis], rate, codec, bit_rate)
        with path.open("rb") as file:
            decoded = decode_file(codec, file)
    back = resample(decoded.samples, decoded.sample_rate_hz)[: len(samples)]
    return np.pad(back, (0, len(samples) - len(back)))


@functools.cache
def _resampler(to_hz: int) -> Any:
    return essentia_standard().Resample(
        inputSampleRate=SAMPLE_RATE_HZ, outputSampleRate=to_hz, quality=1
    )
