"""Tells whether an audio file is truncated: shorter than its container states.

FFmpeg does not tell. It shortens the stated duration of WAV and AIFF to the size of the
file, and estimates the duration of MP3 without a header from the size.
"""

import fractions
import os
import struct
from typing import Any, BinaryIO

import av

from transforms.decoding.id3 import id3_end

# The delay of a codec and its last, partly filled frame are shorter than this.
_TOLERANCE_S = 0.1
# Containers whose stated duration FFmpeg passes on unchanged.
_STATES_DURATION = {"flac", "matroska", "mov", "wv"}
# By the first bytes of a container that consists of chunks: its byte order, and the
# name of the chunk that holds the samples.
_CHUNKED = {b"RIFF": ("<", b"data"), b"FORM": (">", b"SSND")}
# Programs that write to a pipe leave these sizes in the header.
_UNKNOWN_SIZES = {0, 0xFFFFFFFF}


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
    if names & {"wav", "aiff"}:
        return _has_cut_chunk(file)
    if names & _STATES_DURATION or ("mp3" in names and _has_mp3_header(file)):
        stated_s = _stated_duration_s(container, stream)
        return stated_s is not None and duration_s < stated_s - _TOLERANCE_S
    return False


def _stated_duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(fractions.Fraction(container.duration, av.time_base))
    return None


def _has_cut_chunk(file: BinaryIO) -> bool:
    """True if the chunk with the samples of WAV or AIFF goes beyond the file's end."""
    file_size = file.seek(0, os.SEEK_END)
    file.seek(0)
    byte_order, wanted = _CHUNKED.get(file.read(12)[:4], ("", b""))
    while byte_order:
        header = file.read(8)
        if len(header) < 8:
            return False
        (size,) = struct.unpack(f"{byte_order}I", header[4:])
        if header[:4] == wanted:
            return size not in _UNKNOWN_SIZES and file.tell() + size > file_size
        file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _has_mp3_header(file: BinaryIO) -> bool:
    """True if the first MP3 frame is a Xing or Info header, which states a length."""
    file.seek(id3_end(file))
    first_frame = file.read(2048)
    return b"Xing" in first_frame or b"Info" in first_frame
