"""Fetching a model gives the right file or none, whatever the server does."""

import dataclasses
import hashlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.model_files.fetch import fetch_model
from pipeline.model_files.resumable_download import LIMITS
from tests.conftest import DATA, ROOT
from tests.support.file_server import (
    FileServer,
    cut_off,
    hang,
    running_server,
    status,
    without_length,
)
from transforms.errors import UserError
from transforms.models.registry import RegisteredModel
from transforms.storage import StorageError
from transforms.storage.web import check_redirect

NAME = "random-tiny-tlpf"
GRAPH = (DATA / f"{NAME}.pb").read_bytes()
METADATA = (DATA / f"{NAME}.json").read_bytes()
PB, JSON = f"/m/{NAME}.pb", f"/m/{NAME}.json"
IMPATIENT = dataclasses.replace(LIMITS, timeout_s=10, attempts=3, backoff_s=0)
ONCE = dataclasses.replace(IMPATIENT, attempts=1)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_server() as server:
        server.files = {PB: GRAPH, JSON: METADATA}
        yield server


@pytest.fixture
def model(server: FileServer) -> RegisteredModel:
    blob = hashlib.sha1(b"blob %d\0" % len(GRAPH) + GRAPH).hexdigest()
    return RegisteredModel(
        NAME,
        "random weights",
        "narrow",
        32,
        "AGPL",
        "none",
        f"git_blob_sha1:{blob}",
        weights_url=server.url + PB,
        metadata_url=server.url + JSON,
    )


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "cache" / "models"


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix != ".lock"
    }


COMPLETE = {f"{NAME}.pb": GRAPH, f"{NAME}.json": METADATA}


def test_a_model_is_fetched_completely(
    model: RegisteredModel, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_model(model, folder) == folder / f"{NAME}.pb"
    assert files(folder) == COMPLETE
    captured = capsys.readouterr()
    assert captured.out == ""
    # Without a terminal, only the start and the end of each download are printed.
    assert [line.split()[0] for line in captured.err.splitlines()] == [
        "downloading",
        "downloading",
        f"{folder}/{NAME}.json:",
        f"{folder}/{NAME}.pb:",
    ]


def test_a_complete_model_is_not_downloaded_again(
    model: RegisteredModel,
    folder: pathlib.Path,
    server: FileServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fetch_model(model, folder)
    server.requests.clear()
    fetch_model(model, folder)
    assert server.requests == []
    assert "are up to date: nothing to fetch" in capsys.readouterr().err


def test_wrong_files_are_replaced(model: RegisteredModel, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.pb").write_bytes(GRAPH[:-1])
    (folder / f"{NAME}.json").write_text("{")
    fetch_model(model, folder)
    assert files(folder) == COMPLETE


def test_missing_metadata_is_fetched_alone(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    fetch_model(model, folder)
    (folder / f"{NAME}.json").unlink()
    fetch_model(model, folder)
    assert files(folder) == COMPLETE
    assert len(server.asked_for(PB)) == 1


def test_a_file_with_another_hash_is_removed(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.files[PB] = GRAPH[:-1] + b"?"
    with pytest.raises(UserError, match="is not the model .* git blob sha1 is"):
        fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == {}
    server.files[PB] = GRAPH
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE


def test_an_incomplete_file_does_not_get_its_final_name(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.faults[PB] = [cut_off(1000), cut_off(0), cut_off(500)]
    with pytest.raises(UserError, match=r"after 1,500 of 112,918 bytes \(3 attempts"):
        fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder)[f"{NAME}.pb.part"] == GRAPH[:1500]
    assert not files(folder).keys() & COMPLETE.keys()


@pytest.mark.parametrize("num_bytes", [1, 65536, len(GRAPH) - 1])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_download_is_resumed_after_a_lost_connection(
    model: RegisteredModel,
    folder: pathlib.Path,
    server: FileServer,
    num_bytes: int,
    by_hand: bool,
) -> None:
    server.faults[PB] = [cut_off(num_bytes)]
    if by_hand:
        with pytest.raises(UserError, match="same command again to resume the down"):
            fetch_model(model, folder, limits=ONCE)
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE
    first, second = server.asked_for(PB)
    assert (first.range, first.num_sent) == (None, num_bytes)
    assert second.range == f"bytes={num_bytes}-"
    assert second.num_sent == len(GRAPH) - num_bytes


def test_a_server_without_ranges_sends_the_whole_file_again(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.knows_range = False
    server.faults[PB] = [cut_off(70_000)]
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE
    assert [r.num_sent for r in server.asked_for(PB)] == [70_000, len(GRAPH)]


@pytest.mark.parametrize("respects_if_range", [True, False])
def test_a_file_is_never_joined_from_two_versions(
    model: RegisteredModel,
    folder: pathlib.Path,
    server: FileServer,
    respects_if_range: bool,
) -> None:
    server.respects_if_range = respects_if_range
    server.files[PB] = bytes(len(GRAPH))
    server.faults[PB] = [cut_off(70_000)]
    with pytest.raises(UserError, match="connection lost"):
        fetch_model(model, folder, limits=ONCE)
    server.files[PB] = GRAPH
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE


def test_a_part_from_another_address_is_not_resumed(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.faults[PB] = [cut_off(70_000)]
    with pytest.raises(UserError, match="connection lost"):
        fetch_model(model, folder, limits=ONCE)
    server.files |= {f"/mirror/{NAME}.pb": GRAPH, f"/mirror/{NAME}.json": METADATA}
    fetch_model(model, folder, f"{server.url}/mirror/", IMPATIENT)
    assert files(folder) == COMPLETE
    assert [r.range for r in server.asked_for(f"/mirror/{NAME}.pb")] == [None]


def test_a_part_longer_than_the_file_is_discarded(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.respects_if_range = False
    server.files[PB] = GRAPH * 2
    server.faults[PB] = [cut_off(len(GRAPH) + 1)]
    with pytest.raises(UserError, match="connection lost"):
        fetch_model(model, folder, limits=ONCE)
    server.files[PB] = GRAPH
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer, code: int
) -> None:
    server.faults = {PB: [status(code), status(code)], JSON: [status(code)]}
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE


def test_a_server_that_stops_sending_is_given_up(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.faults[PB] = [hang, hang]
    limits = dataclasses.replace(IMPATIENT, timeout_s=0.1, attempts=2)
    with pytest.raises(UserError, match=r"stopped sending \(2 attempts\)"):
        fetch_model(model, folder, limits=limits)
    assert not files(folder).keys() & COMPLETE.keys()


@pytest.mark.parametrize("code", [403, 404])
def test_a_missing_or_refused_graph_is_reported_without_retries(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer, code: int
) -> None:
    server.faults[PB] = [status(code)]
    with pytest.raises(UserError, match="folder .*with --from"):
        fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == {}
    assert len(server.requests) == 1


def test_a_source_without_metadata_is_accepted(
    model: RegisteredModel,
    folder: pathlib.Path,
    server: FileServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del server.files[JSON]
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == {f"{NAME}.pb": GRAPH}
    assert "assumed to have the classes" in capsys.readouterr().err


@pytest.mark.parametrize("text", [b"<html>", b"[]", b'{"classes": ["a"]}', b"\xff"])
def test_metadata_that_does_not_fit_is_refused(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer, text: bytes
) -> None:
    server.files[JSON] = text
    with pytest.raises(UserError, match="the metadata of http.* cannot be used: "):
        fetch_model(model, folder, limits=IMPATIENT)
    assert not files(folder).keys() & {*COMPLETE, f"{NAME}.json.part"}
    server.files[JSON] = METADATA
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE
    # The graph was complete after the first attempt.
    assert len(server.asked_for(PB)) == 1


@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"]
)
def test_redirects_to_anything_but_http_are_refused(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer, target: str
) -> None:
    server.faults[PB] = [status(302, target)]
    with pytest.raises(UserError, match=target):
        fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == {}


def test_downloads_are_resumed_behind_redirects(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.files["/elsewhere"] = GRAPH
    server.faults[PB] = [status(302, f"{server.url}/elsewhere")] * 2
    server.faults["/elsewhere"] = [cut_off(9)]
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE
    assert server.asked_for("/elsewhere")[1].range == "bytes=9-"


def test_redirects_from_https_to_http_are_refused() -> None:
    with pytest.raises(StorageError, match="begins with https$"):
        check_redirect("https://a", "https://a.invalid/m.pb", "http://a.invalid/")


@pytest.mark.parametrize("has_length", [True, False])
def test_a_file_that_is_too_large_is_refused(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer, has_length: bool
) -> None:
    server.faults[PB] = [] if has_length else [without_length]
    limits = dataclasses.replace(IMPATIENT, max_bytes=100_000)
    with pytest.raises(UserError, match="has more than 0 MB"):
        fetch_model(model, folder, limits=limits)
    assert files(folder) == {}


def test_a_file_of_unstated_length_is_accepted_if_its_hash_is_right(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.faults = {PB: [without_length], JSON: [without_length]}
    fetch_model(model, folder, limits=IMPATIENT)
    assert files(folder) == COMPLETE


def test_a_download_over_its_time_limit_is_given_up(
    model: RegisteredModel, folder: pathlib.Path
) -> None:
    limits = dataclasses.replace(IMPATIENT, total_s=0)
    with pytest.raises(UserError, match="not complete after 0 s"):
        fetch_model(model, folder, limits=limits)
    assert not files(folder).keys() & COMPLETE.keys()


def test_two_processes_can_fetch_the_same_model_at_once(
    model: RegisteredModel, folder: pathlib.Path, server: FileServer
) -> None:
    server.faults[PB] = [hang]
    script = (
        "import json, logging, pathlib, sys; logging.basicConfig(level='ERROR'); "
        "from pipeline.model_files.fetch import fetch_model; "
        "from transforms.models.registry import RegisteredModel; "
        "model = RegisteredModel(**json.loads(sys.argv[1])); "
        "print(fetch_model(model, pathlib.Path(sys.argv[2])))"
    )
    facts = json.dumps(dataclasses.asdict(model))

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script, facts, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    with start() as first, start() as second:
        assert first.stderr and second.stderr
        # The process that comes second waits, because the download of the first hangs.
        lines = sorted(p.readline().split()[0] for p in (first.stderr, second.stderr))
        assert lines == ["downloading", "waiting"]
        assert not (folder / f"{NAME}.pb").exists()
        server.release.set()
        for process in (first, second):
            output, errors = process.communicate(timeout=60)
            assert (process.returncode, output) == (0, f"{folder}/{NAME}.pb\n"), errors
    assert files(folder) == COMPLETE
    assert len(server.asked_for(PB)) == 1


@pytest.mark.parametrize("place", ["file", "file/models", "/proc/models"])
def test_a_folder_that_cannot_be_written_is_refused(
    model: RegisteredModel, tmp_path: pathlib.Path, server: FileServer, place: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="set FSDSINET_MODELS to a folder"):
        fetch_model(model, tmp_path / place)
    assert server.requests == []


def test_a_full_disk_is_reported(model: RegisteredModel, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.pb.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left on device.*free space there"):
        fetch_model(model, folder, limits=IMPATIENT)
    assert not (folder / f"{NAME}.pb").exists()


@pytest.mark.parametrize("with_metadata", [True, False])
def test_a_local_folder_can_be_the_source(
    model: RegisteredModel,
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    server: FileServer,
    with_metadata: bool,
) -> None:
    expected = dict(list(COMPLETE.items())[: 1 + with_metadata])
    for name, data in expected.items():
        (tmp_path / name).write_bytes(data)
    fetch_model(model, folder, str(tmp_path))
    assert files(folder) == expected
    assert server.requests == []


def test_a_wrong_file_in_a_local_folder_is_refused_and_kept(
    model: RegisteredModel, folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{NAME}.pb").write_bytes(GRAPH[:-1])
    with pytest.raises(UserError, match="is not the model"):
        fetch_model(model, folder, str(tmp_path))
    assert files(folder) == {}
    assert (tmp_path / f"{NAME}.pb").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "no folder 'nowhere': expected a folder or an http"),
        ("ftp://example.org/models", "no folder 'ftp://"),
        ("http://", "not a usable address"),
        ("http://127.0.0.1:x", "not a usable address"),
        ("http://127.0.0.1:1/ä", "refused.*with --from"),
        (str(DATA.parent), "is not at .*give another folder or address .* --from"),
    ],
)
def test_wrong_sources_are_refused(
    model: RegisteredModel, folder: pathlib.Path, source: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        fetch_model(model, folder, source, IMPATIENT)


def test_a_bundled_model_is_not_fetched(
    model: RegisteredModel, folder: pathlib.Path
) -> None:
    bundled = dataclasses.replace(model, weights_url=None, metadata_url=None)
    with pytest.raises(UserError, match="nothing to fetch"):
        fetch_model(bundled, folder)
    assert not folder.exists()
