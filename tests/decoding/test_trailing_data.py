"""What follows the samples of a file is told apart: chunks, filling, or audio."""

import io
import pathlib
import struct

import numpy as np
import pytest
import soundfile

from tests.support.audio_files import make_readable, signal
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.mixing import DecodedAudio

LIST = b"LIST" + struct.pack("<I", 7001) + bytes(7001)
AUDIO = (signal(9000, 22050)[0] * 2**15).astype("<i2").tobytes()
DATA = b"data" + struct.pack("<I", len(AUDIO)) + AUDIO


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.num_read += len(data)
        return data


def decode(content: bytes) -> DecodedAudio:
    return decode_file("clip", io.BytesIO(content))


def written(container: str) -> bytes:
    """A file of 9000 samples of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, signal(9000, 22050)[0], 22050, "PCM_16", format=container)
    return file.getvalue()


@pytest.fixture(scope="module", params=["pcm16_44k.wav", "big_endian.aiff"])
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    folder: pathlib.Path = tmp_path_factory.mktemp("whole")
    return make_readable(folder, request.param, 0.5).read_bytes()


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_long_filling_is_not_read(whole: bytes, filling: bytes) -> None:
    file = CountingFile(whole + filling * 20_000_000)
    audio = decode_file("clip", file)
    assert audio.flags == ()
    assert file.num_read < 3 * len(whole) + 200_000
    np.testing.assert_array_equal(audio.samples, decode(whole).samples)


@pytest.mark.parametrize("container", ["AU", "CAF", "RF64", "W64"])
@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_long_filling_of_other_containers_is_not_read(
    container: str, filling: bytes
) -> None:
    whole = written(container)
    file = CountingFile(whole + filling * 20_000_000)
    audio = decode_file("clip", file)
    assert (len(audio.samples), audio.flags) == (9000, ())
    assert file.num_read < 3 * len(whole) + 200_000
    np.testing.assert_array_equal(audio.samples, decode(whole).samples)


@pytest.mark.parametrize("container", ["AU", "CAF"])
def test_a_cut_file_is_truncated(container: str) -> None:
    whole = written(container)
    audio = decode(whole[: len(whole) // 2])
    assert audio.flags == ("truncated",)
    assert np.array_equal(audio.samples, decode(whole).samples[: len(audio.samples)])


@pytest.mark.parametrize(("container", "size_size"), [("AU", 4), ("CAF", 8)])
def test_a_size_of_minus_one_is_unknown(container: str, size_size: int) -> None:
    whole = written(container)
    at = 8 if container == "AU" else whole.index(b"data") + 4
    content = whole[:at] + b"\xff" * size_size + whole[at + size_size :]
    audio = decode(content)
    assert (len(audio.samples), audio.flags) == (9000, ())


def test_au_is_read_to_its_end_if_audio_follows() -> None:
    audio = decode(written("AU") + AUDIO)
    assert (len(audio.samples), audio.flags) == (18000, ())


@pytest.mark.parametrize(
    "tail", [b"x", bytes(5), b"TAG" + b"title" * 25, b"ID3\4" + b"title" * 9000]
)
def test_tags_and_a_few_bytes_are_not_audio(whole: bytes, tail: bytes) -> None:
    audio = decode(whole + tail)
    assert audio.flags == ()
    np.testing.assert_array_equal(audio.samples, decode(whole).samples)


def test_audio_after_the_samples_is_flagged(whole: bytes) -> None:
    audio = decode(whole + AUDIO)
    assert audio.flags == ("more_audio",)
    np.testing.assert_array_equal(audio.samples, decode(whole).samples)


@pytest.mark.parametrize(
    ("tail", "flags"),
    [
        (LIST, ()),
        (LIST + b"\0" + LIST, ()),
        (LIST[: len(LIST) // 2], ()),
        (LIST + b"\0" + AUDIO, ("more_audio",)),
    ],
)
def test_chunks_after_the_samples_are_not_audio(
    tmp_path: pathlib.Path, tail: bytes, flags: tuple[str, ...]
) -> None:
    content = make_readable(tmp_path, "pcm16_44k.wav", 0.5).read_bytes()
    audio = decode(content + tail)
    assert audio.flags == flags
    np.testing.assert_array_equal(audio.samples, decode(content).samples)


@pytest.mark.parametrize("between", [b"", LIST + b"\0"])
def test_the_last_of_two_chunks_of_samples_is_used(
    tmp_path: pathlib.Path, between: bytes
) -> None:
    content = make_readable(tmp_path, "pcm16_22k.wav", 0.5).read_bytes()
    audio = decode(content + between + DATA)
    assert (len(audio.samples), audio.flags) == (4500, ("more_audio",))


def test_a_size_that_states_less_than_follows_is_flagged(
    tmp_path: pathlib.Path,
) -> None:
    content = make_readable(tmp_path, "pcm16_44k.wav", 0.5).read_bytes()
    at = content.index(b"data") + 4
    audio = decode(content[:at] + struct.pack("<I", 20000) + content[at + 4 :])
    assert (len(audio.samples), audio.flags) == (5000, ("more_audio",))
