"""Turns a waveform into the log-mel patches that the models read.

The steps are those of Essentia's TensorflowPredictFSDSINet, with one difference. For
silent frames, Essentia draws noise with a seed from the clock; here the seed is fixed,
so that results can be repeated.
"""

import dataclasses
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.errors import unknown_value
from transforms.essentia_import import algorithm, essentia
from transforms.front_end.mel import FRAME_SAMPLES, NUM_MELS, log_mel_bands

# Stored with every output. Increase it when any number that is computed here changes.
FRONT_END_VERSION = 1

HOP_SAMPLES = 220
PATCH_FRAMES = 101
_SILENCE_LEVEL_DB = -100
# Essentia calls a frame silent if its float32 mean square is below 1e-10. Frames below
# twice that, by numpy's sum, are passed to Essentia, which decides.
_PERHAPS_SILENT = 2e-10

LastPatch = Literal["repeat", "discard"]


@dataclasses.dataclass(frozen=True)
class PatchSpec:
    """How log-mel frames become patches.

    Attributes:
        patch_hop: Distance from the start of a patch to the next, in frames of 10 ms
            (220 samples).
        last_patch: Treatment of the remaining frames: `repeat` repeats them to fill a
            last patch, `discard` drops them, as Essentia does by default.

    Raises:
        ValueError: if an attribute is out of range.
    """

    patch_hop: int = 50
    last_patch: LastPatch = "repeat"

    def __post_init__(self) -> None:
        if not 1 <= self.patch_hop <= PATCH_FRAMES:
            raise ValueError(
                f"patch_hop is {self.patch_hop}, expected 1 to {PATCH_FRAMES} frames "
                "(a longer hop would skip audio)"
            )
        choices = get_args(LastPatch)
        if self.last_patch not in choices:
            raise ValueError(unknown_value("last_patch", self.last_patch, choices))

    def start_s(self, patches: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Starts of patches in their clip: patch * hop * 220 / 22050 seconds.

        Args:
            patches: int [num_patches], indices of patches.
        """
        starts: npt.NDArray[np.float64] = (
            patches * self.patch_hop * HOP_SAMPLES / SAMPLE_RATE_HZ
        )
        return starts


DEFAULT_PATCHES = PatchSpec()


def normalise(waveform: FloatArray) -> FloatArray:
    """Removes the mean and scales the peak to just under 1, over the whole clip.

    As in Essentia's TensorflowPredictFSDSINet: subtracts the mean (a float32 running
    sum) and divides by max|x| + 0.005 unless the maximum is 0.

    Args:
        waveform: float32 [num_samples], not empty.
    """
    centred = waveform - np.float32(algorithm("Mean")(waveform))
    peak = max(centred.max(), -centred.min())
    if peak != 0:
        centred /= np.float32(peak + np.float32(0.005))
    return centred


def cut_frames(waveform: FloatArray) -> FloatArray:
    """Cuts a frame of 660 samples every 220 samples; frame i is centred at 220 i.

    Returns:
        float32 [ceil(num_samples / 220) + 1, 660], a read-only view of a copy that is
        padded with zeros on both sides.
    """
    num_frames = -(-len(waveform) // HOP_SAMPLES) + 1
    before = FRAME_SAMPLES // 2
    last_end = (num_frames - 1) * HOP_SAMPLES + FRAME_SAMPLES
    padded = np.zeros(max(before + len(waveform), last_end), np.float32)
    padded[before : before + len(waveform)] = waveform
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)
    return frames[: last_end - FRAME_SAMPLES + 1 : HOP_SAMPLES]


def log_mel(waveform: FloatArray) -> tuple[FloatArray, int]:
    """Computes the log-mel bands of a normalised waveform.

    Args:
        waveform: float32 [num_samples], normalised.

    Returns:
        float32 [num_frames, 96], and the number of silent frames.
    """
    frames = cut_frames(waveform)
    result = log_mel_bands(frames)
    silent = _silent_frames(frames)
    if len(silent):
        noise = _seeded_noise()
        noisy = (
            noise(_as_cut_when_silent(frames[index], int(index), len(waveform)))
            for index in silent
        )
        result[silent] = log_mel_bands(np.stack([*noisy]))
    return result, len(silent)


def cut_patches(mel: FloatArray, spec: PatchSpec) -> FloatArray:
    """Cuts log-mel frames into overlapping patches.

    As in Essentia's VectorRealToTensor with patchHopSize and lastPatchMode.

    Args:
        mel: float32 [num_frames, 96].
        spec: Hop and treatment of the last frames.

    Returns:
        float32 [num_patches, 101, 96], a view with overlapping rows. `discard` gives
        (num_frames - 101) // hop + 1 patches, or none below 101 frames. `repeat` gives
        one more if frames remain after the last full hop.
    """
    hop = spec.patch_hop
    num_full = max(0, (len(mel) - PATCH_FRAMES) // hop + 1)
    start = num_full * hop
    num_patches = num_full
    if spec.last_patch == "repeat" and start < len(mel):
        remaining = mel[start:]
        cycle = np.arange(len(remaining), PATCH_FRAMES) % len(remaining)
        mel = np.concatenate([mel, remaining[cycle]])
        num_patches += 1
    if not num_patches:
        return np.empty((0, PATCH_FRAMES, NUM_MELS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(mel, PATCH_FRAMES, axis=0)
    return windows[::hop][:num_patches].transpose(0, 2, 1)


def _silent_frames(frames: FloatArray) -> np.ndarray:
    """Indices of the frames that Essentia's isSilent calls silent."""
    power = np.einsum("ij,ij->i", frames, frames) / FRAME_SAMPLES
    perhaps = np.flatnonzero(power < _PERHAPS_SILENT)
    is_silent = essentia().isSilent
    return np.array([i for i in perhaps if is_silent(frames[i])], np.intp)


def _seeded_noise() -> Any:
    """Essentia's noise for silent frames, with the same seed for every clip."""
    return algorithm("NoiseAdder", fixSeed=True, level=_SILENCE_LEVEL_DB)


def _as_cut_when_silent(frame: FloatArray, index: int, num_samples: int) -> FloatArray:
    """The frame to which Essentia adds noise if frame `index` is silent.

    If a frame starts before the clip, Essentia's FrameCutter moves its samples to the
    right by the number of missing samples. If the frame is silent, it does so twice.
    """
    missing = max(0, FRAME_SAMPLES // 2 - HOP_SAMPLES * index)
    if not missing:
        return frame
    moved = np.zeros(FRAME_SAMPLES, np.float32)
    count = min(FRAME_SAMPLES - missing, num_samples)
    moved[missing : missing + count] = frame[:count]
    return moved
