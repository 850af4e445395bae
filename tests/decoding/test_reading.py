"""Clips are opened in order, and remote clips are fetched one clip ahead."""

import io
import pathlib
import threading
from typing import BinaryIO

import pytest

from tests.support.file_server import running_server
from transforms.audio import decode_shard
from transforms.decoding.reading import open_audio, openers
from transforms.elements import Clip, ClipError, Failure, Shard

FAILURE = Failure("worker", "worker_died", "it died")


def test_next_remote_clip_is_fetched_while_one_is_decoded() -> None:
    clips = [Clip(name, f"s3://b/{name}") for name in "abc"]
    started = {clip.clip_id: threading.Event() for clip in clips}

    def open_clip(clip: Clip) -> BinaryIO:
        started[clip.clip_id].set()
        return io.BytesIO(clip.clip_id.encode())

    turns = openers(clips, open_clip)
    group, opener = next(turns)
    assert started["b"].wait(10) and not started["c"].is_set()
    assert (group, opener().read()) == ([clips[0]], b"a")
    assert [(g, o().read()) for g, o in turns] == [
        ([clips[1]], b"b"),
        ([clips[2]], b"c"),
    ]


def test_clips_of_one_file_are_opened_together() -> None:
    clips = [
        Clip("a", "s3://b/x", start_s=0.0, failure=FAILURE),
        Clip("b", "s3://b/x", start_s=1.0),
        Clip("c", "/y"),
        Clip("d", "s3://b/x", start_s=2.0),
    ]
    turns = openers(clips, lambda clip: io.BytesIO(clip.clip_id.encode()))
    found = [([clip.clip_id for clip in group], o().read()) for group, o in turns]
    assert found == [(["a", "b"], b"b"), (["c"], b"c"), (["d"], b"d")]


def test_local_and_failed_clips_are_not_opened_before_their_turn() -> None:
    clips = [Clip("a", "/a"), Clip("b", "/b"), Clip("c", "s3://b/c", failure=FAILURE)]
    opened = []

    def open_clip(clip: Clip) -> BinaryIO:
        opened.append(clip.clip_id)
        return io.BytesIO()

    turns = openers(clips, open_clip)
    next(turns)[1]()
    assert opened == ["a"]
    assert [group for group, _ in turns] == [[clips[1]], [clips[2]]]
    assert opened == ["a"]


def test_fetch_error_fails_only_its_clip(tmp_path: pathlib.Path) -> None:
    with running_server() as server:
        server.files["/text.wav"] = b"this is no audio"
        uris = ["none.wav", "text.wav", "none2.wav"]
        clips = tuple(Clip(uri, f"{server.url}/{uri}") for uri in uris)
        shard = decode_shard(Shard("s", (*clips, Clip("d", "/a", failure=FAILURE))))
    failures = [clip.failure for clip in shard.clips]
    types = [failure.error_type for failure in failures if failure]
    assert types == ["not_found", "not_audio", "not_found", "worker_died"]
    assert failures[0] is not None and "HTTP 404" in failures[0].message
    assert "for clip none.wav" in failures[0].message


def test_uris_of_unknown_schemes_are_refused() -> None:
    with pytest.raises(ClipError, match="expected a path or one of") as caught:
        open_audio(Clip("a", "hdfs://host/a.wav"))
    assert caught.value.error_type == "unsupported_uri"


@pytest.mark.parametrize(
    "given", ["a b.wav ", " a b.wav", "a b.wav\t", "in /a b.wav", " {0}/a b.wav"]
)
def test_a_space_around_a_name_is_told(tmp_path: pathlib.Path, given: str) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a b.wav", "in/a b.wav"):
        (tmp_path / name).touch()
    uri = f"{tmp_path}/{given.format(tmp_path)}"
    with pytest.raises(
        ClipError, match="no such file, but .*a b.wav' exists"
    ) as caught:
        open_audio(Clip("x", uri))
    assert caught.value.error_type == "not_found"
    assert "remove the spaces around the name" in str(caught.value)


@pytest.mark.parametrize("name", ["none.wav", "none.wav ", " "])
def test_other_missing_files_are_told_as_before(
    tmp_path: pathlib.Path, name: str
) -> None:
    with pytest.raises(ClipError, match="no such file; check its path"):
        open_audio(Clip("x", f"{tmp_path}/no/{name}"))


def test_a_file_whose_name_ends_with_a_space_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.wav ").write_bytes(b"with")
    (tmp_path / "a.wav").write_bytes(b"without")
    with open_audio(Clip("x", f"{tmp_path}/a.wav ")) as file:
        assert file.read() == b"with"
