"""Says what is unusual about a file that FFmpeg cannot decode."""

from typing import BinaryIO

from transforms.decoding.headers.chunks import ChunkedFile, read_chunks
from transforms.decoding.headers.mp3_headers import is_free_format

_ADVICE = "which FFmpeg cannot decode; convert it to WAV"
_FREE_FORMAT = (
    "it is an MP3 file of the free format, which FFmpeg cannot decode; convert it to "
    "WAV, for instance with lame --decode"
)
# Compression types of AIFC that FFmpeg knows (`ff_codec_aiff_tags`).
_AIFC_TYPES = (
    *(b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64"),
    *(b"FL64", b"alaw", b"ALAW", b"ulaw", b"ULAW", b"MAC3", b"MAC6", b"GSM ", b"G722"),
    *(b"G726", b"ima4", b"QDMC", b"QDM2", b"Qclp", b"QCLP", b"SDX2", b"ADP4"),
)
# Encodings of AU that FFmpeg knows (`codec_au_tags`); the last one is `ADP4`.
_AU_ENCODINGS = (1, 2, 3, 4, 5, 6, 7, 23, 24, 25, 26, 27, 0x41445034)


def unsupported_format(file: BinaryIO) -> str | None:
    """What is unusual about a file that FFmpeg refused, and what to do; or None.

    Args:
        file: Seekable file; its position changes.
    """
    if is_free_format(file):
        return _FREE_FORMAT
    file.seek(0)
    if file.read(4) == b"dns.":
        return f"it is a little-endian AU file, {_ADVICE}"
    chunked = read_chunks(file)
    if chunked and chunked.start[8:12] == b"AIFC":
        return _unsupported_aifc(file, chunked)
    if chunked and chunked.start[:4] == b".snd":
        encoding = int.from_bytes(chunked.start[12:16], "big")
        if encoding not in _AU_ENCODINGS:
            return f"it is an AU file of encoding {encoding}, {_ADVICE}"
    return None


def _unsupported_aifc(file: BinaryIO, chunked: ChunkedFile) -> str | None:
    common = next((chunk for chunk in chunked.chunks if chunk.name == b"COMM"), None)
    if not common:
        return None
    file.seek(common.at + 18)
    kind = file.read(4)
    if len(kind) < 4 or kind in _AIFC_TYPES:
        return None
    name = kind.decode("latin-1")
    return f"it is an AIFC file of compression type {name!r}, {_ADVICE}"
