"""DecodeAudio: reads the clips of a shard as mono waveforms at 22,050 Hz."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import apache_beam as beam
import numpy as np

from transforms.decoding.excerpts import ExcerptReader
from transforms.decoding.ffmpeg import LongRecordingError, decode_file
from transforms.decoding.mixing import DecodedAudio
from transforms.decoding.reading import (
    CLIP_TIMEOUT_S,
    Opener,
    open_audio,
    openers,
)
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import AudioInfo, Clip, ClipError, Shard
from transforms.job_control.counters import timed
from transforms.job_control.status import report_clip
from transforms.recorded_at.choose import TimeSettings
from transforms.recorded_at.chunks import ChunkTimes
from transforms.recorded_at.clips import times_of_file, with_time
from transforms.resampling.whole import has_numba, resample

# A mean beyond this part of full scale gets the flag `dc_offset`.
DC_OFFSET = 0.01
# Time limit for a byte of a file. For Opus of 6 kbit/s, with much audio in a byte,
# decoding and resampling take a tenth of this.
TIMEOUT_S_PER_BYTE = 1 / 20_000


def decode_audio(
    clip: Clip, opener: Opener | None = None, timeout_s: int = CLIP_TIMEOUT_S
) -> Clip:
    """Decodes one clip.

    Args:
        clip: A clip that has not failed.
        opener: Opens the audio of the clip; `open_audio` if None.
        timeout_s: Time limit, see `DecodeAudio`.

    Returns:
        The clip with `info`, `flags` and `waveform`.

    Raises:
        ClipError: if the audio cannot be read, decoded or resampled.
    """
    with _Source(opener or functools.partial(open_audio, clip), timeout_s) as source:
        return _decode(clip, source)


def _decode(clip: Clip, source: "_Source") -> Clip:
    with timed("decode"):
        audio = source.decode(clip)
    return resample_clip(clip, audio)


class _Source:
    """An audio file from which clips are decoded.

    Args:
        opener: Opens the file for the first clip.
        timeout_s: Time limit, see `DecodeAudio`.
        longest_s: Duration above which clips are not decoded; None for no limit.
        times: How the start of a recording is found; None if it is not asked for.

    Attributes:
        chunk_times: Times in the chunks of the file, once it was opened.
    """

    def __init__(
        self,
        opener: Opener,
        timeout_s: int,
        longest_s: float | None = None,
        times: TimeSettings | None = None,
    ) -> None:
        self.chunk_times = ChunkTimes()
        self._times = times
        self._opener: Opener | None = opener
        self._timeout_s = timeout_s
        self._longest_s = longest_s
        self._stack = contextlib.ExitStack()
        self._file: BinaryIO | None = None
        self._size = 0
        self._reader: ExcerptReader | None = None

    def __enter__(self) -> "_Source":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def decode(self, clip: Clip) -> DecodedAudio:
        """Decodes a clip. After an error, the file is opened again for the next clip.

        Raises:
            ClipError: if the audio cannot be read or decoded.
            LongRecordingError: if the clip is longer than `longest_s`.
        """
        try:
            return self._decode(clip)
        except BaseException:
            self._close()
            raise

    def _decode(self, clip: Clip) -> DecodedAudio:
        file = self._opened(clip)
        if clip.start_s is None and clip.end_s is None:
            return decode_file(clip.clip_id, file, self._longest_s)
        if not self._reader:
            self._reader = ExcerptReader(clip.clip_id, file)
            self._stack.enter_context(self._reader)
        return self._reader.read_seconds(
            clip.clip_id, clip.start_s, clip.end_s, self._longest_s
        )

    def _opened(self, clip: Clip) -> BinaryIO:
        if not self._file:
            report_clip(clip.clip_id, self._timeout_s)
            opener = self._opener or functools.partial(open_audio, clip)
            self._opener = None
            self._file = self._stack.enter_context(opener())
            self._size = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            if self._times:
                self.chunk_times = times_of_file(self._file, self._times)
        report_clip(clip.clip_id, self._timeout_s + self._size * TIMEOUT_S_PER_BYTE)
        return self._file

    def _close(self) -> None:
        self._file = self._reader = None
        self._stack.close()


def resample_clip(clip: Clip, audio: DecodedAudio) -> Clip:
    """Gives a clip its waveform at 22,050 Hz.

    Args:
        clip: A clip that has not failed.
        audio: Its samples.

    Returns:
        The clip with `info`, `flags` and `waveform`.

    Raises:
        ClipError: if samples are not finite, or no sample is left after resampling.
    """
    finite = np.isfinite(audio.samples)
    if not finite.all():
        num_bad = len(finite) - int(np.count_nonzero(finite))
        raise finite_error(clip.clip_id, num_bad, len(finite))
    flags = list(audio.flags)
    if abs(float(audio.samples.mean(dtype=np.float64))) >= DC_OFFSET:
        flags.append("dc_offset")
    with timed("resample"):
        waveform = resample(audio.samples, audio.sample_rate_hz)
    if not len(waveform):
        raise ClipError(
            "decode",
            "empty",
            f"clip {clip.clip_id} is too short: {len(audio.samples)} samples at "
            f"{audio.sample_rate_hz} Hz leave none at {SAMPLE_RATE_HZ} Hz; remove it",
        )
    info = AudioInfo(
        duration_s=len(audio.samples) / audio.sample_rate_hz,
        sample_rate_hz=audio.sample_rate_hz,
        num_channels=audio.num_channels,
        codec=audio.codec,
    )
    return dataclasses.replace(
        clip, info=info, flags=(*clip.flags, *flags), waveform=waveform
    )


def finite_error(clip_id: str, num_bad: int, num_samples: int) -> ClipError:
    """The error of a clip with samples that are not finite numbers."""
    return ClipError(
        "decode",
        "non_finite",
        f"cannot use clip {clip_id}: {num_bad} of {num_samples} samples are NaN or "
        "infinite, expected finite numbers; write the file again",
    )


def decode_shard(
    shard: Shard,
    timeout_s: int = CLIP_TIMEOUT_S,
    longest_s: float | None = None,
    times: TimeSettings | None = None,
) -> Shard:
    """Decodes every clip of a shard; a clip that fails carries its Failure.

    Clips longer than `longest_s` are only marked, see `Clip.is_long`. All clips, also
    those that have failed, get the start of the recording if `times` are given.
    """
    # Without numba a recording can only be resampled as a whole.
    limit_s = longest_s if has_numba() else None
    clips = (
        clip
        for group, opener in openers(shard.clips)
        for clip in _decode_group(group, opener, timeout_s, limit_s, times)
    )
    return dataclasses.replace(shard, clips=tuple(clips))


def _decode_group(
    clips: Sequence[Clip],
    opener: Opener,
    timeout_s: int,
    longest_s: float | None,
    times: TimeSettings | None,
) -> Iterator[Clip]:
    """Decodes clips of one file."""
    with _Source(opener, timeout_s, longest_s, times) as source:
        for clip in clips:
            decoded = clip if clip.failure else _decode_or_fail(clip, source)
            yield with_time(decoded, source.chunk_times, times) if times else decoded


def _decode_or_fail(clip: Clip, source: _Source) -> Clip:
    try:
        return _decode(clip, source)
    except LongRecordingError:
        return dataclasses.replace(clip, is_long=True)
    except ClipError as error:
        return clip.failed(error)
    except Exception as error:
        return clip.failed(unexpected_error(clip.clip_id, error))


def unexpected_error(clip_id: str, error: Exception) -> ClipError:
    """The error of a clip with unforeseen bytes, which must not end the run."""
    return ClipError(
        "decode",
        "unexpected",
        f"cannot decode clip {clip_id}: unexpected {type(error).__name__}: {error}; "
        "please report it with the file",
    )


@dataclasses.dataclass
class DecodeAudio(beam.PTransform):
    """Decodes every clip of a shard.

    Input: Shard. Output: Shard whose clips have a waveform.
    Failures: stage read or decode, kept in the clip.

    Attributes:
        timeout_s: Time limit for opening a clip, and then for decoding it; for decoding
            1 s for every 20 kB is added. The worker pool, if there is one, kills a
            worker that takes longer.
        longest_s: Duration in seconds above which a clip is only marked as long; None
            if all clips are decoded.
        times: How the start of a recording is found; None if it is not asked for.
    """

    timeout_s: int = CLIP_TIMEOUT_S
    longest_s: float | None = None
    times: TimeSettings | None = None

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "Decode" >> beam.Map(
            decode_shard, self.timeout_s, self.longest_s, self.times
        ).with_output_types(Shard)
