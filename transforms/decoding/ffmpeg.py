"""Decodes one audio file with FFmpeg (PyAV), to the samples of Essentia's MonoLoader.

MonoLoader itself uses FFmpeg 2.8.12, which crashes the process on healthy Opus files
and on damaged files. The rules below give the same samples with a current FFmpeg: MP3
is decoded with the fixed-point decoder, and the encoder delay of AAC, Vorbis and WMA is
kept as the old version kept it (measured in tests/end_to_end/test_reference.py).
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import av.codec.context
import numpy as np

from transforms.decoding import mp3_headers
from transforms.decoding.corrected_file import CorrectedFile, corrected
from transforms.decoding.ogg_chain import chained_formats
from transforms.decoding.truncated_files import is_truncated
from transforms.elements import ClipError, FloatArray

SAMPLE_RATE_HZ = 22050
# libsamplerate accepts ratios from 1/256 to 256 (src_is_valid_ratio).
MIN_RATE_HZ, MAX_RATE_HZ = SAMPLE_RATE_HZ / 256, SAMPLE_RATE_HZ * 256

_KEEP_ENCODER_DELAY = {"aac", "vorbis", "wmav1", "wmav2"}
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

# First bytes of a PCM WAV file. Some discs hide DTS audio in such files, and FFmpeg
# would search far into the file for it, which takes 10 ms. 32 kB are enough: they hold
# several DTS frames.
_PCM_WAV = re.compile(rb"RIFF....WAVEfmt ....\x01\x00", re.DOTALL)
_PCM_WAV_OPTIONS = {"probesize": "32768"}

_FREE_FORMAT = (
    "it is an MP3 file of the free format, which FFmpeg cannot decode; convert it to "
    "WAV, for instance with lame --decode"
)

av.logging.set_level(None)


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


def decode_file(clip_id: str, file: BinaryIO) -> DecodedAudio:
    """Decodes the first audio stream of a file and mixes it to mono.

    Args:
        clip_id: Id of the clip, for messages.
        file: Seekable file, positioned at its start.

    Raises:
        ClipError: not_audio, unsupported_codec, empty, unsupported_rate or
            format_change.
    """
    try:
        source = corrected(file)
        with av.open(
            source.file,
            mode="r",
            metadata_errors="replace",
            io_open=_refuse_reference,
            options=_open_options(source.file),
        ) as container:
            if not container.streams.audio:
                raise _error(clip_id, "not_audio", "found no audio stream in the file")
            return _decode_stream(clip_id, container, source)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        is_invalid = isinstance(error, av.error.InvalidDataError)
        if is_invalid and mp3_headers.is_free_format(file):
            raise _error(clip_id, "unsupported_codec", _FREE_FORMAT) from error
        raise _error(
            clip_id,
            "not_audio",
            f"FFmpeg cannot read the file ({_first_line(error)}); "
            "check that it is audio and complete",
        ) from error


def _open_options(file: BinaryIO) -> dict[str, str]:
    start = file.read(22)
    file.seek(0)
    return _PCM_WAV_OPTIONS if _PCM_WAV.match(start) else {}


def _decode_stream(clip_id: str, container: Any, source: CorrectedFile) -> DecodedAudio:
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        problem = "FFmpeg has no decoder for its audio; convert it to WAV or FLAC"
        raise _error(clip_id, "unsupported_codec", problem)
    codec = stream.codec_context.name.removesuffix("float")
    _check_rate(clip_id, stream.codec_context.sample_rate)
    mixer = _Mixer(clip_id)
    reader = _FrameReader(container, stream)
    for frame in reader.frames():
        mixer.add(frame)
    samples = mixer.samples()[reader.num_skipped :]
    if not len(samples):
        raise _error(
            clip_id, "empty", f"the {codec} stream holds no samples; check the file"
        )
    flags = mixer.flags()
    if reader.is_damaged(source.file):
        _check_chain(clip_id, source.file)
        flags.add("damaged")
    if source.has_more_audio:
        flags.add("more_audio")
    if source.has_cut_samples or is_truncated(
        source.file, container, stream, len(samples) / mixer.sample_rate_hz
    ):
        flags.add("truncated")
    return DecodedAudio(
        samples, mixer.sample_rate_hz, mixer.num_channels, codec, tuple(sorted(flags))
    )


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
    mixed = _downmix(channels)
    found = {
        "channels_cancel": len(channels) > 1 and _cancels(channels, mixed),
        "clipped": _has_clipping(channels),
        "multichannel": len(channels) > 2,
    }
    flags = tuple(name for name, is_set in found.items() if is_set)
    return DecodedAudio(mixed, sample_rate_hz, len(channels), codec="", flags=flags)


class _FrameReader:
    """Reads the frames of a stream by MonoLoader's rules.

    Attributes:
        num_skipped: Number of samples to drop from the start of the stream; valid after
            the first frame.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.num_skipped = 0
        # Position and size of packets that could not be decoded and were left out.
        self._left_out: list[tuple[int, int]] = []
        self._has_other_error = False
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        if self._context.name == "mp3float":
            self._context = av.CodecContext.create("mp3", "r")
        elif self._context.name in _KEEP_ENCODER_DELAY:
            self._context.flags2 |= av.codec.context.Flags2.skip_manual

    def frames(self) -> Iterator[av.AudioFrame]:
        first = True
        for packet in self._packets():
            for frame in self._decode(packet):
                if first and self._context.name == "vorbis":
                    self.num_skipped = _skip_samples(frame)
                first = False
                yield frame

    def is_damaged(self, file: BinaryIO) -> bool:
        """True if parts that may be audio were left out; valid after all frames.

        Args:
            file: File of the container; its position changes.
        """
        if self._has_other_error or not self._left_out:
            return self._has_other_error
        return self._context.name != "mp3" or mp3_headers.hold_audio(
            file, self._left_out
        )

    def _packets(self) -> Iterator[av.Packet | None]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except av.error.FFmpegError:
            self._has_other_error = True
        # None flushes the decoder. FFmpeg 2.8 did not flush WMA decoders.
        if not self._context.name.startswith("wmav"):
            yield None

    def _decode(self, packet: av.Packet | None) -> list[av.AudioFrame]:
        try:
            return list(self._context.decode(packet))
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            if packet is None or packet.pos is None:
                self._has_other_error = True
            elif not self._is_flac_header(packet):
                self._left_out.append((packet.pos, packet.size))
            return []

    def _is_flac_header(self, packet: av.Packet) -> bool:
        """True for a header of a later part of a chained Ogg file.

        The decoder expects none after the first frame. Every frame starts with 0xff.
        """
        names = (self._context.name, self._container.format.name)
        is_header = bytes(packet)[:1] != b"\xff"
        return names == ("flac", "ogg") and is_header


class _Mixer:
    """Collects frames as mono float32 and checks that their format does not change."""

    def __init__(self, clip_id: str) -> None:
        self.sample_rate_hz = 0
        self.num_channels = 0
        self._clip_id = clip_id
        self._chunks: list[FloatArray] = []
        self._clipped = False
        # None until a frame is not silent. Most files need one comparison.
        self._cancels: bool | None = None

    def add(self, frame: av.AudioFrame) -> None:
        found = (frame.sample_rate, frame.layout.nb_channels)
        if not self._chunks:
            _check_rate(self._clip_id, frame.sample_rate)
            self.sample_rate_hz, self.num_channels = found
        elif found != (self.sample_rate_hz, self.num_channels):
            before = (self.sample_rate_hz, self.num_channels)
            raise _format_change(self._clip_id, before, found)
        channels = _to_float(frame)
        self._clipped = self._clipped or _has_clipping(channels)
        mixed = _downmix(channels)
        if self._cancels is not False and len(channels) > 1:
            self._cancels = _cancels(channels, mixed, self._cancels)
        self._chunks.append(mixed)

    def samples(self) -> FloatArray:
        return np.concatenate(self._chunks) if self._chunks else np.empty(0, np.float32)

    def flags(self) -> set[str]:
        found = {
            "channels_cancel": self._cancels,
            "clipped": self._clipped,
            "multichannel": self.num_channels > 2,
        }
        return {name for name, is_set in found.items() if is_set}


def _to_float(frame: av.AudioFrame) -> FloatArray:
    """Converts a frame as FFmpeg does: float32 [num_channels, num_samples], -1 to 1."""
    values = frame.to_ndarray()
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


def _has_clipping(channels: FloatArray) -> bool:
    full = np.abs(channels) >= _FULL_SCALE
    if not full.any():
        return False
    runs = np.lib.stride_tricks.sliding_window_view(
        full, min(_CLIPPING_RUN, full.shape[1]), axis=1
    )
    return full.shape[1] >= _CLIPPING_RUN and bool(runs.all(axis=-1).any())


def _skip_samples(frame: Any) -> int:
    """Samples to skip at the start: a little-endian u32 in SKIP_SAMPLES side data."""
    for data in frame.side_data.keys():
        if "SKIP_SAMPLES" in repr(data):
            return int.from_bytes(bytes(data)[:4], "little")
    return 0


def _check_rate(clip_id: str, sample_rate_hz: int) -> None:
    if not sample_rate_hz:
        problem = "found no audio in the file; check that it is audio and complete"
        raise _error(clip_id, "not_audio", problem)
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise _error(
            clip_id,
            "unsupported_rate",
            f"got a sample rate of {sample_rate_hz} Hz, expected {MIN_RATE_HZ:.0f} to "
            f"{MAX_RATE_HZ:.0f} Hz; the header of the file is probably damaged",
        )


def _check_chain(clip_id: str, file: BinaryIO) -> None:
    """FFmpeg stops where the format changes in Vorbis; it does not tell why."""
    formats = chained_formats(file)
    for found in formats[1:]:
        if found != formats[0]:
            raise _format_change(clip_id, formats[0], found)


def _format_change(
    clip_id: str, before: tuple[int, int], found: tuple[int, int]
) -> ClipError:
    return _error(
        clip_id,
        "format_change",
        f"the format changes within the file, from {before[0]} Hz and {before[1]} "
        f"channels to {found[0]} Hz and {found[1]} channels; split the file where the "
        "format changes",
    )


def _refuse_reference(url: str, *_: Any) -> BinaryIO:
    """Keeps playlists and similar files from opening other files or hosts."""
    raise ValueError(f"the file refers to another file, {url!r}, which is not opened")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _error(clip_id: str, error_type: str, problem: str) -> ClipError:
    return ClipError("decode", error_type, f"cannot decode clip {clip_id}: {problem}")
