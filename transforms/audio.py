"""DecodeAudio: reads the clips of a shard as mono waveforms at 22,050 Hz."""

import dataclasses
import math

import apache_beam as beam
import numpy as np

from transforms.decoding import SAMPLE_RATE_HZ, decode_file
from transforms.elements import AudioInfo, Clip, ClipError, FloatArray, Shard
from transforms.essentia_import import essentia_standard
from transforms.progress import report_clip, timed
from transforms.storage import open_audio

# Essentia's Resample: libsamplerate's sinc-medium, MonoLoader's default.
_RESAMPLE_QUALITY = 1
# MonoLoader hands its resampler blocks of this many samples; if the last one is full
# it never flushes the filter, and the end of the clip is lost.
_MONOLOADER_BLOCK = 4096
_DC_OFFSET = 0.01


def decode_audio(clip: Clip) -> Clip:
    """Decodes one clip.

    Returns:
        The clip with `info`, `flags` and `waveform`.

    Raises:
        ClipError: if the audio cannot be read, decoded or resampled.
    """
    with timed("decode"), open_audio(clip.clip_id, clip.uri) as file:
        audio = decode_file(clip.clip_id, file)
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


def resample(samples: FloatArray, sample_rate_hz: int) -> FloatArray:
    """Resamples to 22,050 Hz exactly as MonoLoader does.

    Args:
        samples: float32 [num_samples], not empty.
        sample_rate_hz: Of `samples`.

    Returns:
        float32 [about num_samples * 22050 / sample_rate_hz].
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return samples
    resampler = essentia_standard().Resample(
        inputSampleRate=sample_rate_hz,
        outputSampleRate=SAMPLE_RATE_HZ,
        quality=_RESAMPLE_QUALITY,
    )
    result: FloatArray = resampler(samples)
    if len(samples) % _MONOLOADER_BLOCK == 0:
        result = result[: _unflushed_length(len(samples), sample_rate_hz)]
    return result


def _unflushed_length(num_samples: int, sample_rate_hz: int) -> int:
    """Output samples of the resampler as long as it waits for more input.

    libsamplerate's sinc_process stops when no more than half its filter lies ahead of
    the read position; sinc-medium has 22,438 coefficients a side, 491 an input sample
    (src_sinc.c). Equal to MonoLoader's lengths for 12 rates, see the tests.
    """
    ratio = float(np.float32(SAMPLE_RATE_HZ) / np.float32(sample_rate_hz))
    half_filter = round((22438 + 2) / 491 / min(ratio, 1.0)) + 1
    return max(0, math.ceil((num_samples - half_filter) * ratio))


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


def decode_shard(shard: Shard) -> Shard:
    """Decodes every clip of a shard; a clip that fails carries its Failure."""
    return dataclasses.replace(shard, clips=tuple(map(_decode_or_fail, shard.clips)))


def _decode_or_fail(clip: Clip) -> Clip:
    if clip.failure is not None:
        return clip
    report_clip(clip.clip_id)
    try:
        return decode_audio(clip)
    except ClipError as error:
        return clip.failed(error)
    except Exception as error:
        # Decoders meet bytes that nobody has foreseen; one file must not end the run.
        message = (
            f"cannot decode clip {clip.clip_id}: unexpected {type(error).__name__}: "
            f"{error}; please report it with the file"
        )
        return clip.failed(ClipError("decode", "unexpected", message))


class DecodeAudio(beam.PTransform):
    """Decodes every clip of a shard.

    Input: Shard. Output: Shard whose clips have a waveform.
    Failures: stage read or decode, kept in the clip.
    """

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "Decode" >> beam.Map(decode_shard).with_output_types(Shard)
