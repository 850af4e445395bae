"""Random WAV headers are read as libsndfile reads them, or are refused."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.decoding.ffmpeg import decode_file
from transforms.elements import ClipError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# End of the identifiers of the formats PCM and float (KSDATAFORMAT_SUBTYPE).
SUBFORMAT = bytes.fromhex("800000aa00389b71")
# Samples of every size and of one or two channels fill this many bytes exactly.
UNIT = 48
SIZES = st.sampled_from([8, 16, 24, 32, 64])
BITS = SIZES | st.integers(1, 64)


def chunk(name: bytes, content: bytes, order: str, size: int | None = None) -> bytes:
    stated = len(content) if size is None else size
    padding = bytes(len(content) % 2)
    return name + struct.pack(f"{order}I", stated) + content + padding


@st.composite
def wav_files(draw: st.DrawFn) -> bytes:
    name, order = draw(st.sampled_from([(b"RIFF", "<"), (b"RIFX", ">")]))
    tag = draw(st.sampled_from([PCM, FLOAT]))
    num_channels = draw(st.integers(1, 2))
    bits = draw(BITS)
    block = draw(st.just(-(-bits // 8)) | st.integers(0, 8)) * num_channels
    sizes = (num_channels, 8000, 8000 * block, block, bits)
    if draw(st.booleans()):
        form = struct.pack(f"{order}HHIIHH", EXTENSIBLE, *sizes)
        form += struct.pack(f"{order}HHIIHH", 22, draw(BITS), 0, tag, 0, 16)
        form += SUBFORMAT
    else:
        form = struct.pack(f"{order}HHIIHH", tag, *sizes)
        form += draw(st.sampled_from([b"", b"\0\0"]))
    num_units = draw(st.integers(1, 100))
    seed = draw(st.integers(0, 99))
    octets = np.random.default_rng(seed).bytes(num_units * UNIT)
    stated = draw(st.integers(1, 150)) * UNIT
    data = chunk(b"data", octets, order, draw(st.sampled_from([None, stated])))
    extra = chunk(b"LIST", b"INFO" + bytes(draw(st.integers(0, 9))), order)
    before, after = draw(st.integers(0, 2)) * extra, draw(st.integers(0, 2)) * extra
    body = b"WAVE" + chunk(b"fmt ", form, order) + before + data + after
    return chunk(name, body, order)


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered")
@settings(max_examples=150)
@given(content=wav_files())
def test_random_headers_are_read_as_libsndfile_reads_them_or_refused(
    content: bytes,
) -> None:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            expected = file.read(dtype="float32", always_2d=True).T
        audio = decode_file("clip", io.BytesIO(content))
    except (soundfile.LibsndfileError, ClipError):
        return
    mixed = expected[0]
    if len(expected) == 2:
        mixed = (expected[0] + expected[1]) * np.float32(0.5)
    np.testing.assert_array_equal(audio.samples, mixed)
