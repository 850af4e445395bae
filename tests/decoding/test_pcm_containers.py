"""AIFF, AIFC, AU and CAF files of every encoding give the samples that were written.

The files are written here, from the descriptions of their formats, because encoders
write few of these encodings.
"""

import io
import struct

import numpy as np
import pytest

from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.mixing import DecodedAudio
from transforms.elements import ClipError

RATE_HZ = 16000
# The rate as a number of 80 bits, as AIFF has it: 16000 = 2^13 * 1.953125.
RATE_80_BITS = struct.pack(">HQ", 16383 + 13, RATE_HZ << 50)
NUM_SAMPLES = 3000
FLOATS = np.random.default_rng(1).uniform(-1, 1, NUM_SAMPLES).astype(np.float32)
OCTETS = np.random.default_rng(2).integers(0, 256, NUM_SAMPLES)


def decode(content: bytes) -> DecodedAudio:
    return decode_file("clip", io.BytesIO(content))


def check(content: bytes, expected: np.ndarray, num_channels: int = 1) -> None:
    """Compares the decoded samples with those of the channels, mixed."""
    audio = decode(content)
    assert (audio.sample_rate_hz, audio.num_channels) == (RATE_HZ, num_channels)
    assert not {"damaged", "truncated", "more_audio"} & {*audio.flags}
    mixed = expected.reshape(-1, num_channels).sum(axis=1)
    np.testing.assert_array_equal(audio.samples, mixed * np.float32(1 / num_channels))


def values(bits: int) -> np.ndarray:
    """Random integers of so many bits."""
    limit = 2 ** (bits - 1)
    return np.random.default_rng(0).integers(-limit, limit, NUM_SAMPLES)


def integers(numbers: np.ndarray, width: int, order: str = ">") -> bytes:
    octets = numbers.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
    return (octets if order == "<" else octets[:, ::-1]).tobytes()


def high_bits(bits: int, width: int, order: str = ">") -> bytes:
    """The integers of `values` in the high bits of samples of `width` bytes."""
    return integers(values(bits) << (8 * width - bits), width, order)


def as_floats(numbers: np.ndarray, bits: int) -> np.ndarray:
    return (numbers / 2 ** (bits - 1)).astype(np.float32)


def mu_law() -> np.ndarray:
    """The values of all 256 bytes in ITU-T G.711 mu-law, of 16 bits."""
    codes = 255 - np.arange(256)
    sizes = ((((codes & 15) << 3) + 132) << (codes >> 4 & 7)) - 132
    return np.where(codes & 0x80, -sizes, sizes)


def a_law() -> np.ndarray:
    """The values of all 256 bytes in ITU-T G.711 A-law, of 16 bits."""
    codes = np.arange(256) ^ 0x55
    segments, low = codes >> 4 & 7, ((codes & 15) << 4) + 8
    sizes = np.where(segments, (low + 256) << np.maximum(segments - 1, 0), low)
    return np.where(codes & 0x80, sizes, -sizes)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">I", len(content)) + content + bytes(len(content) % 2)


def aiff(
    samples: bytes,
    bits: int,
    compression: bytes = b"",
    num_channels: int = 1,
    offset: int = 0,
    tail: bytes = b"",
) -> bytes:
    num_frames = NUM_SAMPLES // num_channels
    common = struct.pack(">hIh", num_channels, num_frames, bits) + RATE_80_BITS
    kind = b"AIFF"
    if compression:
        kind, common = b"AIFC", common + compression + b"\0\0"
    head = struct.pack(">II", offset, 0) + bytes(offset)
    body = kind + chunk(b"COMM", common) + chunk(b"SSND", head + samples) + tail
    return chunk(b"FORM", body)


def au(samples: bytes, encoding: int, num_channels: int = 1, start: int = 24) -> bytes:
    head = struct.pack(">5I", start, len(samples), encoding, RATE_HZ, num_channels)
    return b".snd" + head + bytes(start - 24) + samples


def caf(
    samples: bytes,
    kind: bytes,
    flags: int,
    bits: int,
    width: int,
    num_channels: int = 1,
) -> bytes:
    sizes = (flags, width * num_channels, 1, num_channels, bits)
    form = struct.pack(">d4s5I", RATE_HZ, kind, *sizes)
    content = b"caff\0\1\0\0desc" + struct.pack(">q", len(form)) + form
    return content + b"data" + struct.pack(">q", len(samples) + 4) + bytes(4) + samples


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("compression", [b"", b"NONE", b"twos"])
@pytest.mark.parametrize("bits", range(1, 33))
def test_integers_of_aiff(bits: int, compression: bytes, num_channels: int) -> None:
    samples = high_bits(bits, -(-bits // 8))
    content = aiff(samples, bits, compression, num_channels)
    check(content, as_floats(values(bits), bits), num_channels)


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("offset", [0, 4, 7])
@pytest.mark.parametrize("tail", [b"", chunk(b"ANNO", b"a text")])
@pytest.mark.parametrize("bits", range(1, 33))
def test_little_endian_integers_of_aifc(
    bits: int, tail: bytes, offset: int, num_channels: int
) -> None:
    samples = high_bits(bits, -(-bits // 8), "<")
    content = aiff(samples, bits, b"sowt", num_channels, offset, tail)
    check(content, as_floats(values(bits), bits), num_channels)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_a_cut_little_endian_aifc_file_is_truncated(bits: int) -> None:
    whole = aiff(high_bits(bits, bits // 8, "<"), bits, b"sowt")
    audio = decode(whole[: len(whole) // 2])
    assert audio.flags == ("truncated",)
    expected = as_floats(values(bits), bits)[: len(audio.samples)]
    np.testing.assert_array_equal(audio.samples, expected)


@pytest.mark.parametrize(
    ("compression", "width"), [(b"in24", 3), (b"in32", 4), (b"raw ", 1)]
)
def test_integers_of_aifc_whose_size_is_in_the_type(
    compression: bytes, width: int
) -> None:
    numbers = values(8 * width)
    stored = numbers + 128 if compression == b"raw " else numbers
    content = aiff(integers(stored, width), 8 * width, compression)
    check(content, as_floats(numbers, 8 * width))


@pytest.mark.parametrize("compression", [b"fl32", b"FL32", b"fl64", b"FL64"])
@pytest.mark.parametrize("stated_bits", [16, 32, 64])
def test_floats_of_aifc(compression: bytes, stated_bits: int) -> None:
    width = int(compression[2:]) // 8
    check(aiff(FLOATS.astype(f">f{width}").tobytes(), stated_bits, compression), FLOATS)


@pytest.mark.parametrize("compression", [b"42ni", b"23ni", b"in16", b"\xa9abc"])
def test_types_of_aifc_that_ffmpeg_does_not_know_are_refused(
    compression: bytes,
) -> None:
    name = compression.decode("latin-1")
    with pytest.raises(ClipError, match=f"AIFC file of compression type '{name}', w"):
        decode(aiff(high_bits(24, 4, "<"), 32, compression))


@pytest.mark.parametrize("compression", [b"NONE", b"in24"])
def test_other_damage_is_not_taken_for_a_type(compression: bytes) -> None:
    whole = aiff(high_bits(24, 3, ">"), 24, compression)
    at = whole.index(b"COMM") + 8
    with pytest.raises(ClipError, match="FFmpeg cannot read the file|rate") as caught:
        decode(whole[:at] + bytes(18) + whole[at + 18 :])
    assert caught.value.error_type != "unsupported_codec"


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("start", [24, 100])
@pytest.mark.parametrize(("encoding", "width"), [(2, 1), (3, 2), (4, 3), (5, 4)])
def test_integers_of_au(
    encoding: int, width: int, start: int, num_channels: int
) -> None:
    numbers = values(8 * width)
    content = au(integers(numbers, width), encoding, num_channels, start)
    check(content, as_floats(numbers, 8 * width), num_channels)


@pytest.mark.parametrize(("encoding", "kind"), [(6, ">f4"), (7, ">f8")])
def test_floats_of_au(encoding: int, kind: str) -> None:
    check(au(FLOATS.astype(kind).tobytes(), encoding), FLOATS)


@pytest.mark.parametrize("encoding", [8, 18, 19, 99])
def test_encodings_of_au_that_ffmpeg_does_not_know_are_refused(encoding: int) -> None:
    with pytest.raises(ClipError, match=f"an AU file of encoding {encoding}, which"):
        decode(au(high_bits(16, 2), encoding))


def test_little_endian_au_is_refused() -> None:
    header = struct.pack("<4s5I", b"dns.", 24, 6000, 3, RATE_HZ, 1)
    with pytest.raises(ClipError, match="a little-endian AU file, which") as caught:
        decode(header + bytes(6000))
    assert caught.value.error_type == "unsupported_codec"


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize(("order", "flags"), [(">", 0), ("<", 2)])
@pytest.mark.parametrize("bits", [8, 12, 16, 20, 24, 32])
def test_integers_of_caf(bits: int, order: str, flags: int, num_channels: int) -> None:
    width = -(-bits // 8)
    samples = high_bits(bits, width, order)
    content = caf(samples, b"lpcm", flags, bits, width, num_channels)
    check(content, as_floats(values(bits), bits), num_channels)


@pytest.mark.parametrize(("order", "flags"), [(">", 1), ("<", 3)])
@pytest.mark.parametrize("width", [4, 8])
def test_floats_of_caf(width: int, order: str, flags: int) -> None:
    samples = FLOATS.astype(f"{order}f{width}").tobytes()
    check(caf(samples, b"lpcm", flags, 8 * width, width), FLOATS)


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize(("bits", "width"), [(16, 3), (16, 4), (20, 4), (24, 4)])
def test_caf_whose_samples_take_more_bytes_than_they_use_is_refused(
    bits: int, width: int, num_channels: int
) -> None:
    samples = high_bits(bits, width)
    with pytest.raises(ClipError, match=f"of {bits} bits; convert it to WAV") as caught:
        decode(caf(samples, b"lpcm", 0, bits, width, num_channels))
    assert caught.value.error_type == "not_audio"


@pytest.mark.parametrize("is_mu_law", [True, False])
def test_mu_law_and_a_law(is_mu_law: bool) -> None:
    table = mu_law() if is_mu_law else a_law()
    samples, expected = OCTETS.astype(np.uint8).tobytes(), as_floats(table[OCTETS], 16)
    kind = b"ulaw" if is_mu_law else b"alaw"
    check(aiff(samples, 16, kind), expected)
    check(aiff(samples, 8, kind.upper()), expected)
    check(au(samples, 1 if is_mu_law else 27), expected)
    check(caf(samples, kind, 0, 8, 1), expected)
