"""Large remote files are read in parts, and a failed part fails the whole clip."""

import functools
import io
import itertools
import os
import pathlib
import random
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pipeline.inputs.cut import measure
from tests.support.audio_files import make_readable
from tests.support.file_server import (
    FileServer,
    Handler,
    Request,
    cut_off,
    etag_of,
    running_server,
    status,
)
from tests.support.object_stores import (
    CuttingProxy,
    environment,
    make_s3_bucket,
    running_minio,
    s3_environment,
)
from transforms import storage
from transforms.audio import decode_audio
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.reading import open_audio
from transforms.elements import Clip, ClipError
from transforms.storage import Limits, RangedFile, StorageError, WebStore

PART, WHOLE = 4096, 30_000
LIMITS = Limits(timeout_s=60, total_s=120, attempts=2, backoff_s=0.01, max_bytes=10**5)
FORMATS = ["pcm16_44k.wav", "flac.flac", "mp3_44k.mp3", "aac.m4a", "vorbis.ogg"]
DATA = random.Random(0).randbytes(200_000)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.storage.ranges.MIN_PART_BYTES", PART)
    monkeypatch.setattr("transforms.storage.ranges.MAX_PART_BYTES", 4 * PART)
    monkeypatch.setattr("transforms.storage.objects.WHOLE_BYTES", WHOLE)
    monkeypatch.setattr("transforms.storage.web.WHOLE_BYTES", WHOLE)


class Source:
    """Bytes that are fetched in parts; parts that hold one of the bytes may fail."""

    def __init__(self, data: bytes, failing: int | None = None) -> None:
        self.data = data
        self.failing = failing
        self.parts: list[tuple[int, int]] = []

    def fetch(self, begin: int, end: int) -> bytes:
        self.parts.append((begin, end))
        if self.failing is not None and begin <= self.failing < end:
            raise StorageError("unreadable", "s3://b/k", "the store is gone")
        return self.data[begin:end]

    def open(self) -> RangedFile:
        return RangedFile(len(self.data), self.fetch)


def test_any_reads_give_the_bytes_of_the_file() -> None:
    draw = random.Random(1)
    local = io.BytesIO(DATA)
    with Source(DATA).open() as file:
        for _ in range(500):
            at, size = draw.randrange(len(DATA) + 9), draw.choice([0, 1, 700, 9000])
            assert file.seek(at) == local.seek(at)
            for _ in range(draw.randrange(4)):
                assert file.read(size) == local.read(size)
            assert file.tell() == local.tell()
            assert file.num_held <= 3 * 4 * PART
        assert file.seek(-7, os.SEEK_END) == len(DATA) - 7
        assert file.read() == DATA[-7:] and file.read(1) == b""
        with pytest.raises(ValueError, match="negative seek"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_reading_from_front_to_back_fetches_each_byte_once() -> None:
    source = Source(DATA)
    with source.open() as file:
        assert b"".join(iter(functools.partial(file.read, 1000), b"")) == DATA
    sizes = [end - begin for begin, end in source.parts]
    assert sizes[:4] == [PART, 2 * PART, 4 * PART, 4 * PART]
    assert [begin for begin, _ in source.parts] == [0, *itertools.accumulate(sizes)][
        :-1
    ]
    assert sum(sizes) == len(DATA)


def test_lines_of_a_large_manifest_are_read() -> None:
    text = "".join(f"clip {number}\n" for number in range(9000))
    with io.TextIOWrapper(Source(text.encode()).open(), encoding="utf-8") as lines:  # type: ignore[type-var]
        assert "".join(lines) == text


def test_after_an_error_every_read_of_other_parts_raises_it() -> None:
    with Source(DATA, failing=PART).open() as file:
        assert file.read(PART) == DATA[:PART]
        for at in (PART, 3 * PART, 100_000):
            file.seek(at)
            with pytest.raises(StorageError, match="the store is gone"):
                file.read(1)


def content_of(name: str, folder: pathlib.Path) -> bytes:
    return make_readable(folder, name, seconds=3).read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_parts_give_the_same_samples_and_length(
    name: str, tmp_path: pathlib.Path
) -> None:
    content = content_of(name, tmp_path)
    # FFmpeg writes the index of M4A files after the audio.
    assert name != "aac.m4a" or content.rfind(b"moov") > len(content) // 2
    expected = decode_file("a", io.BytesIO(content))
    with Source(content).open() as file:
        found = decode_file("a", file)  # type: ignore[arg-type]
    assert np.array_equal(found.samples, expected.samples)
    assert found.flags == expected.flags
    with Source(content).open() as file:
        assert measure(file) == measure(io.BytesIO(content))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
def test_a_clip_whose_store_fails_at_any_byte_is_unreadable(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(name, tmp_path)
    whole = Source(content)
    clip = Clip("a", "s3://b/k")
    monkeypatch.setattr(storage, "open_file", lambda uri: whole.open())
    expected = decode_audio(clip).waveform
    assert expected is not None
    for failing in range(0, len(content), PART):
        source = Source(content, failing)
        monkeypatch.setattr(storage, "open_file", lambda uri, s=source: s.open())
        with pytest.raises(ClipError) as caught:
            decode_audio(clip)
        assert (caught.value.stage, caught.value.error_type) == ("read", "unreadable")
        assert str(caught.value) == "cannot read 's3://b/k': the store is gone"
    # FFmpeg keeps no error for the next file.
    monkeypatch.setattr(storage, "open_file", lambda uri: io.BytesIO(content))
    assert np.array_equal(decode_audio(clip).waveform, expected)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_minio(tmp_path_factory.mktemp("minio")) as url:
        with environment(**s3_environment(url)):
            make_s3_bucket("bucket")
            yield url


def put(uri: str, data: bytes) -> str:
    with storage.publish(uri) as file:
        file.write(data)
    return uri


@pytest.mark.minio
def test_large_objects_are_read_in_parts_and_small_ones_whole(minio: str) -> None:
    for size, kind in ((WHOLE, io.BytesIO), (WHOLE + 1, RangedFile)):
        with storage.open_file(put("s3://bucket/a", DATA[:size])) as file:
            assert type(file) is kind
            assert file.read() == DATA[:size]


@pytest.mark.minio
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda uri: put(uri, DATA[::-1]), "has changed while it was read"),
        (lambda uri: put(uri, DATA[:PART]), "has changed while it was read"),
        (storage.delete_file, "was removed while it was read"),
    ],
)
def test_an_object_that_changes_between_parts_is_unreadable(
    minio: str, change: Callable[[str], object], words: str
) -> None:
    with storage.open_file(put("s3://bucket/changing", DATA)) as file:
        assert file.read(PART) == DATA[:PART]
        change("s3://bucket/changing")
        with pytest.raises(StorageError, match=words) as caught:
            file.read(PART)
    assert caught.value.kind == "unreadable"


@pytest.mark.minio
@pytest.mark.parametrize("num_bytes", [40_000, 150_000, 250_000])
def test_a_clip_whose_bucket_is_cut_off_is_unreadable(
    minio: str, tmp_path: pathlib.Path, num_bytes: int
) -> None:
    uri = put("s3://bucket/cut.wav", content_of("pcm16_44k.wav", tmp_path))
    proxy = CuttingProxy(minio)
    try:
        with environment(AWS_ENDPOINT_URL=proxy.url, FSDSINET_ATTEMPTS="1"):
            proxy.cut_answers_after = num_bytes
            with pytest.raises(
                ClipError, match="cannot read 's3://bucket/cut.wav'"
            ) as e:
                decode_audio(Clip("a", uri))
    finally:
        proxy.close()
    assert e.value.error_type == "unreadable"


def send_part(
    handler: Handler, data: bytes, request: Request, max_bytes: int = len(DATA) + 1
) -> None:
    """Sends the file and states that parts can be requested, or sends a part."""
    size = len(data)
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.range or "")
    begin, end = (int(found[1]), min(size, int(found[2]) + 1)) if found else (0, size)
    if begin >= size:
        handler.send_error(416)
        return
    handler.send_response(206 if found else 200)
    if found:
        handler.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
    handler.send_header("Accept-Ranges", "bytes")
    handler.send_header("Content-Length", str(end - begin))
    handler.send_header("ETag", etag_of(data))
    handler.end_headers()
    body = data[begin:end][:max_bytes]
    request.num_sent = len(body)
    handler.wfile.write(body)
    handler.close_connection = len(body) < end - begin


# Announces a part, sends 100 bytes of it, and closes the connection.
cut_part = functools.partial(send_part, max_bytes=100)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with running_server() as server:
        server.files["/a.wav"] = DATA
        server.faults["/a.wav"] = [send_part] * 100
        yield server


def test_large_files_of_the_web_are_read_in_parts(server: FileServer) -> None:
    """Only files that are read whole have a limit of size, here 100 kB."""
    web = WebStore(LIMITS)
    with web.open(f"{server.url}/a.wav") as file:
        assert isinstance(file, RangedFile) and file.read() == DATA
    parts = server.asked_for("/a.wav")[1:]
    assert parts[0].range == f"bytes=0-{PART - 1}"
    assert sum(part.num_sent for part in parts) == len(DATA)
    # A server that does not offer parts.
    server.faults["/a.wav"] = []
    with pytest.raises(StorageError, match="the limit for files from the web"):
        web.open(f"{server.url}/a.wav")
    server.files["/small"] = DATA[:WHOLE]
    server.faults["/small"] = [send_part]
    assert isinstance(web.open(f"{server.url}/small"), io.BytesIO)
    assert len(server.asked_for("/small")) == 1


def test_a_failed_part_of_the_web_is_tried_again(server: FileServer) -> None:
    server.faults["/a.wav"][2:2] = [status(503)]
    server.faults["/a.wav"][5:5] = [cut_part]
    with WebStore(LIMITS).open(f"{server.url}/a.wav") as file:
        assert file.read() == DATA


@pytest.mark.parametrize(
    ("data", "fault", "words"),
    [
        (DATA[::-1], send_part, "has changed while it was read"),
        (DATA + b"x", send_part, "has changed while it was read"),
        (DATA[:PART], send_part, "has changed while it was read"),
        (DATA, status(404), "was removed while it was read"),
        (DATA, status(403), "a signature that has not expired"),
        (DATA, status(503), r"HTTP 503 .*\(2 attempts\); try again later"),
        (DATA, cut_part, r"connection lost .*\(2 attempts\); try again later"),
        # A server that sends the whole file instead of a part.
        (DATA, cut_off(-1), "the server sends other parts than asked"),
    ],
)
def test_a_clip_that_the_web_does_not_send_to_its_end_is_unreadable(
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    fault: Callable[[Handler, bytes, Request], None],
    words: str,
) -> None:
    store = WebStore(LIMITS)
    monkeypatch.setattr(storage, "store_for", lambda uri: store)
    with open_audio(Clip("a", f"{server.url}/a.wav")) as file:
        assert file.read(PART) == DATA[:PART]
        server.files["/a.wav"] = data
        server.faults["/a.wav"] = [fault] * 100
        with pytest.raises(ClipError, match=words) as caught:
            file.read()
    assert caught.value.error_type == "unreadable"
