"""Turns a waveform into the log-mel patches that the models read.

The steps are those of Essentia's TensorflowPredictFSDSINet, with one difference. For
silent frames, Essentia draws noise with a seed from the clock; here the noise depends
on the index of the frame alone, so that results can be repeated, and parts of a
recording can be computed alone.
"""

import dataclasses
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.errors import unknown_value
from transforms.essentia_import import algorithm, essentia
from transforms.front_end.mel import FRAME_SAMPLES, NUM_MELS, log_mel_bands

# Stored with every output. Increase it when any number that is computed here changes.
FRONT_END_VERSION = 2

HOP_SAMPLES = 220
PATCH_FRAMES = 101
# Largest amplitude of the noise in silent frames: Essentia's level of -100 dB (power).
_NOISE = np.float32(1e-10)
# Number of silent frames for which noise is made at a time.
_CHUNK_FRAMES = 512
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
        bin_shift: Number of mel bins by which the log-mel is shifted up, or down if
            negative. The lowest or the highest bin is repeated in the vacated bins.

    Raises:
        ValueError: if an attribute is out of range.
    """

    patch_hop: int = 50
    last_patch: LastPatch = "repeat"
    bin_shift: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.patch_hop <= PATCH_FRAMES:
            raise ValueError(
                f"patch_hop is {self.patch_hop}, expected 1 to {PATCH_FRAMES} frames "
                "(a longer hop would skip audio)"
            )
        choices = get_args(LastPatch)
        if self.last_patch not in choices:
            raise ValueError(unknown_value("last_patch", self.last_patch, choices))
        if abs(self.bin_shift) >= NUM_MELS:
            raise ValueError(
                f"bin_shift is {self.bin_shift}, expected fewer than {NUM_MELS} bins "
                "up or down"
            )

    @property
    def hop_s(self) -> float:
        """Seconds from the start of a patch to the start of the next."""
        return self.patch_hop * HOP_SAMPLES / SAMPLE_RATE_HZ

    def num_patches(self, num_frames: int) -> int:
        """Number of patches of a clip."""
        num_full = max(0, (num_frames - PATCH_FRAMES) // self.patch_hop + 1)
        remain = num_full * self.patch_hop < num_frames
        return num_full + (self.last_patch == "repeat" and remain)

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
    mean = np.float32(algorithm("Mean")(waveform))
    return Level(mean, waveform.min(), waveform.max()).normalise(waveform)


class Level(NamedTuple):
    """What `normalise` needs to know of a whole clip.

    Attributes:
        mean: Mean of the samples, float32: a running sum in the order of the samples.
        lowest: Smallest sample.
        highest: Largest sample.
    """

    mean: np.float32
    lowest: np.float32
    highest: np.float32

    def normalise(self, samples: FloatArray) -> FloatArray:
        """Normalises samples of the clip: float32 [any number of samples]."""
        centred = samples - self.mean
        peak = max(self.highest - self.mean, -(self.lowest - self.mean))
        if peak != 0:
            centred /= np.float32(peak + np.float32(0.005))
        return centred


def count_frames(num_samples: int) -> int:
    """Number of frames of a clip."""
    return -(-num_samples // HOP_SAMPLES) + 1


def samples_of_frames(start: int, stop: int) -> tuple[int, int]:
    """First sample and end of the samples of frames; they may lie outside a clip."""
    before = FRAME_SAMPLES // 2
    return start * HOP_SAMPLES - before, (stop - 1) * HOP_SAMPLES + before


def cut_frames(
    samples: FloatArray, first: int = 0, start: int = 0, stop: int | None = None
) -> FloatArray:
    """Cuts a frame of 660 samples every 220 samples; frame i is centred at 220 i.

    Args:
        samples: float32 [num_samples]. A clip, or the part of it that the frames need;
            outside of it the clip is taken for zero.
        first: Index in the clip of the first of the samples.
        start: Index of the first frame.
        stop: End of the frames; None for the last frame of the clip.

    Returns:
        float32 [stop - start, 660], a read-only view of a copy that is padded with
        zeros on both sides.
    """
    stop = count_frames(first + len(samples)) if stop is None else stop
    begin, end = samples_of_frames(start, stop)
    padded = np.zeros(end - begin, np.float32)
    part = samples[max(0, begin - first) : max(0, end - first)]
    at = max(0, first - begin)
    padded[at : at + len(part)] = part
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)
    return frames[::HOP_SAMPLES]


def log_mel(waveform: FloatArray) -> tuple[FloatArray, int]:
    """Computes the log-mel bands of a normalised waveform.

    Args:
        waveform: float32 [num_samples], normalised.

    Returns:
        float32 [num_frames, 96], and the number of silent frames.
    """
    return log_mel_of_frames(cut_frames(waveform), 0, len(waveform))


def log_mel_of_frames(
    frames: FloatArray, start: int, num_samples: int
) -> tuple[FloatArray, int]:
    """Computes the log-mel bands of consecutive frames.

    Args:
        frames: float32 [num_frames, 660], from `cut_frames`.
        start: Index in the clip of the first frame.
        num_samples: Number of samples of the clip.

    Returns:
        float32 [num_frames, 96], and the number of silent frames.
    """
    result = log_mel_bands(frames)
    silent = _silent_frames(frames)
    for at in range(0, len(silent), _CHUNK_FRAMES):
        chosen = silent[at : at + _CHUNK_FRAMES]
        cut = [
            _as_cut_when_silent(frames[index], start + int(index), num_samples)
            for index in chosen
        ]
        result[chosen] = log_mel_bands(np.stack(cut) + noise(start + chosen))
    return result, len(silent)


def noise(frames: npt.NDArray[np.integer]) -> FloatArray:
    """Noise for silent frames: even between -1e-10 and 1e-10, as Essentia's.

    The numbers are those of SplitMix64 (Steele, Lea and Flood 2014), which needs no
    state: number 660 i + j is that of sample j of frame i.

    Args:
        frames: int [num_frames]. Indices of frames in their clip.

    Returns:
        float32 [num_frames, 660].
    """
    numbers = np.arange(1, FRAME_SAMPLES + 1, dtype=np.uint64)
    first: npt.NDArray[np.uint64] = frames.astype(np.uint64) * np.uint64(FRAME_SAMPLES)
    bits: npt.NDArray[np.uint64] = first[:, np.newaxis] + numbers
    bits *= np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    # 24 bits, which float32 holds exactly.
    even = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23)
    result: FloatArray = (even - np.float32(1)) * _NOISE
    return result


def cut_patches(mel: FloatArray, spec: PatchSpec) -> FloatArray:
    """Cuts log-mel frames into overlapping patches.

    As in Essentia's VectorRealToTensor with patchHopSize and lastPatchMode.

    Args:
        mel: float32 [num_frames, 96].
        spec: Hop, treatment of the last frames, and shift in mel bins.

    Returns:
        float32 [num_patches, 101, 96], a view with overlapping rows. `discard` gives
        (num_frames - 101) // hop + 1 patches, or none below 101 frames. `repeat` gives
        one more if frames remain after the last full hop.
    """
    if spec.bin_shift:
        bins = np.arange(NUM_MELS) - spec.bin_shift
        mel = np.take(mel, bins, axis=1, mode="clip")
    hop = spec.patch_hop
    num_patches = spec.num_patches(len(mel))
    start = (num_patches - 1) * hop
    if num_patches and start + PATCH_FRAMES > len(mel):
        remaining = mel[start:]
        cycle = np.arange(len(remaining), PATCH_FRAMES) % len(remaining)
        mel = np.concatenate([mel, remaining[cycle]])
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
