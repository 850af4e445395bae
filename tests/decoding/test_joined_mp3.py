"""Joined MP3 files are flagged only if a part of their audio is missing."""

import io
import pathlib
import struct
from typing import Any

import av
import numpy as np
import pytest

from tests.support.audio_files import signal
from training.synthesis.encode import encode
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.mixing import DecodedAudio
from transforms.elements import ClipError

RATE_HZ = 44100
# Samples that joining may add or remove: the header of the second file is decoded as a
# frame, and the decoder's delay is not removed there.
FRAME = 1152


def decode(content: bytes) -> DecodedAudio:
    return decode_file("clip", io.BytesIO(content))


def mp3(
    folder: pathlib.Path,
    seconds: float = 1,
    rate_hz: int = RATE_HZ,
    num_channels: int = 1,
    bit_rate: int = 128_000,
) -> bytes:
    samples = signal(round(seconds * rate_hz), rate_hz, num_channels)
    path = folder / "part.mp3"
    return encode(path, samples, rate_hz, "libmp3lame", bit_rate).read_bytes()


def variable_mp3(num_samples: int) -> bytes:
    """MP3 of a variable bit rate: its header is named Xing, not Info."""
    file = io.BytesIO()
    with av.open(file, "w", "mp3") as container:
        stream: Any = container.add_stream("libmp3lame", RATE_HZ)
        stream.layout = "mono"
        # Quality 4 of 0 to 9, in units of FF_QP2LAMBDA (118).
        stream.codec_context.options = {"flags": "+qscale", "global_quality": "472"}
        samples = signal(num_samples, RATE_HZ)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = 0
        for part in [frame, None]:
            container.mux(stream.encode(part))
    return file.getvalue()


def synchsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3_tag(content: bytes) -> bytes:
    return b"ID3\x03\0\0" + synchsafe(len(content)) + content


def ape_tag(value: bytes) -> bytes:
    item = struct.pack("<II", len(value), 0) + b"Title\0" + value
    sizes = (2000, len(item) + 32, 1)
    ends = [
        b"APETAGEX" + struct.pack("<IIII", *sizes, flags) + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    ]
    return ends[0] + item + ends[1]


TITLE = b"TIT2" + struct.pack(">IH", 12, 0) + b"\0The title 1"
ID3V1 = b"TAG" + bytes(125)
PICTURE = np.random.default_rng(0).bytes(100_000)
TAGS = {
    "none": b"",
    "id3v2": id3_tag(TITLE + bytes(200)),
    "picture": id3_tag(b"APIC" + struct.pack(">IH", len(PICTURE), 0) + PICTURE),
    "id3v1": ID3V1,
    "ape": ape_tag(b"The title"),
    "ape and id3v1": ape_tag(b"The title") + ID3V1,
    "id3v1 and id3v2": ID3V1 + id3_tag(TITLE),
}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
@pytest.mark.parametrize("rates", [(128_000, 128_000), (32_000, 256_000)])
def test_nothing_is_missing_in_joined_files(
    tmp_path: pathlib.Path, rates: tuple[int, int], tags: bytes
) -> None:
    parts = [mp3(tmp_path, 1, bit_rate=rates[0]), mp3(tmp_path, 2, bit_rate=rates[1])]
    for first, second in [parts, parts[::-1], [parts[0], parts[0]]]:
        whole = decode(first + tags + second)
        num_samples = len(decode(first).samples) + len(decode(second).samples)
        assert whole.flags == ()
        assert abs(len(whole.samples) - num_samples) <= 3 * FRAME


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 32000])
def test_rates_of_mpeg_2_can_be_joined(tmp_path: pathlib.Path, rate_hz: int) -> None:
    part = mp3(tmp_path, 1, rate_hz, 2, bit_rate=64_000)
    assert decode(part + part + TAGS["id3v2"] + part).flags == ()
    joined = part + part
    assert decode(joined[: -len(part) // 2]).flags == ("truncated",)


def test_files_of_variable_bit_rate_can_be_joined(tmp_path: pathlib.Path) -> None:
    variable, fixed = variable_mp3(50_000), mp3(tmp_path)
    assert b"Xing" in variable[:300] and b"Info" in fixed[:300]
    for joined in [variable + variable, variable + fixed, fixed + variable]:
        assert decode(joined).flags == ()


def test_a_long_tag_at_the_end_is_not_missing_audio(tmp_path: pathlib.Path) -> None:
    part = mp3(tmp_path)
    expected = decode(part)
    for tag in [ape_tag(PICTURE), TAGS["picture"], ID3V1]:
        audio = decode(part + tag)
        assert audio.flags == ()
        np.testing.assert_array_equal(
            audio.samples[: len(expected.samples)], expected.samples
        )


@pytest.mark.parametrize("make", [mp3, lambda folder: variable_mp3(RATE_HZ)])
@pytest.mark.parametrize("tags", [b"", TAGS["ape"]])
def test_a_cut_part_is_truncated(
    tmp_path: pathlib.Path, make: Any, tags: bytes
) -> None:
    part = make(tmp_path)
    assert decode(part[: len(part) // 2]).flags == ("truncated",)
    joined = part + tags + part
    assert decode(joined[: len(joined) - len(part) // 2]).flags == ("truncated",)


@pytest.mark.parametrize("tags", [b"", TAGS["id3v2"], TAGS["ape and id3v1"]])
def test_overwritten_frames_are_damaged(tmp_path: pathlib.Path, tags: bytes) -> None:
    part = mp3(tmp_path)
    joined = bytearray(part + tags + part)
    noise = np.random.default_rng(0).bytes(3000)
    for place in (len(part) // 2, len(joined) - len(part) // 2):
        damaged = joined[:place] + noise + joined[place + len(noise) :]
        assert "damaged" in decode(bytes(damaged)).flags


def test_a_frame_that_is_lost_with_a_tag_is_damage(tmp_path: pathlib.Path) -> None:
    part = mp3(tmp_path)
    frames = part[part.index(b"\xff\xfb", part.index(b"Info")) :]
    assert decode(part + TAGS["id3v2"] + frames).flags == ("damaged",)
    assert decode(part + TAGS["picture"] + frames).flags == ("damaged",)


def test_joined_mono_and_stereo_files_are_refused(tmp_path: pathlib.Path) -> None:
    joined = mp3(tmp_path) + TAGS["id3v2"] + mp3(tmp_path, num_channels=2)
    with pytest.raises(ClipError, match="the format changes") as caught:
        decode(joined)
    assert caught.value.error_type == "format_change"


def with_vbri(content: bytes) -> bytes:
    """The file with the header VBRI of Fraunhofer's encoders in place of Info.

    Args:
        content: MP3 file of a constant bit rate without padded frames.
    """
    name_at = content.index(b"Info")
    # The name follows the frame's header and the side information.
    starts = [name_at - 4 - side_size for side_size in (32, 17, 9)]
    start = next(at for at in starts if content[at : at + 1] == b"\xff")
    num_frames = content[name_at + 8 : name_at + 12]
    end = content.index(content[start : start + 2], start + 4)
    size = struct.pack(">I", len(content) - start)
    header = content[start : start + 4] + bytes(32) + b"VBRI"
    header += struct.pack(">HHH", 1, 0, 75) + size + num_frames
    return header.ljust(end - start, b"\0") + content[end:]


@pytest.mark.parametrize("rate_hz", [16000, 32000, 48000])
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("tag", [b"", id3_tag(TITLE)])
def test_the_header_of_fraunhofer_tells_what_is_missing(
    tmp_path: pathlib.Path, rate_hz: int, num_channels: int, tag: bytes
) -> None:
    whole = with_vbri(mp3(tmp_path, 2, rate_hz, num_channels, 64_000))
    num_samples = len(decode(whole).samples)
    assert abs(num_samples - 2 * rate_hz) < 3 * FRAME
    assert decode(tag + whole).flags == ()
    assert decode(tag + whole[: len(whole) // 2]).flags == ("truncated",)
    joined = decode(tag + whole + whole)
    assert joined.flags == ()
    assert abs(len(joined.samples) - 2 * num_samples) <= FRAME
    assert decode(tag + whole + whole[: len(whole) // 2]).flags == ("truncated",)
