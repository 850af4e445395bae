"""An excerpt has the samples and flags of the same samples in a file of their own."""

import functools
import pathlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.audio_files import make_readable, signal
from transforms.audio import decode_audio, decode_shard
from transforms.decoding.excerpts import ExcerptReader
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.mixing import Mixer
from transforms.elements import Clip, ClipError, Shard

SECONDS = 40
NAMES = (
    "pcm16_44k.wav",
    "pcm24_44k.wav",
    "mulaw.wav",
    "big_endian.aiff",
    "flac.flac",
    "mp3_44k.mp3",
    "aac.m4a",
    "vorbis.ogg",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    folder = tmp_path_factory.mktemp("excerpts")
    paths = {name: make_readable(folder, name, SECONDS) for name in NAMES}
    samples = signal(44100 * SECONDS, 44100, 2).T
    soundfile.write(folder / "a.w64", samples, 44100, "PCM_24", format="W64")
    return {**paths, "a.w64": folder / "a.w64"}


@functools.lru_cache(maxsize=1)
def whole(path: pathlib.Path) -> np.ndarray:
    with open(path, "rb") as file:
        return decode_file("a", file).samples


@pytest.mark.parametrize("name", [*NAMES, "a.w64"])
@settings(max_examples=8, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.floats(0, SECONDS - 1), st.integers(1, 500_000)),
        min_size=1,
        max_size=5,
    )
)
def test_parts_are_those_of_the_whole(
    name: str, parts: list[tuple[float, int]], files: dict[str, pathlib.Path]
) -> None:
    expected = whole(files[name])
    with open(files[name], "rb") as file, ExcerptReader("a", file) as reader:
        for start_s, size in parts:
            first = int(start_s * reader.audio.sample_rate_hz)
            samples = reader.read(first, first + size, Mixer())
            np.testing.assert_array_equal(samples, expected[first : first + size])


@pytest.mark.parametrize("name", ["pcm16_44k.wav", "flac.flac", "mp3_44k.mp3"])
def test_an_excerpt_is_the_clip_that_another_program_cut_out(
    name: str, files: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    start_s, end_s = 20.00007, 33.3
    first, stop = round(start_s * 44100), round(end_s * 44100)
    cut = tmp_path / "cut.wav"
    soundfile.write(cut, whole(files[name])[first:stop], 44100, "FLOAT")
    expected = decode_audio(Clip("b", str(cut)))
    clip = Clip("a", str(files[name]), start_s=start_s, end_s=end_s)
    excerpt = decode_audio(clip)
    assert excerpt.waveform is not None and expected.waveform is not None
    np.testing.assert_array_equal(excerpt.waveform, expected.waveform)
    assert excerpt.info and excerpt.info.duration_s == (stop - first) / 44100


def test_missing_ends_are_those_of_the_file(files: dict[str, pathlib.Path]) -> None:
    uri = str(files["flac.flac"])
    for start_s, end_s in ((None, 10.0), (35.0, None), (0.0, None)):
        clip = decode_audio(Clip("a", uri, start_s=start_s, end_s=end_s))
        assert clip.info and "truncated" not in clip.flags
        assert clip.info.duration_s == (end_s or SECONDS) - (start_s or 0.0)


@pytest.mark.parametrize("name", ["pcm16_44k.wav", "flac.flac", "mp3_44k.mp3"])
def test_excerpts_outside_of_the_file(
    name: str, files: dict[str, pathlib.Path]
) -> None:
    uri = str(files[name])
    assert "truncated" in decode_audio(Clip("a", uri, start_s=39, end_s=50)).flags
    with pytest.raises(ClipError, match="begins at 90 s, and the file ends at 40"):
        decode_audio(Clip("far", uri, start_s=90, end_s=91))


def test_flags_are_those_of_the_excerpt(tmp_path: pathlib.Path) -> None:
    samples = 0.5 * signal(8000 * 60, 8000, 2).T
    samples[8000 * 10 : 8000 * 10 + 50] = 1.0
    samples[8000 * 30 :, 1] = -samples[8000 * 30 :, 0]
    path = str(tmp_path / "a.wav")
    soundfile.write(path, samples, 8000)
    flags = [
        decode_audio(Clip("a", path, start_s=start, end_s=start + 5.0)).flags
        for start in (0.0, 8.0, 40.0)
    ]
    assert flags == [(), ("clipped",), ("channels_cancel",)]


def test_one_failed_excerpt_leaves_the_others(
    files: dict[str, pathlib.Path],
) -> None:
    uri = str(files["flac.flac"])
    starts = (0.0, 90.0, 5.0, 4.0)
    clips = [Clip(f"{s}", uri, start_s=s, end_s=s + 1) for s in starts]
    decoded = decode_shard(Shard("s", (*clips, Clip("whole", uri)))).clips
    types = [clip.failure and clip.failure.error_type for clip in decoded]
    assert types == [None, "outside_file", None, None, None]
    assert decoded[-1].info and decoded[-1].info.duration_s == SECONDS
