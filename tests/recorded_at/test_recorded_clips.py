"""DecodeAudio gives all clips the start of their recording."""

import pathlib

import pytest

from tests.support.audio_files import add_chunks, audiomoth, guano, make_wav
from transforms.audio import decode_shard
from transforms.decoding.ffmpeg import decode_file
from transforms.elements import Clip, ClipError, Failure, Shard
from transforms.recorded_at.choose import TimeSettings
from transforms.recorded_at.chunks import ChunkTimes
from transforms.recorded_at.clips import times_of_file
from transforms.storage import StorageError
from transforms.storage.ranges import RangedFile

LOCAL = "2024-06-11T05:30:00"
FAILURE = Failure("worker", "worker_died", "it died")
ALL = TimeSettings()
Found = tuple[str | None, str | None, tuple[str, ...]]


def decoded(*clips: Clip, times: TimeSettings | None = ALL) -> list[Found]:
    shard = decode_shard(Shard("s", clips), longest_s=2.0, times=times)
    return [(c.recorded_at, c.recorded_at_source, c.flags) for c in shard.clips]


@pytest.fixture
def wav(tmp_path: pathlib.Path) -> pathlib.Path:
    path = make_wav(tmp_path / "SITE_20240611_053000.wav", 30_000)
    moth = audiomoth("05:30:01 11/06/2024 (UTC+2)")
    return add_chunks(path, [moth], [guano(f"{LOCAL}.750+02:00")])


def test_each_source(wav: pathlib.Path) -> None:
    clip = Clip("a", str(wav), recorded_at=f"{LOCAL}.500", recorded_at_source="column")
    expected = {
        "column": f"{LOCAL}.500",
        "guano": f"{LOCAL}.750+02:00",
        "comment": "2024-06-11T05:30:01+02:00",
        "name": LOCAL,
    }
    for source, text in expected.items():
        times = TimeSettings((source,))
        assert decoded(clip, times=times) == [(text, source, ())]
    assert decoded(clip) == [(f"{LOCAL}.500", "column", ())]
    assert decoded(Clip("a", str(wav))) == [(expected["guano"], "guano", ())]
    assert decoded(Clip("a", str(wav)), times=None) == [(None, None, ())]


def test_samples_are_those_of_the_file_without_chunks(
    wav: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    plain = make_wav(tmp_path / "plain.wav", 30_000)
    clips = (Clip("a", str(wav)), Clip("b", str(plain)))
    first, second = decode_shard(Shard("s", clips), times=TimeSettings()).clips
    assert first.waveform is not None and second.waveform is not None
    assert (first.waveform == second.waveform).all()
    assert first.failure is second.failure is None


def test_large_remote_files_are_not_read_more_often(
    wav: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = make_wav(tmp_path / "a.wav", 5_000_000)
    data = add_chunks(path, after=[guano(LOCAL)]).read_bytes()

    def parts_read(with_times: bool) -> list[tuple[int, int]]:
        parts = []

        def fetch(begin: int, end: int) -> bytes:
            parts.append((begin, end))
            return data[begin:end]

        with RangedFile(len(data), fetch) as file:
            if with_times:
                assert times_of_file(file, ALL).guano == LOCAL  # type: ignore[arg-type]
            decode_file("a", file)  # type: ignore[arg-type]
        return sorted(parts)

    assert parts_read(True) == parts_read(False)


def test_a_file_that_cannot_be_read_fails_as_before(tmp_path: pathlib.Path) -> None:
    def fetch(begin: int, end: int) -> bytes:
        raise StorageError("unreadable", "s3://b/a.wav", "the store does not answer")

    with RangedFile(1 << 20, fetch) as file:
        file.convert_errors(lambda error: ClipError("read", error.kind, error.problem))
        assert times_of_file(file, ALL) == ChunkTimes()  # type: ignore[arg-type]
        with pytest.raises(ClipError, match="does not answer"):
            decode_file("a", file)  # type: ignore[arg-type]


def test_excerpts_have_the_time_of_their_file(wav: pathlib.Path) -> None:
    clips = [Clip(f"{s}", str(wav), start_s=s, end_s=s + 0.5) for s in (0.0, 0.7)]
    # The second one is outside of the file.
    clips.append(Clip("outside", str(wav), start_s=60.0))
    assert decoded(*clips) == [(f"{LOCAL}.750+02:00", "guano", ())] * 3


def test_long_recordings_have_their_time_and_flags(tmp_path: pathlib.Path) -> None:
    path = make_wav(tmp_path / "20240611_120000.wav", 22050 * 3)
    clip = Clip("a", str(add_chunks(path, after=[guano(LOCAL)])))
    (found,) = decode_shard(Shard("s", (clip,)), 60, 2.0, TimeSettings()).clips
    assert found.is_long
    assert (found.recorded_at, found.flags) == (LOCAL, ("times_differ",))


def test_failed_clips_have_what_is_known(
    wav: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "broken_20240101_000000.wav"
    broken.write_bytes(b"RIFF\0\0\0\0WAVE" + guano(f"{LOCAL}Z"))
    clips = (
        Clip("dead", str(wav), failure=FAILURE),
        Clip("missing", "/no/20240611_053000.wav"),
        Clip("broken", str(broken)),
        Clip("text", "/no/such.wav", recorded_at=LOCAL, recorded_at_source="column"),
    )
    assert decoded(*clips) == [
        (LOCAL, "name", ()),
        (LOCAL, "name", ()),
        (f"{LOCAL}+00:00", "guano", ("times_differ",)),
        (LOCAL, "column", ()),
    ]
