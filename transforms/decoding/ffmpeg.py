"""Decodes audio files with FFmpeg (PyAV), to the samples of Essentia's MonoLoader.

MonoLoader itself uses FFmpeg 2.8.12, which crashes the process on healthy Opus files
and on damaged files. The rules here and in `frames` give the same samples with a
current FFmpeg: MP3 is decoded with the fixed-point decoder, and the encoder delay of
AAC, Vorbis and WMA is kept as the old version kept it (measured in
tests/end_to_end/test_reference.py).
"""

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np

from transforms.decoding.frames import FrameReader
from transforms.decoding.headers.corrected_file import corrected
from transforms.decoding.headers.ogg_chain import chained_formats
from transforms.decoding.headers.truncated_files import is_truncated
from transforms.decoding.headers.unsupported import unsupported_format
from transforms.decoding.mixing import DecodedAudio, Mixer, to_float
from transforms.decoding.sample_rates import check_rate, decode_error
from transforms.elements import ClipError, FloatArray

# First bytes of a PCM WAV file. Some discs hide DTS audio in such files, and FFmpeg
# would search far into the file for it, which takes 10 ms. 32 kB are enough: they hold
# several DTS frames.
_PCM_WAV = re.compile(rb"RIFF....WAVEfmt ....\x01\x00", re.DOTALL)
_PCM_WAV_OPTIONS = {"probesize": "32768"}
# Containers in which FFmpeg finds every sample of PCM again without decoding.
_PCM_CONTAINERS = {"wav", "w64", "aiff"}

# Number of samples that are converted at a time, half a second. The system takes longer
# to allocate arrays of 128 kB or more.
_GROUP_SAMPLES = 1 << 14
# Index of a sample whose place in the file is unknown; larger than any other.
UNKNOWN_POSITION = 1 << 62

_REFUSED = (av.error.InvalidDataError, av.error.PatchWelcomeError)
_SAMPLES_OF_64_BITS = (
    "its samples are integers of 64 bits, which are not supported; convert it to WAV "
    "of 32 bits"
)

av.logging.set_level(None)


class LongRecordingError(Exception):
    """A clip is longer than was asked for."""


def decode_file(
    clip_id: str, file: BinaryIO, longest_s: float | None = None
) -> DecodedAudio:
    """Decodes the first audio stream of a file and mixes it to mono.

    Args:
        clip_id: Id of the clip, for messages.
        file: Seekable file, positioned at its start.
        longest_s: Duration above which decoding stops; None for no limit.

    Raises:
        ClipError: not_audio, unsupported_codec, empty, unsupported_rate or
            format_change.
        LongRecordingError: if the audio is longer than `longest_s`.
    """
    with AudioFile(clip_id, file) as audio:
        chunks, num_samples = [], 0
        for chunk in audio.chunks():
            chunks.append(chunk)
            num_samples += len(chunk)
            if longest_s is not None and num_samples > longest_s * audio.sample_rate_hz:
                raise LongRecordingError
        samples = np.concatenate(chunks)
        flags = audio.flags(num_samples)
    return DecodedAudio(
        samples, audio.sample_rate_hz, audio.num_channels, audio.codec, flags
    )


class AudioFile:
    """The first audio stream of a file, read frame by frame.

    Attributes:
        sample_rate_hz: Sample rate of the first frame.
        num_channels: Number of channels of the first frame.
        codec: FFmpeg's name of the codec.
        can_seek: Whether `seek` finds the exact samples of a file of this format.

    Raises:
        ClipError: not_audio, unsupported_codec, empty or unsupported_rate.
    """

    def __init__(self, clip_id: str, file: BinaryIO) -> None:
        self._clip_id = clip_id
        self._mixer = Mixer()
        with self._errors(file):
            self._source = corrected(file)
            self._container = av.open(
                self._source.file,
                mode="r",
                metadata_errors="replace",
                io_open=refuse_reference,
                options=_open_options(self._source.file),
            )
        try:
            with self._errors(file):
                self._open_stream()
        except BaseException:
            self.close()
            raise

    def _open_stream(self) -> None:
        if not self._container.streams.audio:
            problem = "found no audio stream in the file"
            raise decode_error(self._clip_id, "not_audio", problem)
        self._stream = self._container.streams.audio[0]
        if self._stream.codec_context is None:
            problem = "FFmpeg has no decoder for its audio; convert it to WAV or FLAC"
            raise decode_error(self._clip_id, "unsupported_codec", problem)
        self.codec = self._stream.codec_context.name.removesuffix("float")
        check_rate(self._clip_id, self._stream.codec_context.sample_rate)
        self._reader = FrameReader(self._container, self._stream)
        frames = self._reader.frames()
        first = next(frames, None)
        if first is None:
            problem = f"the {self.codec} stream holds no samples; check the file"
            raise decode_error(self._clip_id, "empty", problem)
        check_rate(self._clip_id, first.sample_rate)
        if first.format.name in ("s64", "s64p"):
            raise decode_error(self._clip_id, "unsupported_codec", _SAMPLES_OF_64_BITS)
        self.sample_rate_hz = first.sample_rate
        self.num_channels = first.layout.nb_channels
        self._frames: Iterator[av.AudioFrame] = itertools.chain([first], frames)
        self._position: int | None = -self._reader.num_skipped
        names = set(self._container.format.name.split(","))
        is_pcm = self.codec.startswith("pcm_") and bool(names & _PCM_CONTAINERS)
        self.can_seek = is_pcm or (self.codec == "flac" and "flac" in names)
        self._time_base = self._stream.time_base or Fraction(1, self.sample_rate_hz)

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the container, not the file."""
        self._container.close()

    def chunks(self) -> Iterator[FloatArray]:
        """Yields the samples from the start to the end: float32 [n], mixed to mono.

        Raises:
            ClipError: format_change, not_audio, or empty if there are no samples.
        """
        is_empty = True
        for at, frames in _grouped(self.frames()):
            mixed = self._mixer.mix(self.channels(frames))[max(0, -at) :]
            if len(mixed):
                is_empty = False
                yield mixed
        if is_empty:
            problem = f"the {self.codec} stream holds no samples; check the file"
            raise decode_error(self._clip_id, "empty", problem)

    def frames(self) -> Iterator[tuple[int, av.AudioFrame]]:
        """Yields frames and the index of the first sample of each.

        Samples with an index below 0 are the delay of an encoder and do not count.

        Raises:
            ClipError: format_change.
        """
        with self._errors(self._source.file):
            for frame in self._frames:
                self._check_format(frame)
                if self._position is None:
                    self._position = self._sought(frame)
                at = self._position
                self._position += frame.samples
                yield at, frame

    def channels(self, frames: Sequence[av.AudioFrame]) -> FloatArray:
        """Samples of consecutive frames: float32 [num_channels, num_samples].

        Raises:
            ClipError: not_audio if PyAV cannot convert them.
        """
        with self._errors(self._source.file):
            return to_float(frames)

    def seek(self, sample: int) -> None:
        """Continues at a frame that holds a sample, or at one before it.

        If there is no such frame, `frames` yields none, or one with a larger index.
        """
        assert self.can_seek
        offset = round(Fraction(sample, self.sample_rate_hz) / self._time_base)
        self._frames, self._position = iter(()), None
        with contextlib.suppress(av.error.FFmpegError):
            self._container.seek(offset, stream=self._stream)
            self._frames = self._reader.frames()

    def _sought(self, frame: av.AudioFrame) -> int:
        """Index of the first sample of the frame after a seek."""
        if frame.pts is None:
            return UNKNOWN_POSITION
        start = frame.pts - (self._stream.start_time or 0)
        return round(start * self._time_base * self.sample_rate_hz)

    def flags(self, num_samples: int) -> tuple[str, ...]:
        """Flags of the file, after all `chunks` were read.

        Args:
            num_samples: Number of samples of all chunks.

        Raises:
            ClipError: format_change.
        """
        flags = self._mixer.flags()
        if self.is_damaged():
            self._check_chain()
            flags.add("damaged")
        if self._source.has_more_audio:
            flags.add("more_audio")
        duration_s = num_samples / self.sample_rate_hz
        if self._source.has_cut_samples or is_truncated(
            self._source.file, self._container, self._stream, duration_s
        ):
            flags.add("truncated")
        return tuple(sorted(flags))

    def is_damaged(self) -> bool:
        """Whether parts that may be audio were left out of what was read."""
        return self._reader.is_damaged(self._source.file)

    def forget_damage(self) -> None:
        """Makes `is_damaged` tell about what is read from now on."""
        self._reader.forget_damage()

    def _check_format(self, frame: av.AudioFrame) -> None:
        before = (self.sample_rate_hz, self.num_channels)
        found = (frame.sample_rate, frame.layout.nb_channels)
        if found != before:
            raise self._format_change(before, found)

    def _check_chain(self) -> None:
        """FFmpeg stops where the format changes in Vorbis; it does not tell why."""
        formats = chained_formats(self._source.file)
        for found in formats[1:]:
            if found != formats[0]:
                raise self._format_change(formats[0], found)

    def _format_change(
        self, before: tuple[int, int], found: tuple[int, int]
    ) -> ClipError:
        return decode_error(
            self._clip_id,
            "format_change",
            f"the format changes within the file, from {before[0]} Hz and {before[1]} "
            f"channels to {found[0]} Hz and {found[1]} channels; split the file where "
            "the format changes",
        )

    @contextlib.contextmanager
    def _errors(self, file: BinaryIO) -> Iterator[None]:
        """Raises errors of FFmpeg as ClipError."""
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            is_refused = isinstance(error, _REFUSED)
            problem = unsupported_format(file) if is_refused else None
            if problem:
                raise decode_error(
                    self._clip_id, "unsupported_codec", problem
                ) from error
            raise decode_error(
                self._clip_id,
                "not_audio",
                f"FFmpeg cannot read the file ({_first_line(error)}); "
                "check that it is audio and complete",
            ) from error


def _grouped(
    frames: Iterator[tuple[int, av.AudioFrame]],
) -> Iterator[tuple[int, list[av.AudioFrame]]]:
    """Joins short frames: converting them one by one takes longer than decoding."""
    group: list[av.AudioFrame] = []
    start = size = 0
    for at, frame in frames:
        start = start if group else at
        group.append(frame)
        size += frame.samples
        if size >= _GROUP_SAMPLES:
            yield start, group
            group, size = [], 0
    if group:
        yield start, group


def _open_options(file: BinaryIO) -> dict[str, str]:
    start = file.read(22)
    file.seek(0)
    return _PCM_WAV_OPTIONS if _PCM_WAV.match(start) else {}


def refuse_reference(url: str, *_: Any) -> BinaryIO:
    """Keeps playlists and similar files from opening other files or hosts."""
    raise ValueError(f"the file refers to another file, {url!r}, which is not opened")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
