"""Reads what lies between the audio frames of an MP3 file: tags, Xing and VBRI headers.

An encoder writes its own first frame, the Xing or Info header, or VBRI by encoders of
Fraunhofer, which states the number of frames. Joined files have several of these
headers, and tags between their parts.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from transforms.decoding.headers.id3 import id3_end

# Sample rates in Hz of MPEG 1, by the index in the header of a frame. MPEG 2 has half
# of the rate, MPEG 2.5 a quarter.
_RATES_HZ = (44100, 48000, 32000)
_NAME = re.compile(rb"Xing|Info|VBRI")
# Sizes of the side information, which lies between the frame's header and the name.
_SIDE_SIZES = (32, 17, 9)
_HAS_FRAMES, _HAS_SIZE = 1, 2
# Distance of the name VBRI from the frame's header, whatever the side information.
_VBRI_DISTANCE = 32
# Position of the size in bytes and the number of frames, from the name VBRI.
_VBRI_NUMBERS_AT = 10
# Position of the delay and the padding of the encoder, from the name: 12 bits each.
_PADDING_AT = 141
# Size of a whole header, from the start of its frame.
_HEADER_SIZE = 200
# Bytes of the file in which the first frame is expected.
_FIRST_SIZE = 2048
_BLOCK_SIZE = 1 << 20
_ID3V1_SIZE = 128
_APE_HEADER_SIZE = 32
# Frames of the free format, of 640 kbit/s at 8 kHz at most, are shorter than this.
_MAX_FREE_SIZE = 8192
# A frame may have one more slot than the frame before: 4 bytes in layer I, else 1.
_MAX_SLOT_SIZE = 4


@dataclasses.dataclass(frozen=True)
class _XingHeader:
    """Header of an MP3 file.

    Attributes:
        at: Position of its frame in the data in which it was found.
        duration_s: Stated duration, without what decoders drop; None if not stated.
        size: Stated size of the file in bytes, without tags; 0 if not stated.
    """

    at: int
    duration_s: float | None
    size: int


def stated_duration_s(file: BinaryIO) -> float | None:
    """Duration that the headers of an MP3 file and of files joined to it state.

    FFmpeg estimates the duration of joined files from the bit rate.

    Args:
        file: Seekable file; its position changes.

    Returns:
        The sum of the stated durations; None if the first frame states none.
    """
    start = id3_end(file)
    file.seek(start)
    first = next(_headers(file.read(_FIRST_SIZE)), None)
    if first is None or first.duration_s is None:
        return None
    if not first.size:
        return first.duration_s
    joined = _headers_after(file, start + first.at + first.size)
    return first.duration_s + sum(header.duration_s or 0 for header in joined)


def hold_audio(file: BinaryIO, packets: Iterable[tuple[int, int]]) -> bool:
    """True if packets hold more than tags and the headers of joined files.

    FFmpeg takes a tag in the middle of a file and the frame after it for one packet,
    and a long tag for several.

    Args:
        file: Seekable file; its position changes.
        packets: Position and size of each packet, in the order of the file.
    """
    tags_end = 0
    for position, size in packets:
        tags_end = _tags_end(file, max(position, tags_end))
        num_left = position + size - tags_end
        if num_left <= 0:
            continue
        file.seek(tags_end)
        header = next(_headers(file.read(min(num_left, _HEADER_SIZE))), None)
        if header is None or header.at:
            return True
    return False


def is_free_format(file: BinaryIO) -> bool:
    """True for an MP3 file whose frames state no bit rate, which FFmpeg cannot decode.

    Args:
        file: Seekable file; its position changes.
    """
    file.seek(id3_end(file))
    data = file.read(3 * _MAX_FREE_SIZE)
    word = int.from_bytes(data[:4], "big")
    if word >> 21 != 0x7FF or not word >> 17 & 3 or word >> 12 & 15:
        return False
    # The last two bits of the third byte, padding and private, differ among frames.
    third_bytes = bytes(data[2] & 0xFC | low for low in range(4))
    start = re.compile(re.escape(data[:2]) + b"[" + re.escape(third_bytes) + b"]")
    second = start.search(data, 4, _MAX_FREE_SIZE)
    if not second:
        return False
    third_at = 2 * second.start()
    return bool(
        start.search(data, third_at - _MAX_SLOT_SIZE, third_at + _MAX_SLOT_SIZE + 3)
    )


def _tags_end(file: BinaryIO, position: int) -> int:
    """Position after the ID3 and APE tags that begin at a position."""
    while True:
        position = id3_end(file, position)
        file.seek(position)
        start = file.read(_APE_HEADER_SIZE)
        if start.startswith(b"TAG"):
            position += _ID3V1_SIZE
        elif start.startswith(b"APETAGEX"):
            position += _APE_HEADER_SIZE + int.from_bytes(start[12:16], "little")
        else:
            return position


def _headers_after(file: BinaryIO, position: int) -> Iterator[_XingHeader]:
    file.seek(position)
    rest = b""
    while block := file.read(_BLOCK_SIZE):
        data = rest + block
        # A header at the end of a block may be cut; the next round finds it.
        whole = max(0, len(data) - _HEADER_SIZE) if len(block) == _BLOCK_SIZE else None
        yield from (h for h in _headers(data) if whole is None or h.at < whole)
        rest = b"" if whole is None else data[whole:]


def _headers(data: bytes) -> Iterator[_XingHeader]:
    for match in _NAME.finditer(data):
        if match[0] == b"VBRI":
            at = match.start() - 4 - _VBRI_DISTANCE
            rate_hz, _ = _frame_format(data[at : at + 4] if at >= 0 else b"")
            if rate_hz:
                yield _vbri_header(data, match.start(), at, rate_hz)
            continue
        for side_size in _SIDE_SIZES:
            at = match.start() - 4 - side_size
            rate_hz, found_size = _frame_format(data[at : at + 4] if at >= 0 else b"")
            if found_size == side_size:
                yield _xing_header(data, match.start(), at, rate_hz)


def _frame_format(header: bytes) -> tuple[int, int]:
    """Sample rate and size of the side information by a frame's header; else zeros."""
    word = int.from_bytes(header, "big")
    version, layer, rate_index = word >> 19 & 3, word >> 17 & 3, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or rate_index == 3:
        return 0, 0
    is_mono = word >> 6 & 3 == 3
    if version == 3:
        return _RATES_HZ[rate_index], 17 if is_mono else 32
    return _RATES_HZ[rate_index] >> (1 if version else 2), 9 if is_mono else 17


def _xing_header(data: bytes, name_at: int, at: int, rate_hz: int) -> _XingHeader:
    flags = int.from_bytes(data[name_at + 4 : name_at + 8], "big")
    numbers = [
        int.from_bytes(data[name_at + i : name_at + i + 4], "big") for i in (8, 12)
    ]
    num_frames = numbers.pop(0) if flags & _HAS_FRAMES else 0
    size = numbers.pop(0) if flags & _HAS_SIZE else 0
    padding_at = name_at + _PADDING_AT
    padding = int.from_bytes(data[padding_at : padding_at + 3], "big")
    num_samples = num_frames * _frame_samples(rate_hz)
    num_samples -= (padding >> 12) + (padding & 0xFFF)
    duration_s = max(0, num_samples) / rate_hz if num_frames else None
    return _XingHeader(at, duration_s, size)


def _vbri_header(data: bytes, name_at: int, at: int, rate_hz: int) -> _XingHeader:
    numbers_at = name_at + _VBRI_NUMBERS_AT
    size = int.from_bytes(data[numbers_at : numbers_at + 4], "big")
    num_frames = int.from_bytes(data[numbers_at + 4 : numbers_at + 8], "big")
    duration_s = num_frames * _frame_samples(rate_hz) / rate_hz
    return _XingHeader(at, duration_s if num_frames else None, size)


def _frame_samples(rate_hz: int) -> int:
    """MPEG 2 and 2.5, of under 32 kHz, have one granule of 576 samples in a frame."""
    return 1152 if rate_hz >= 32000 else 576
