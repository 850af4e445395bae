"""Tells whether an audio file is truncated: shorter than its container states.

FFmpeg does not tell. It shortens the stated duration of WAV and AIFF to the size of the
file, and estimates the duration of joined MP3 files and of MP3 without a header.
"""

import fractions
from typing import Any, BinaryIO

import av

from transforms.decoding.headers import mp3_headers
from transforms.decoding.headers.chunks import ChunkedFile

# The delay of a codec and its last, partly filled frame are shorter than this.
_TOLERANCE_S = 0.1
# Containers whose stated duration FFmpeg passes on unchanged.
_STATES_DURATION = {"flac", "matroska", "mov", "wv"}
# Programs that write to a pipe leave a size near one of these in the header. They may
# add or subtract the size of the header, and round to whole samples.
_UNKNOWN_SIZES = (0x7F000000, 0x7FFFF000, 0x80000000, 0xFFFFF000, 0x100000000)
_UNKNOWN_BELOW, _UNKNOWN_ABOVE = 4096, 64
# Recorders and editors state sizes that are too large by a few bytes.
_EXCESS_BYTES = 64
# Some recorders state the number of samples of two channels for a file of one channel.
_DOUBLE_TOTAL_S = 1e-6


def is_truncated(
    file: BinaryIO, container: Any, stream: Any, duration_s: float
) -> bool:
    """True if the container states more audio than the file holds.

    Args:
        file: File of the container; its position changes.
        container: Open PyAV container.
        stream: Audio stream that was decoded.
        duration_s: Duration of the decoded samples.
    """
    names = set(container.format.name.split(","))
    stated_s = None
    if "mp3" in names:
        stated_s = mp3_headers.stated_duration_s(file)
    elif names & _STATES_DURATION:
        stated_s = _stated_duration_s(container, stream)
    if stated_s is None:
        return False
    if "flac" in names and abs(stated_s - 2 * duration_s) < _DOUBLE_TOTAL_S:
        return False
    return duration_s < stated_s - _TOLERANCE_S


def _stated_duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(fractions.Fraction(container.duration, av.time_base))
    return None


def has_cut_samples(chunked: ChunkedFile) -> bool:
    """True if the chunk with the samples goes beyond the end of the file."""
    samples = chunked.samples
    if not samples:
        return False
    # A recorder may count the header as samples.
    missing = samples.at + samples.size - chunked.file_size
    is_excess = missing <= _EXCESS_BYTES or missing in (samples.at, samples.at - 8)
    return not (is_excess or samples.is_size_unknown or _is_unknown(samples.size))


def _is_unknown(size: int) -> bool:
    return any(
        known - _UNKNOWN_BELOW <= size <= known + _UNKNOWN_ABOVE
        for known in _UNKNOWN_SIZES
    )
