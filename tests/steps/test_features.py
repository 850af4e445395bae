"""Frames, log-mel bands and patches, computed without Beam."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.audio_files import signal
from transforms.elements import AudioInfo, Clip
from transforms.essentia_import import essentia_standard
from transforms.features import compute_patches
from transforms.front_end import mel
from transforms.front_end.mel import FRAME_SAMPLES, NUM_MELS, log_mel_bands
from transforms.front_end.patches import (
    HOP_SAMPLES,
    PATCH_FRAMES,
    LastPatch,
    PatchSpec,
    cut_frames,
    cut_patches,
    log_mel,
    normalise,
)

SAMPLE_COUNTS = st.integers(min_value=1, max_value=3000)


@given(num_samples=SAMPLE_COUNTS)
def test_frames_are_centred_on_every_220th_sample(num_samples: int) -> None:
    waveform = np.arange(1, num_samples + 1, dtype=np.float32)
    frames = cut_frames(waveform)
    assert len(frames) == int(np.ceil(num_samples / HOP_SAMPLES)) + 1
    for index, frame in enumerate(frames):
        positions = HOP_SAMPLES * index - FRAME_SAMPLES // 2 + np.arange(FRAME_SAMPLES)
        inside = (positions >= 0) & (positions < num_samples)
        expected = np.where(inside, positions + 1, 0)
        np.testing.assert_array_equal(frame, expected)


def naive_patches(mel: np.ndarray, hop: int, last_patch: LastPatch) -> list[np.ndarray]:
    patches = []
    start = 0
    while start + PATCH_FRAMES <= len(mel):
        patches.append(mel[start : start + PATCH_FRAMES])
        start += hop
    rest = mel[start:]
    if last_patch == "repeat" and len(rest):
        patches.append(np.stack([rest[i % len(rest)] for i in range(PATCH_FRAMES)]))
    return patches


@given(
    num_frames=st.integers(min_value=1, max_value=400),
    hop=st.integers(min_value=1, max_value=101),
    last_patch=st.sampled_from(["repeat", "discard"]),
)
def test_patches_equal_a_plain_loop(
    num_frames: int, hop: int, last_patch: LastPatch
) -> None:
    mel = np.arange(num_frames * NUM_MELS, dtype=np.float32).reshape(-1, NUM_MELS)
    patches = cut_patches(mel, PatchSpec(hop, last_patch))
    expected = naive_patches(mel, hop, last_patch)
    assert patches.shape == (len(expected), PATCH_FRAMES, NUM_MELS)
    for ours, theirs in zip(patches, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(
    num_samples=st.integers(min_value=1, max_value=60_000),
    bins=st.integers(min_value=-95, max_value=95),
)
@settings(max_examples=20, deadline=None)
def test_patches_are_shifted_by_mel_bins(num_samples: int, bins: int) -> None:
    clip = clip_of(num_samples)
    assert clip.waveform is not None
    mel = np.roll(log_mel(normalise(clip.waveform))[0], bins, axis=1)
    if bins > 0:
        mel[:, :bins] = mel[:, bins, np.newaxis]
    elif bins < 0:
        mel[:, bins:] = mel[:, bins - 1, np.newaxis]
    expected = naive_patches(mel, 50, "repeat")
    patches = compute_patches(clip, PatchSpec(bin_shift=bins)).patches
    np.testing.assert_array_equal(patches, expected)


def test_shifts_by_all_mel_bins_are_refused() -> None:
    for bins in (-NUM_MELS, NUM_MELS):
        with pytest.raises(ValueError, match="fewer than 96 bins"):
            PatchSpec(bin_shift=bins)


@pytest.fixture(params=[True, False], ids=["numba", "no numba"])
def has_numba(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    mel._filters_by_numba.cache_clear()
    if not request.param:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    yield
    mel._filters_by_numba.cache_clear()


def assert_essentias_bands(frames: np.ndarray) -> None:
    theirs = essentia_standard().TensorflowInputFSDSINet()
    expected = np.stack([theirs(frame) for frame in frames])
    np.testing.assert_array_equal(log_mel_bands(frames), expected)


@pytest.mark.usefixtures("has_numba")
@pytest.mark.parametrize("level", [1, 1e-3, 1e-8, 1e-20, 0])
def test_mel_bands_equal_essentias_bit_by_bit(level: float) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((300, FRAME_SAMPLES))
    tones = np.sin(np.outer(rng.uniform(0, 3, 300), np.arange(FRAME_SAMPLES)))
    frames = np.float32(level) * np.concatenate([noise, tones]).astype(np.float32)
    assert_essentias_bands(frames)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.floats(-12, 6),
    pitch=st.floats(0, math.pi),
    noise=st.sampled_from([0, 1e-6, 1e-3, 1]),
    kept=st.integers(1, FRAME_SAMPLES),
)
def test_mel_bands_of_any_sound_equal_essentias(
    seed: int, level: float, pitch: float, noise: float, kept: int
) -> None:
    rng = np.random.default_rng(seed)
    sounds = np.sin(pitch * np.arange(20 * FRAME_SAMPLES))
    sounds += noise * rng.standard_normal(sounds.shape)
    frames = (10**level * sounds).astype(np.float32).reshape(-1, FRAME_SAMPLES)
    frames[:, kept:] = 0
    assert_essentias_bands(frames)


def test_normalised_audio_has_mean_0_and_a_peak_just_under_1() -> None:
    waveform = normalise(signal(20000, 22050)[0] * 0.3 + np.float32(0.2))
    assert abs(waveform.mean()) < 1e-5
    assert 0.9 < np.abs(waveform).max() < 1


def test_silence_becomes_the_same_seeded_noise_in_every_clip() -> None:
    silence = np.zeros(5000, np.float32)
    first, num_silent = log_mel(normalise(silence))
    log_mel(normalise(signal(5000, 22050)[0]))
    again, _ = log_mel(normalise(silence))
    assert num_silent == len(first)
    np.testing.assert_array_equal(first, again)
    assert np.ptp(first) > 0


def clip_of(num_samples: int, level: float = 1.0) -> Clip:
    waveform = np.float32(level) * signal(num_samples, 22050)[0]
    return Clip("a", "a.wav", AudioInfo(1.0, 22050, 1, "x"), ("clipped",), waveform)


@pytest.mark.parametrize(
    ("num_samples", "level", "last_patch", "flags", "num_patches"),
    [
        (21780, 1, "repeat", ("clipped", "short"), 1),
        (21780, 1, "discard", ("clipped", "short"), 0),
        (21781, 1, "discard", ("clipped",), 1),
        (21781, 1, "repeat", ("clipped",), 2),
        (30000, 0, "repeat", ("clipped", "silent"), 2),
    ],
)
def test_short_and_silent_clips_are_flagged(
    num_samples: int,
    level: float,
    last_patch: LastPatch,
    flags: tuple[str, ...],
    num_patches: int,
) -> None:
    clip = compute_patches(clip_of(num_samples, level), PatchSpec(50, last_patch))
    assert clip.flags == flags
    assert clip.waveform is None
    assert clip.patches is not None
    assert len(clip.patches) == num_patches
