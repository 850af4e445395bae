"""MP3 files of the free format are refused with a message that says what they are."""

import io
import struct

import numpy as np
import pytest

from transforms.decoding.ffmpeg import decode_file
from transforms.elements import ClipError

MPEG_1, MPEG_2, MPEG_2_5 = 3, 2, 0
ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)


def frames(
    size: int,
    version: int = MPEG_1,
    num_channels: int = 1,
    bit_rate_index: int = 0,
    num_frames: int = 50,
) -> bytes:
    """Frames of layer III without audio; every third one is longer by a byte."""
    rng = np.random.default_rng(0)
    content = b""
    for i in range(num_frames):
        is_padded = i % 3 == 1
        head = 0x7FF << 21 | version << 19 | 1 << 17 | 1 << 16 | bit_rate_index << 12
        head |= is_padded << 9 | (3 if num_channels == 1 else 1) << 6
        content += struct.pack(">I", head) + rng.bytes(size - 4 + is_padded)
    return content


def error_of(content: bytes) -> ClipError:
    with pytest.raises(ClipError) as caught:
        decode_file("clip", io.BytesIO(content))
    return caught.value


@pytest.mark.parametrize("tag", [b"", ID3])
@pytest.mark.parametrize("version", [MPEG_1, MPEG_2, MPEG_2_5])
@pytest.mark.parametrize(("size", "num_channels"), [(30, 1), (653, 2), (5760, 2)])
def test_the_free_format_is_named(
    size: int, num_channels: int, version: int, tag: bytes
) -> None:
    error = error_of(tag + frames(size, version, num_channels))
    assert error.error_type == "unsupported_codec"
    assert "an MP3 file of the free format" in str(error)
    assert "convert it to WAV, for instance with lame --decode" in str(error)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfb",
        frames(653, num_frames=1),
        frames(653, num_frames=2),
        frames(653, bit_rate_index=15),
        b"\xff\xfb" + bytes(20000),
        b"\xff" * 20000,
        b"\xff\xfe" + "a text in UTF-16".encode("utf-16le") * 500,
    ],
)
def test_other_files_are_not_taken_for_the_free_format(content: bytes) -> None:
    assert error_of(content).error_type == "not_audio"
