"""Reads long recordings: once from the start, and then the part of each segment."""

import os
from collections.abc import Callable
from typing import BinaryIO

from transforms.decoding.excerpts import ExcerptReader
from transforms.decoding.ffmpeg import AudioFile
from transforms.decoding.mixing import Mixer
from transforms.elements import AudioInfo, Clip, ClipError, FloatArray
from transforms.front_end.patches import PatchSpec
from transforms.recordings.measure import FirstPass, Recording, Segment
from transforms.resampling.parts import is_slow, needed_samples, resample_part


def first_pass(
    clip: Clip,
    file: BinaryIO,
    spec: PatchSpec,
    segment_patches: int,
    keep: Callable[[FloatArray], None] = lambda samples: None,
) -> Recording:
    """Reads a clip from its start to its end.

    Args:
        clip: The clip, which may be an excerpt of its file.
        file: Seekable file, positioned at its start.
        spec: How patches are cut.
        segment_patches: Number of patches in a segment.
        keep: Takes the samples at 22,050 Hz, in order, if a second pass would be slow.

    Raises:
        ClipError: if the clip cannot be decoded.
    """
    size = size_of(file)
    if clip.start_s is not None or clip.end_s is not None:
        return _first_pass_of_excerpt(clip, file, size, spec, segment_patches, keep)
    with AudioFile(clip.clip_id, file) as audio:
        taken = FirstPass(audio.sample_rate_hz, spec, segment_patches)
        is_kept = _is_kept(audio)
        for samples in taken.take(audio.chunks()):
            if is_kept:
                keep(samples)
        flags = audio.flags(taken.num_source)
        info = _info(audio, taken.num_source)
        return taken.recording(clip.clip_id, info, flags, 0, size, audio.can_seek)


def _first_pass_of_excerpt(
    clip: Clip,
    file: BinaryIO,
    size: int,
    spec: PatchSpec,
    segment_patches: int,
    keep: Callable[[FloatArray], None],
) -> Recording:
    mixer = Mixer()
    with ExcerptReader(clip.clip_id, file) as reader:
        first, stop = reader.samples_of(clip.start_s, clip.end_s)
        taken = FirstPass(reader.audio.sample_rate_hz, spec, segment_patches)
        damage: set[str] = set()
        is_kept = _is_kept(reader.audio)
        for samples in taken.take(reader.pieces(first, stop, mixer)):
            damage |= reader.damage()
            if is_kept:
                keep(samples)
        flags = mixer.flags() | damage
        if stop is not None and taken.num_source < stop - first:
            flags.add("truncated")
        info = _info(reader.audio, taken.num_source)
        return taken.recording(
            clip.clip_id,
            info,
            tuple(sorted(flags)),
            first,
            size,
            reader.audio.can_seek,
        )


def _is_kept(audio: AudioFile) -> bool:
    """Whether a second pass would decode what is not needed, or resample slowly."""
    return not audio.can_seek or is_slow(audio.sample_rate_hz)


def _info(audio: AudioFile, num_samples: int) -> AudioInfo:
    return AudioInfo(
        duration_s=num_samples / audio.sample_rate_hz,
        sample_rate_hz=audio.sample_rate_hz,
        num_channels=audio.num_channels,
        codec=audio.codec,
    )


def size_of(file: BinaryIO) -> int:
    """Size of a file in bytes; its position is then the start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def open_parts(clip: Clip, file: BinaryIO, recording: Recording) -> ExcerptReader:
    """Opens the file of a recording for `read_segment`.

    Raises:
        ClipError: unreadable, if the file has changed since the first pass.
    """
    if size_of(file) != recording.file_size:
        raise _changed(clip)
    return ExcerptReader(clip.clip_id, file, recording.can_seek)


def read_segment(
    clip: Clip, recording: Recording, segment: Segment, reader: ExcerptReader
) -> FloatArray:
    """Reads the samples of a segment at 22,050 Hz.

    Returns:
        float32 [segment.samples], the same as those of the whole clip.

    Raises:
        ClipError: if the file cannot be read, or has changed since the first pass.
    """
    rate = recording.info.sample_rate_hz
    start = recording.checkpoints[segment.index]
    first, stop = segment.samples
    begin, end = needed_samples(rate, start, stop)
    begin, end = max(0, begin), min(end, recording.num_source)
    at = recording.first
    source = reader.read(at + begin, at + end, Mixer())
    if len(source) < end - begin:
        raise _changed(clip)
    samples, _ = resample_part(source, begin, rate, start, stop, recording.num_source)
    return samples[first - start.output :]


def _changed(clip: Clip) -> ClipError:
    return ClipError(
        "read",
        "unreadable",
        f"cannot read clip {clip.clip_id}: its file has changed since the run read it "
        "first; run the command again with --retry-failed",
    )
