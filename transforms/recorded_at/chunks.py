"""Finds the start of a recording in the chunks of a WAV or RF64 file.

- GUANO (guano-md.org): text in a chunk `guan`, usually after the samples.
- AudioMoth: a comment in the chunk `LIST`, `Recorded at 05:30:00 11/06/2024 (UTC+2) by
  AudioMoth ...`, day before month. The first firmware wrote no zone, another one
  milliseconds. HydroMoth and AudioMoth Live write the same.

Few bytes are read, and nothing is decoded.
"""

import datetime
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from transforms.decoding.headers.chunks import (
    Chunk,
    ChunkedFile,
    chunks_from,
    read_chunks,
)
from transforms.recorded_at.moments import moment, offset_of, text_of

# A chunk of GUANO may be a block of spaces with some text.
_MAX_READ_BYTES = 1 << 16
_MAX_CHUNKS_AFTER = 20
_HEAD_SIZE = 8
_COMMENT = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(\.\d{3})? (\d\d)/(\d\d)/(\d{4})"
    r"( \(UTC(?P<offset>[+-]\d\d?(?::\d\d)?)?\))?(?=.*Moth)",
    re.DOTALL,
)


class ChunkTimes(NamedTuple):
    """Times in the chunks of a file, as ISO 8601 texts.

    Attributes:
        guano: The time stamp of GUANO; None if there is none.
        comment: The time in the comment of an AudioMoth; None if there is none.
    """

    guano: str | None = None
    comment: str | None = None


def times_in_chunks(file: BinaryIO) -> ChunkTimes:
    """Reads the times in the chunks of a file; none for a file that is no WAV file.

    Args:
        file: Seekable file; its position changes.
    """
    chunked = read_chunks(file)
    if not chunked or chunked.start[8:12] != b"WAVE":
        return ChunkTimes()
    guano = comment = None
    for chunk in (*chunked.chunks, *_chunks_after(file, chunked)):
        if chunk.name == b"guan":
            guano = guano or guano_time(_content(file, chunk))
        elif chunk.name == b"LIST":
            found = _comment(_content(file, chunk), chunked.layout.byte_order == "big")
            comment = comment or (found and comment_time(found))
    return ChunkTimes(guano, comment)


def guano_time(content: bytes) -> str | None:
    """The time stamp in the metadata of GUANO."""
    for line in content.decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(":")
        if _trimmed(key) == "Timestamp":
            time = moment(_trimmed(value))
            return text_of(time) if time else None
    return None


def comment_time(comment: str) -> str | None:
    """The time in the comment of an AudioMoth."""
    found = _COMMENT.match(comment)
    if not found:
        return None
    hour, minute, second, day, month, year = map(int, found.group(1, 2, 3, 5, 6, 7))
    microsecond = int(found[4][1:]) * 1000 if found[4] else 0
    zone: datetime.timezone | None = None
    if found[8]:
        zone = offset_of(found["offset"]) if found["offset"] else datetime.UTC
    try:
        time = datetime.datetime(year, month, day, hour, minute, second, microsecond)
    except ValueError:
        return None
    return text_of(time.replace(tzinfo=zone))


def _trimmed(text: str) -> str:
    return text.strip("\0\ufeff \t\r\v\f")


def _content(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.at)
    return file.read(min(chunk.size, _MAX_READ_BYTES))


def _comment(content: bytes, is_big_endian: bool) -> str | None:
    """The comment in a chunk `LIST`; None if there is none."""
    if content[:4] != b"INFO":
        return None
    at = 4
    while at + _HEAD_SIZE <= len(content):
        name, stated = content[at : at + 4], content[at + 4 : at + _HEAD_SIZE]
        size = int.from_bytes(stated, "big" if is_big_endian else "little")
        at += _HEAD_SIZE
        if name == b"ICMT":
            return content[at : at + size].decode("utf-8", "replace")
        at += size + size % 2
    return None


def _chunks_after(file: BinaryIO, chunked: ChunkedFile) -> Iterator[Chunk]:
    """Yields the chunks after the samples."""
    samples = chunked.samples
    if not samples or samples.is_size_unknown:
        return
    end = samples.at + samples.size
    for _ in range(_MAX_CHUNKS_AFTER):
        if chunked.file_size - end < _HEAD_SIZE:
            return
        # A program may have left out the byte that makes the size of a chunk even.
        chunk = _chunk_at(file, chunked, end + end % 2)
        chunk = chunk or (_chunk_at(file, chunked, end) if end % 2 else None)
        if not chunk:
            return
        yield chunk
        end = chunk.at + chunk.size


def _chunk_at(file: BinaryIO, chunked: ChunkedFile, position: int) -> Chunk | None:
    """The chunk at a position; None if no chunk is there."""
    chunk = next(chunks_from(file, chunked.layout, position), None)
    # A program may count a byte of filling that it left out.
    if not chunk or chunk.at + chunk.size > chunked.file_size + 1:
        return None
    return chunk if all(0x20 <= byte < 0x7F for byte in chunk.name) else None
