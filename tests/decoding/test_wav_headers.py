"""WAV files with unusual headers give the samples that were written."""

import io
import struct

import numpy as np
import pytest

from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.mixing import DecodedAudio
from transforms.elements import ClipError

RATE_HZ = 16000
PCM, FLOAT = 1, 3
# End of the identifiers of the formats PCM and float (KSDATAFORMAT_SUBTYPE).
SUBFORMAT = bytes.fromhex("800000aa00389b71")


def decode(content: bytes) -> DecodedAudio:
    return decode_file("clip", io.BytesIO(content))


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    padding = bytes(len(content) % 2)
    return name + struct.pack(f"{order}I", len(content)) + content + padding


def form(
    tag: int,
    bits: int,
    container_bits: int = 0,
    num_channels: int = 1,
    is_extensible: bool = False,
    order: str = "<",
) -> bytes:
    """The chunk `fmt `; `bits` are the valid bits."""
    container_bits = container_bits or -(-bits // 8) * 8
    block = container_bits // 8 * num_channels
    sizes = (num_channels, RATE_HZ, RATE_HZ * block, block)
    if not is_extensible:
        content = struct.pack(f"{order}HHIIHH", tag, *sizes, bits)
    else:
        content = struct.pack(f"{order}HHIIHH", 0xFFFE, *sizes, container_bits)
        content += struct.pack(f"{order}HHIIHH", 22, bits, 0, tag, 0, 16) + SUBFORMAT
    return chunk(b"fmt ", content, order)


def wav(*parts: bytes, name: bytes = b"RIFF") -> bytes:
    return chunk(name, b"WAVE" + b"".join(parts), ">" if name == b"RIFX" else "<")


def values(bits: int, num_samples: int = 3000, num_channels: int = 1) -> np.ndarray:
    """Random integers of so many bits: int64 [num_samples * num_channels]."""
    limit = 2 ** (bits - 1)
    rng = np.random.default_rng(0)
    return rng.integers(-limit, limit, num_samples * num_channels)


def integers(numbers: np.ndarray, width: int, order: str = "<") -> bytes:
    """Integers of `width` bytes; of one byte without a sign, as WAV has them."""
    if width == 1:
        return (numbers + 128).astype(np.uint8).tobytes()
    octets = numbers.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
    return (octets if order == "<" else octets[:, ::-1]).tobytes()


def as_floats(numbers: np.ndarray, bits: int) -> np.ndarray:
    return (numbers / 2 ** (bits - 1)).astype(np.float32)


@pytest.mark.parametrize("is_extensible", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_big_endian_integers_are_read(bits: int, is_extensible: bool) -> None:
    numbers = values(bits)
    header = form(PCM, bits, is_extensible=is_extensible, order=">")
    data = chunk(b"data", integers(numbers, bits // 8, ">"), ">")
    audio = decode(wav(header, chunk(b"LIST", b"INFO", ">"), data, name=b"RIFX"))
    assert (audio.sample_rate_hz, audio.flags) == (RATE_HZ, ())
    np.testing.assert_array_equal(audio.samples, as_floats(numbers, bits))


@pytest.mark.parametrize("bits", [32, 64])
def test_big_endian_floats_are_read(bits: int) -> None:
    numbers = as_floats(values(16, num_channels=2), 16).reshape(-1, 2)
    header = form(FLOAT, bits, num_channels=2, order=">")
    data = chunk(b"data", numbers.astype(f">f{bits // 8}").tobytes(), ">")
    audio = decode(wav(header, data, name=b"RIFX"))
    assert (audio.num_channels, audio.flags) == (2, ())
    expected = (numbers[:, 0] + numbers[:, 1]) * np.float32(0.5)
    np.testing.assert_array_equal(audio.samples, expected)


def test_a_cut_big_endian_file_is_truncated() -> None:
    header = form(PCM, 24, order=">")
    data = chunk(b"data", integers(values(24), 3, ">"), ">")
    whole = wav(header, data, name=b"RIFX")
    audio = decode(whole[: len(whole) // 2])
    assert audio.flags == ("truncated",)
    assert np.array_equal(audio.samples, decode(whole).samples[: len(audio.samples)])


@pytest.mark.parametrize("name", [b"RIFF", b"RIFX"])
@pytest.mark.parametrize("is_extensible", [False, True])
@pytest.mark.parametrize("container_bits", [8, 16, 24, 32])
@pytest.mark.parametrize("bits", [8, 12, 16, 20, 24, 32])
def test_a_sample_may_use_fewer_bits_than_it_takes(
    bits: int, container_bits: int, is_extensible: bool, name: bytes
) -> None:
    bits = min(bits, container_bits)
    order = "<" if name == b"RIFF" else ">"
    numbers = values(bits, num_channels=2)
    octets = integers(numbers << (container_bits - bits), container_bits // 8, order)
    header = form(PCM, bits, container_bits, 2, is_extensible, order)
    audio = decode(wav(header, chunk(b"data", octets, order), name=name))
    left, right = as_floats(numbers, bits).reshape(-1, 2).T
    assert audio.sample_rate_hz == RATE_HZ
    np.testing.assert_array_equal(audio.samples, (left + right) * np.float32(0.5))


@pytest.mark.parametrize(
    ("bits", "block"), [(8, 4), (16, 0), (16, 4), (20, 4), (24, 0), (24, 1)]
)
def test_a_wrong_size_of_a_block_does_not_matter(bits: int, block: int) -> None:
    width = -(-bits // 8)
    numbers = values(8 * width)
    header = bytearray(form(PCM, bits))
    header[20:22] = struct.pack("<H", block)
    audio = decode(wav(bytes(header), chunk(b"data", integers(numbers, width))))
    np.testing.assert_array_equal(audio.samples, as_floats(numbers, 8 * width))


def test_the_24_bit_floats_of_cooledit_are_read_as_floats() -> None:
    numbers = values(24).astype("<f4")
    content = wav(form(PCM, 24, 32), chunk(b"data", numbers.tobytes()))
    audio = decode(content)
    assert audio.codec == "pcm_f24le"
    np.testing.assert_allclose(audio.samples, numbers / 2**23)


def test_24_bits_in_32_of_which_all_are_used_are_refused() -> None:
    data = chunk(b"data", integers(values(32), 4))
    with pytest.raises(ClipError, match="all 32 are used"):
        decode(wav(form(PCM, 24, 32), data))


@pytest.mark.parametrize("name", [b"RIFF", b"RIFX"])
@pytest.mark.parametrize(("at", "number"), [(10, 40_000), (12, 4_000_000_000)])
def test_impossible_channels_and_rates_are_refused(
    at: int, number: int, name: bytes
) -> None:
    order = ">" if name == b"RIFX" else "<"
    header = bytearray(form(PCM, 16, 32, is_extensible=True, order=order))
    width = 2 if at == 10 else 4
    header[at : at + width] = number.to_bytes(
        width, "big" if order == ">" else "little"
    )
    octets = integers(values(16) << 16, 4, order)
    with pytest.raises(ClipError) as caught:
        decode(wav(bytes(header), chunk(b"data", octets, order), name=name))
    assert caught.value.error_type in ("not_audio", "unsupported_rate")


@pytest.mark.parametrize("num_channels", [1, 2])
def test_integers_of_64_bits_are_refused(num_channels: int) -> None:
    octets = values(32, num_channels=num_channels).astype("<i8").tobytes()
    with pytest.raises(ClipError, match="integers of 64 bits") as caught:
        decode(wav(form(PCM, 64, 64, num_channels), chunk(b"data", octets)))
    assert caught.value.error_type == "unsupported_codec"


def with_data_size(content: bytes, size: int) -> bytes:
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


PLAIN = wav(form(PCM, 16), chunk(b"data", integers(values(16, 6000), 2)))


@pytest.mark.parametrize(
    "size",
    [0, 0x7F000000, 0x7FFFEFFE, 0x7FFFF000, 0x7FFFFFDB, 0x7FFFFFFF, 0x80000000]
    + [0x80000024, 0xFFFFF000, 0xFFFFFFDB, 0xFFFFFFFE, 0xFFFFFFFF],
)
def test_the_size_of_a_streamed_file_is_unknown(size: int) -> None:
    audio = decode(with_data_size(PLAIN, size))
    assert audio.flags == ()
    np.testing.assert_array_equal(audio.samples, decode(PLAIN).samples)


@pytest.mark.parametrize("excess", [1, 2, 36, 44, 64])
def test_a_size_that_is_too_large_by_a_few_bytes_is_not_truncation(excess: int) -> None:
    audio = decode(with_data_size(PLAIN, 12000 + excess))
    assert (len(audio.samples), audio.flags) == (6000, ())


def test_a_size_that_includes_a_long_header_is_not_truncation() -> None:
    data = chunk(b"data", integers(values(16, 6000), 2))
    content = wav(form(PCM, 16), chunk(b"bext", bytes(602)), data)
    audio = decode(with_data_size(content, len(content)))
    assert (len(audio.samples), audio.flags) == (6000, ())


@pytest.mark.parametrize("size", [12066, 24000, 0x70000000, 0x7FFF0000, 0xF0000000])
def test_other_sizes_beyond_the_end_are_truncation(size: int) -> None:
    audio = decode(with_data_size(PLAIN, size))
    assert (len(audio.samples), audio.flags) == (6000, ("truncated",))
