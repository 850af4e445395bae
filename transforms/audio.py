"""DecodeAudio: reads the clips of a shard as mono waveforms at 22,050 Hz."""

import dataclasses
import functools
import os

import apache_beam as beam
import numpy as np

from transforms.decoding.ffmpeg import SAMPLE_RATE_HZ, DecodedAudio, decode_file
from transforms.decoding.reading import (
    CLIP_TIMEOUT_S,
    Opener,
    open_audio,
    openers,
)
from transforms.decoding.resampling import resample
from transforms.elements import AudioInfo, Clip, ClipError, FloatArray, Shard
from transforms.job_control.counters import timed
from transforms.job_control.status import report_clip

_DC_OFFSET = 0.01
# Time limit for a byte of a file. For Opus of 6 kbit/s, with much audio in a byte,
# decoding and resampling take a tenth of this.
_TIMEOUT_S_PER_BYTE = 1 / 20_000


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
    opener = opener or functools.partial(open_audio, clip)
    report_clip(clip.clip_id, timeout_s)
    with timed("decode"), opener() as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        report_clip(clip.clip_id, timeout_s + size * _TIMEOUT_S_PER_BYTE)
        audio = decode_file(clip.clip_id, file)
    return resample_clip(clip, audio)


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
    _check_finite(clip.clip_id, audio.samples)
    flags = list(audio.flags)
    if abs(float(audio.samples.mean(dtype=np.float64))) >= _DC_OFFSET:
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


def _check_finite(clip_id: str, samples: FloatArray) -> None:
    finite = np.isfinite(samples)
    if not finite.all():
        num_bad = len(samples) - int(np.count_nonzero(finite))
        raise ClipError(
            "decode",
            "non_finite",
            f"cannot use clip {clip_id}: {num_bad} of {len(samples)} samples are NaN "
            "or infinite, expected finite numbers; write the file again",
        )


def decode_shard(shard: Shard, timeout_s: int = CLIP_TIMEOUT_S) -> Shard:
    """Decodes every clip of a shard; a clip that fails carries its Failure."""
    clips = (
        _decode_or_fail(clip, opener, timeout_s)
        for clip, opener in openers(shard.clips)
    )
    return dataclasses.replace(shard, clips=tuple(clips))


def _decode_or_fail(clip: Clip, opener: Opener, timeout_s: int) -> Clip:
    if clip.failure is not None:
        return clip
    try:
        return decode_audio(clip, opener, timeout_s)
    except ClipError as error:
        return clip.failed(error)
    except Exception as error:
        # A file with unforeseen bytes must not end the run.
        message = (
            f"cannot decode clip {clip.clip_id}: unexpected {type(error).__name__}: "
            f"{error}; please report it with the file"
        )
        return clip.failed(ClipError("decode", "unexpected", message))


@dataclasses.dataclass
class DecodeAudio(beam.PTransform):
    """Decodes every clip of a shard.

    Input: Shard. Output: Shard whose clips have a waveform.
    Failures: stage read or decode, kept in the clip.

    Attributes:
        timeout_s: Time limit for opening a clip, and then for decoding it; for decoding
            1 s for every 20 kB is added. The worker pool, if there is one, kills a
            worker that takes longer.
    """

    timeout_s: int = CLIP_TIMEOUT_S

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "Decode" >> beam.Map(
            decode_shard, self.timeout_s
        ).with_output_types(Shard)
