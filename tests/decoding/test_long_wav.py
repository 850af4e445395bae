"""Wave64 and RF64, the forms of WAV for files of over 4 GB, are read as WAV is."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest

from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.headers.chunks import read_chunks
from transforms.decoding.mixing import DecodedAudio

RATE_HZ = 16000
PCM, FLOAT = 1, 3
# End of the identifiers of the formats PCM and float (KSDATAFORMAT_SUBTYPE).
SUBFORMAT = bytes.fromhex("800000aa00389b71")
# Ends of the names of chunks of Wave64: of the first one and of the others.
RIFF_GUID = bytes.fromhex("2e91cf11a5d628db04c10000")
CHUNK_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
UNKNOWN = 2**64 - 1
Make = Callable[..., bytes]


def decode(content: bytes) -> DecodedAudio:
    return decode_file("clip", io.BytesIO(content))


def form(
    tag: int, bits: int, container_bits: int, num_channels: int, is_extensible: bool
) -> bytes:
    """The content of the chunk with the format; `bits` are the valid bits."""
    block = container_bits // 8 * num_channels
    sizes = (num_channels, RATE_HZ, RATE_HZ * block, block)
    if not is_extensible:
        return struct.pack("<HHIIHH", tag, *sizes, bits)
    content = struct.pack("<HHIIHH", 0xFFFE, *sizes, container_bits)
    return content + struct.pack("<HHIIHH", 22, bits, 0, tag, 0, 16) + SUBFORMAT


def wave64_chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    stated = len(content) + 24 if size is None else size
    head = name + CHUNK_GUID + struct.pack("<Q", stated)
    return head + content + bytes(-len(content) % 8)


def wave64(form: bytes, samples: bytes, size: int | None = None) -> bytes:
    """A Wave64 file; its size of the samples includes 24 bytes for name and size."""
    body = b"wave" + CHUNK_GUID + wave64_chunk(b"fmt ", form)
    body += wave64_chunk(b"junk", bytes(13)) + wave64_chunk(b"data", samples, size)
    return b"riff" + RIFF_GUID + struct.pack("<Q", len(body) + 24) + body


def rf64(form: bytes, samples: bytes, size: int | None = None) -> bytes:
    stated = len(samples) if size is None else size
    long_sizes = struct.pack("<QQQI", len(samples) + 80, stated, 0, 0)
    body = b"WAVEds64" + struct.pack("<I", len(long_sizes)) + long_sizes
    body += b"fmt " + struct.pack("<I", len(form)) + form
    return b"RF64\xff\xff\xff\xff" + body + b"data\xff\xff\xff\xff" + samples


def values(bits: int) -> np.ndarray:
    """Random integers of so many bits."""
    limit = 2 ** (bits - 1)
    return np.random.default_rng(0).integers(-limit, limit, 6000)


def integers(numbers: np.ndarray, width: int) -> bytes:
    if width == 1:
        return (numbers + 128).astype(np.uint8).tobytes()
    return numbers.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


@pytest.mark.parametrize("make", [wave64, rf64])
@pytest.mark.parametrize("is_extensible", [False, True])
@pytest.mark.parametrize("container_bits", [8, 16, 24, 32])
@pytest.mark.parametrize("bits", [8, 12, 16, 20, 24, 32])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_a_sample_may_use_fewer_bits_than_it_takes(
    num_channels: int, bits: int, container_bits: int, is_extensible: bool, make: Make
) -> None:
    bits = min(bits, container_bits)
    numbers = values(bits)
    octets = integers(numbers << (container_bits - bits), container_bits // 8)
    header = form(PCM, bits, container_bits, num_channels, is_extensible)
    audio = decode(make(header, octets))
    channels = (numbers / 2 ** (bits - 1)).astype(np.float32).reshape(-1, num_channels)
    assert (audio.sample_rate_hz, audio.num_channels) == (RATE_HZ, num_channels)
    expected = channels.sum(axis=1) * np.float32(1 / num_channels)
    np.testing.assert_array_equal(audio.samples, expected)


@pytest.mark.parametrize("make", [wave64, rf64])
@pytest.mark.parametrize("bits", [32, 64])
def test_floats_are_read(bits: int, make: Make) -> None:
    numbers = (values(16) / 2**15).astype(np.float32)
    header = form(FLOAT, bits, bits, 1, is_extensible=False)
    audio = decode(make(header, numbers.astype(f"<f{bits // 8}").tobytes()))
    assert audio.flags == ()
    np.testing.assert_array_equal(audio.samples, numbers)


PLAIN = form(PCM, 16, 16, 1, is_extensible=False)
SAMPLES = integers(values(16), 2)


@pytest.mark.parametrize("make", [wave64, rf64])
@pytest.mark.parametrize(
    ("size", "flags"),
    [(None, ()), (0, ()), (UNKNOWN, ()), (2**63 - 1, ())]
    + [(12044, ()), (24000, ("truncated",)), (5_000_000_000, ("truncated",))],
)
def test_a_size_beyond_the_end_is_truncation_unless_it_is_unknown(
    make: Make, size: int | None, flags: tuple[str, ...]
) -> None:
    audio = decode(make(PLAIN, SAMPLES, size))
    np.testing.assert_array_equal(audio.samples, values(16).astype(np.float32) / 2**15)
    assert audio.flags == flags


@pytest.mark.parametrize("make", [wave64, rf64])
def test_a_cut_file_is_truncated(make: Make) -> None:
    whole = make(PLAIN, SAMPLES)
    audio = decode(whole[: len(whole) // 2])
    assert audio.flags == ("truncated",)
    assert np.array_equal(audio.samples, decode(whole).samples[: len(audio.samples)])


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
@pytest.mark.parametrize("in_ds64", [None, 0, UNKNOWN, 2**63])
@pytest.mark.parametrize("stated", [len(SAMPLES), 0, 0xFFFFFFFF])
@pytest.mark.parametrize("tail", [b"", b"LIST\4\0\0\0INFO"])
def test_a_size_that_is_not_in_ds64_is_that_of_the_chunk(
    name: bytes, in_ds64: int | None, stated: int, tail: bytes
) -> None:
    whole = rf64(PLAIN, SAMPLES, in_ds64)
    if in_ds64 is None:
        whole = whole.replace(b"ds64", b"junk")
    head, samples = whole[: -len(SAMPLES) - 4], SAMPLES
    # Of an unknown size, the samples go on to the end.
    is_known = stated == len(SAMPLES)
    content = name + head[4:] + struct.pack("<I", stated) + samples
    audio = decode(content + (tail if is_known else b""))
    np.testing.assert_array_equal(audio.samples, values(16).astype(np.float32) / 2**15)
    assert audio.flags == ()


def test_other_containers_have_no_chunks() -> None:
    for content in (b"", b"fLaC" + SAMPLES, b"OggS" + SAMPLES, b"RIF"):
        assert read_chunks(io.BytesIO(content)) is None


def test_a_chunk_of_any_size_can_be_skipped() -> None:
    for size in (2**63, UNKNOWN):
        content = wave64(PLAIN, SAMPLES)
        at = content.index(b"junk") + 16
        content = content[:at] + struct.pack("<Q", size) + content[at + 8 :]
        chunked = read_chunks(io.BytesIO(content))
        assert chunked is not None and chunked.samples is None
