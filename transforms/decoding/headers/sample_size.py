"""Finds how many bytes a sample of a WAV file takes, when its header is ambiguous."""

from typing import BinaryIO

import numpy as np

from transforms.decoding.headers.wav_header import PCM, WavHeader

# Number of bytes examined at the start, in the middle and at the end of the samples.
_EXAMINED_SIZE = 60_000
# Exponents of the float32 numbers 0.5 to 2^24, the range of CoolEdit's 24-bit floats.
_FLOAT24_EXPONENTS = (126, 151)
# Part of the numbers that must have such an exponent.
_FLOAT24_PART = 0.9


def container_bits(file: BinaryIO, header: WavHeader, file_size: int) -> int | None:
    """Bits that a sample takes in the file; None if FFmpeg decides.

    The stated bits of a sample and the stated size of a block may differ: either fewer
    bits are used than a sample takes, or the size of the block is wrong. In the first
    case the unused low bytes are zero.

    Args:
        file: Seekable file; its position changes.
        header: Header of the file.
        file_size: Size of the file in bytes.

    Raises:
        ValueError: if the samples fit no reading of the header.
    """
    stated = -(-header.bits // 8) * 8
    by_block = header.block_bits
    if by_block <= stated or by_block not in (16, 24, 32, 64):
        return stated
    # Size 0 means that the samples go on to the end of the file.
    end = min(header.data_at + header.data_size, file_size)
    end = end if header.data_size else file_size
    words = _examined_words(file, header, end, by_block // 8)
    is_padded = words.any() and not words[:, : (by_block - stated) // 8].any()
    # CoolEdit wrote floats with a header like that of integers, and FFmpeg reads them.
    is_pcm_wav = header.format_tag == PCM and not header.is_wave64
    if is_pcm_wav and (header.bits, by_block) == (24, 32):
        if not words.any() or _are_floats24(words):
            return None
        if not is_padded:
            raise ValueError("its header states 24 bits in 32, but all 32 are used")
    return by_block if is_padded else stated


def _examined_words(
    file: BinaryIO, header: WavHeader, end: int, width: int
) -> np.ndarray:
    """Some samples: uint8 [num_samples, width], the lowest byte first."""
    size = (end - header.data_at) // width * width
    parts = []
    for place in {0, size // 2, max(0, size - _EXAMINED_SIZE)}:
        begin = place // width * width
        file.seek(header.data_at + begin)
        part = file.read(min(_EXAMINED_SIZE, size - begin) // width * width)
        parts.append(np.frombuffer(part, np.uint8).reshape(-1, width))
    words = np.concatenate(parts)
    return words if header.byte_order == "<" else words[:, ::-1]


def _are_floats24(words: np.ndarray) -> bool:
    numbers = np.ascontiguousarray(words).view("<u4")
    exponents = numbers[numbers != 0] >> 23 & 0xFF
    low, high = _FLOAT24_EXPONENTS
    return bool(np.mean((low <= exponents) & (exponents <= high)) >= _FLOAT24_PART)
