"""Files that FFmpeg misreads are presented to FFmpeg in a form that it reads."""

import io
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.audio_files import make_readable, signal
from training.synthesis.encode import encode
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.headers.chunks import read_chunks, zero_chunks
from transforms.decoding.headers.file_view import FileView
from transforms.decoding.mixing import DecodedAudio


def decode(content: bytes) -> DecodedAudio:
    return decode_file("clip", io.BytesIO(content))


def id3_tag(size: int, flags: int = 0) -> bytes:
    octets = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    footer = b"3DI" + bytes(7) if flags & 0x10 else b""
    return b"ID3\x04\x00" + bytes([flags]) + octets + bytes(size) + footer


@pytest.mark.parametrize("tag", [id3_tag(20), id3_tag(70_000, 0x10), id3_tag(9) * 2])
@pytest.mark.parametrize(
    "name", ["pcm16_44k.wav", "big_endian.aiff", "wavpack.wv", "wma.wma"]
)
def test_an_id3_tag_in_front_is_skipped(
    tmp_path: pathlib.Path, name: str, tag: bytes
) -> None:
    content = make_readable(tmp_path, name, 0.5).read_bytes()
    expected, audio = decode(content), decode(tag + content)
    np.testing.assert_array_equal(audio.samples, expected.samples)
    assert (audio.codec, audio.flags) == (expected.codec, expected.flags)


def test_an_id3_tag_in_front_of_au_is_skipped(tmp_path: pathlib.Path) -> None:
    path = encode(tmp_path / "a.au", signal(3000, 22050), 22050, "pcm_s16be")
    content = path.read_bytes()
    assert content.startswith(b".snd")
    expected, audio = decode(content), decode(id3_tag(20) + content)
    np.testing.assert_array_equal(audio.samples, expected.samples)


@given(
    head=st.binary(max_size=9),
    width=st.integers(1, 8),
    limits=st.tuples(st.integers(0, 30), st.integers(1, 60)),
    reads=st.lists(st.tuples(st.integers(0, 70), st.integers(-1, 70)), max_size=5),
)
def test_a_view_reads_the_same_bytes_in_every_order(
    head: bytes, width: int, limits: tuple[int, int], reads: list[tuple[int, int]]
) -> None:
    content = bytes(range(50))
    start, end = limits
    body = content[start:end]
    num_whole = len(body) // width * width
    words = [body[i : i + width][::-1] for i in range(0, num_whole, width)]
    expected = head + b"".join(words) + body[num_whole:]
    view = FileView(io.BytesIO(content), start, end, head, width)
    assert view.seek(0, os.SEEK_END) == len(expected)
    for position, size in reads:
        view.seek(position)
        stop = len(expected) if size < 0 else position + size
        assert view.read(size) == expected[position:stop]
        assert view.tell() == max(position, min(len(expected), stop))


def test_a_streamed_aiff_file_is_not_truncated(tmp_path: pathlib.Path) -> None:
    content = make_readable(tmp_path, "big_endian.aiff", 0.5).read_bytes()
    at = content.index(b"SSND") + 4
    streamed = content[:at] + b"\x7f\x00\x00\x08" + content[at + 4 :]
    assert decode(streamed).flags == ()
    cut = content[:at] + b"\x00\x7f\x00\x08" + content[at + 4 :]
    assert decode(cut).flags == ("truncated",)


@pytest.mark.parametrize(("factor", "flags"), [(2, ()), (3, ("truncated",))])
def test_flac_that_states_twice_its_samples_is_not_truncated(
    tmp_path: pathlib.Path, factor: int, flags: tuple[str, ...]
) -> None:
    content = bytearray(make_readable(tmp_path, "flac.flac", 0.5).read_bytes())
    # The last 36 bits before the MD5 sum are the number of samples.
    total = int.from_bytes(content[21:26], "big")
    num_samples = total & (1 << 36) - 1
    assert num_samples == 22050
    content[21:26] = (total + (factor - 1) * num_samples).to_bytes(5, "big")
    assert decode(bytes(content)).flags == flags


@pytest.mark.parametrize("num_zeros", [8, 4000, 16000, 3_000_000])
@pytest.mark.parametrize(
    ("name", "before"),
    [("pcm16_44k.wav", b"fmt "), ("pcm16_44k.wav", b"data")]
    + [("big_endian.aiff", b"COMM"), ("big_endian.aiff", b"SSND")],
)
def test_zeros_before_the_samples_are_skipped(
    tmp_path: pathlib.Path, name: str, before: bytes, num_zeros: int
) -> None:
    content = make_readable(tmp_path, name, 0.5).read_bytes()
    at = content.index(before)
    size = len(content) - 8 + num_zeros
    start = content[:4] + size.to_bytes(4, "little" if name.endswith("wav") else "big")
    filled = start + content[8:at] + bytes(num_zeros) + content[at:]
    audio = decode(filled)
    assert audio.flags == ()
    np.testing.assert_array_equal(audio.samples, decode(content).samples)
    file = io.BytesIO(filled)
    chunked = read_chunks(file)
    assert chunked is not None
    expected = (at, at + num_zeros) if num_zeros > 8000 else None
    assert zero_chunks(file, chunked) == expected
