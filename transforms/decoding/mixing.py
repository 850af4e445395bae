"""Mixes the channels of audio to mono, and notes what its channels tell."""

import dataclasses
from collections.abc import Sequence

import av
import numpy as np

from transforms.decoding.sample_rates import MAX_RATE_HZ, MIN_RATE_HZ
from transforms.elements import FloatArray

# Shortest run of full-scale samples that counts as clipping; a shorter one is a peak.
_CLIPPING_RUN = 3
_FULL_SCALE = 0.9999
# Channels cancel each other if their mix is this far below them (40 dB), everywhere.
_CANCELLED = 0.01
# Error of rounding to 16 bits, which is left where quiet channels cancel each other.
_ROUNDING = 2**-15
# Integer formats: the value of silence, and the factor that maps to the range -1..1.
_INTEGER_SCALE = {
    "u8": (128, 2.0**-7),
    "s16": (0, 2.0**-15),
    "s32": (0, 2.0**-31),
    "s64": (0, 2.0**-63),
}


@dataclasses.dataclass(frozen=True)
class DecodedAudio:
    """The samples of a file, at the sample rate of the file.

    Attributes:
        samples: float32 [num_samples], downmixed to mono.
        sample_rate_hz: Sample rate of `samples` and of the file.
        num_channels: Number of channels in the file.
        codec: FFmpeg's name of the codec; empty for samples that were in memory.
        flags: Any of channels_cancel, clipped, damaged, more_audio, multichannel,
            truncated.
    """

    samples: FloatArray
    sample_rate_hz: int
    num_channels: int
    codec: str
    flags: tuple[str, ...]


def mix_samples(samples: FloatArray, sample_rate_hz: int) -> DecodedAudio:
    """Mixes samples that are in memory to mono, as `decode_file` mixes those of a file.

    Args:
        samples: float32 [num_samples] or [num_channels, num_samples], full scale at 1.
        sample_rate_hz: Sample rate of `samples`.

    Raises:
        ValueError: if there are no samples, or the shape or the rate is not as above.
    """
    channels = np.atleast_2d(np.asarray(samples, np.float32))
    if channels.ndim != 2 or not channels.size:
        raise ValueError(
            f"got samples of shape {np.shape(samples)}, expected [num_samples] or "
            "[num_channels, num_samples]"
        )
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise ValueError(
            f"got a sample rate of {sample_rate_hz} Hz, expected {MIN_RATE_HZ:.0f} to "
            f"{MAX_RATE_HZ:.0f} Hz"
        )
    mixer = Mixer()
    mixed = mixer.mix(channels)
    flags = tuple(sorted(mixer.flags()))
    return DecodedAudio(mixed, sample_rate_hz, len(channels), codec="", flags=flags)


class Mixer:
    """Mixes the audio of a clip to mono piece by piece, and notes its flags."""

    def __init__(self) -> None:
        self._num_channels = 0
        self._clipped = False
        # Whether each of the last samples of a piece is at full scale, by channel.
        self._last_full: np.ndarray | None = None
        # None until a piece is not silent. Most files need one comparison.
        self._cancels: bool | None = None

    def mix(self, channels: FloatArray) -> FloatArray:
        """Mixes the next piece, float32 [num_channels, n], to float32 [n]."""
        self._num_channels = len(channels)
        self._clipped = self._clipped or self._clips(channels)
        mixed = _downmix(channels)
        if self._cancels is not False and len(channels) > 1:
            self._cancels = _cancels(channels, mixed, self._cancels)
        return mixed

    def flags(self) -> set[str]:
        """Those of channels_cancel, clipped and multichannel that hold."""
        found = {
            "channels_cancel": self._cancels,
            "clipped": self._clipped,
            "multichannel": self._num_channels > 2,
        }
        return {name for name, is_set in found.items() if is_set}

    def _clips(self, channels: FloatArray) -> bool:
        """Whether a run of samples at full scale ends in this piece."""
        full = np.abs(channels) >= _FULL_SCALE
        before, self._last_full = self._last_full, None
        if not full.any():
            return False
        if before is not None:
            full = np.concatenate([before, full], axis=1)
        self._last_full = full[:, 1 - _CLIPPING_RUN :]
        if full.shape[1] < _CLIPPING_RUN:
            return False
        runs = np.lib.stride_tricks.sliding_window_view(full, _CLIPPING_RUN, axis=1)
        return bool(runs.all(axis=-1).any())


def to_float(frames: Sequence[av.AudioFrame]) -> FloatArray:
    """Converts consecutive frames: float32 [num_channels, num_samples].

    Values are -1 to 1, as FFmpeg converts them. All frames have the same format.
    """
    frame = frames[0]
    values = frame.to_ndarray()
    if len(frames) > 1:
        values = np.concatenate([f.to_ndarray() for f in frames], axis=1)
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    kind = frame.format.name.removesuffix("p")
    if kind not in _INTEGER_SCALE:
        return values.astype(np.float32, copy=False)
    zero, scale = _INTEGER_SCALE[kind]
    # float32 cannot hold every 32-bit integer, so these are scaled in float64.
    wide: np.ndarray = values.astype(
        np.float32 if kind in ("u8", "s16") else np.float64
    )
    return ((wide - zero) * scale).astype(np.float32)


def _downmix(channels: FloatArray) -> FloatArray:
    """Mixes to mono: (L+R)*0.5 as MonoLoader does; more channels are averaged."""
    if len(channels) == 1:
        return channels[0]
    total = channels[0] + channels[1]
    for channel in channels[2:]:
        total = total + channel
    return total * np.float32(1 / len(channels))


def _cancels(
    channels: FloatArray, mixed: FloatArray, before: bool | None = None
) -> bool | None:
    """True if the mix is far below the channels; `before` if all are too quiet."""
    left = float(np.abs(mixed).max(initial=0))
    if left < _CANCELLED * float(np.abs(channels).max(initial=0)):
        return True
    return before if left <= _ROUNDING else False
