"""Finds what follows the samples of a WAV or AIFF file: chunks, filling, or audio."""

import dataclasses
from typing import BinaryIO

from transforms.decoding.headers.wav_header import chunks, size_of

# Byte order and name of the chunk with the samples, by the first bytes of a container.
_CHUNKED = {
    b"RIFF": ("<", b"data"),
    b"RIFX": (">", b"data"),
    b"FORM": (">", b"SSND"),
}
# First bytes of tags that programs append without a chunk.
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"<?xp", b"<?xm")
# Names of chunks that may be cut.
_NAMES = (b"LIST", b"bext", b"iXML", b"id3 ", b"_PMX", b"JUNK")
# Data up to this size is taken for no audio.
_MIN_AUDIO_SIZE = 4096
_MAX_CHUNKS = 1000
# Number of bytes examined at the start, in the middle and at the end of such data.
_EXAMINED_SIZE = 16384


@dataclasses.dataclass(frozen=True)
class TrailingData:
    """What follows the chunks of a WAV or AIFF file.

    Attributes:
        chunks_end: End of the last chunk if other data follows it; None otherwise.
        is_audio: True if what follows the samples may be audio: another chunk of
            samples, or data that is neither a tag nor filling.
    """

    chunks_end: int | None = None
    is_audio: bool = False


def find_trailing_data(file: BinaryIO) -> TrailingData:
    """Examines what follows the samples of a file; nothing if it is no WAV or AIFF.

    Args:
        file: Seekable file; its position changes.
    """
    file.seek(0)
    byte_order, samples_name = _CHUNKED.get(file.read(4), ("", b""))
    if not byte_order:
        return TrailingData()
    file_size = size_of(file)
    end = _samples_end(file, byte_order, samples_name)
    for _ in range(_MAX_CHUNKS):
        if end is None or file_size - end < 8:
            return TrailingData()
        # A program may have left out the byte that makes the size of a chunk even.
        found = _chunk(file, byte_order, end + end % 2, file_size)
        found = found or _chunk(file, byte_order, end, file_size)
        if not found:
            return TrailingData(end, _may_be_audio(file, end, file_size))
        name, chunk_end = found
        if name == samples_name and chunk_end - end > _MIN_AUDIO_SIZE:
            return TrailingData(is_audio=True)
        end = chunk_end
    return TrailingData()


def _samples_end(file: BinaryIO, byte_order: str, samples_name: bytes) -> int | None:
    for name, at, size in chunks(file, byte_order):
        if name == samples_name:
            # Size 0 means that the samples go on to the end of the file.
            return at + size if size else None
    return None


def _chunk(
    file: BinaryIO, byte_order: str, position: int, file_size: int
) -> tuple[bytes, int] | None:
    """Name and end of the chunk at a position; None if no chunk is there."""
    name, at, size = next(chunks(file, byte_order, position), (b"", 0, 0))
    is_name = len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)
    return (name, at + size) if is_name and at + size <= file_size else None


def _may_be_audio(file: BinaryIO, start: int, end: int) -> bool:
    if end - start <= _MIN_AUDIO_SIZE:
        return False
    file.seek(start)
    if file.read(16).lstrip(b"\0").startswith(_TAGS + _NAMES):
        return False
    for place in (start, (start + end) // 2, max(start, end - _EXAMINED_SIZE)):
        file.seek(place)
        data = file.read(min(_EXAMINED_SIZE, end - place))
        # Filling repeats one byte, such as zero.
        if data.count(data[:1]) < len(data):
            return True
    return False
