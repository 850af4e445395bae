"""A file from a web server is read completely, or the error names the cause."""

import base64
import dataclasses
import json
import pathlib
import urllib.parse
from collections.abc import Iterator

import pytest

from pipeline.dataset.folder import Dataset
from pipeline.errors import ConfigError
from pipeline.inputs.read_inputs import read_inputs
from tests.conftest import Command
from tests.support.audio_files import ODD_NAMES, make_wav
from tests.support.file_server import (
    Fault,
    FileServer,
    cut_off,
    endless,
    hang,
    huge,
    running_server,
    status,
    trickle,
    without_length,
    wrong_length,
)
from transforms import storage
from transforms.storage import Limits, StorageError, WebStore

LIMITS = Limits(timeout_s=60, total_s=120, attempts=3, backoff_s=0.01, max_bytes=10**6)
# Short, for faults that last until a limit ends them.
LIMITS_OF_FAULT: dict[Fault, Limits] = {
    hang: dataclasses.replace(LIMITS, timeout_s=3),
    trickle: dataclasses.replace(LIMITS, total_s=2),
}
DATA = bytes(range(256)) * 20
SECRET = "s3cr3t"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with running_server() as server:
        server.files["/a.wav"] = DATA
        yield server


@pytest.fixture
def web() -> WebStore:
    return WebStore(LIMITS)


def error_of(web: WebStore, url: str) -> StorageError:
    with pytest.raises(StorageError) as caught:
        web.read(url)
    return caught.value


def test_files_are_read_over_one_connection(server: FileServer, web: WebStore) -> None:
    for _ in range(3):
        assert web.read(f"{server.url}/a.wav") == DATA
    with web.open(f"{server.url}/a.wav") as file:
        assert file.seek(0, 2) == len(DATA)
    assert web.look_up(f"{server.url}/none") is None
    found = web.look_up(f"{server.url}/a.wav")
    assert isinstance(found, storage.FileInfo) and found.size_bytes == len(DATA)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_with_odd_names_are_read(server: FileServer, name: str) -> None:
    """Relative names of a manifest are escaped; escapes in a URL are kept."""
    server.files["/in/" + urllib.parse.quote(name)] = name.encode()
    uri = storage.resolve(f"{server.url}/in", name)
    assert storage.read_file(uri) == name.encode()
    assert storage.file_name(uri) == name
    plain = f"{server.url}/x/{name}"
    if not {"%", "#", "?"} & {*name}:
        asked = urllib.parse.quote(name, safe="!$&'()*+,/:;=?@~")
        server.files["/x/" + asked] = b"plain"
        assert storage.read_file(plain) == b"plain"


@pytest.mark.parametrize(
    "fault", [cut_off(100), cut_off(0), wrong_length, hang, status(503), status(429)]
)
def test_temporary_faults_are_retried(server: FileServer, fault: Fault) -> None:
    # The third answer has to come within the limit too, also on a busy machine.
    timeout_s = 3 if fault is hang else LIMITS.timeout_s
    web = WebStore(dataclasses.replace(LIMITS, timeout_s=timeout_s))
    server.faults["/a.wav"] = [fault, fault]
    assert web.read(f"{server.url}/a.wav") == DATA
    assert len(server.asked_for("/a.wav")) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "words", "num_asked"),
    [
        (cut_off(100), "unreadable", "3 attempts", 3),
        (wrong_length, "unreadable", "3 attempts", 3),
        (hang, "unreadable", "the server stopped sending", 3),
        (trickle, "unreadable", "not complete after 2 s", 1),
        (status(500), "unreadable", "HTTP 500", 3),
        (status(404), "not_found", "HTTP 404", 1),
        (status(410), "not_found", "HTTP 410", 1),
        (status(403), "unreadable", "signature that has not expired", 1),
        (status(401), "unreadable", "the server wants a password", 1),
        (status(418), "unreadable", "HTTP 418", 1),
        (status(304), "unreadable", "HTTP 304", 1),
        (status(302), "unreadable", "HTTP 302", 1),
        (status(302, "file:///etc/passwd"), "unreadable", "redirects to file:", 1),
        (status(302, "ftp://h/a"), "unreadable", "begins with http or https", 1),
        (status(302, "/a.wav"), "unreadable", "more than 5 redirects", 6),
        (huge, "unreadable", "larger than 1 MB", 1),
        (endless, "unreadable", "larger than 1 MB", 1),
    ],
)
def test_errors_name_lasting_faults(
    server: FileServer,
    fault: Fault,
    kind: str,
    words: str,
    num_asked: int,
) -> None:
    web = WebStore(LIMITS_OF_FAULT.get(fault, LIMITS))
    server.faults["/a.wav"] = [fault] * 10
    url = f"{server.url}/a.wav"
    error = error_of(web, f"{url}?X-Signature={SECRET}".replace("?", "#"))
    assert (error.kind, error.uri) == (kind, f"{url}#X-Signature={SECRET}")
    assert words in error.problem
    assert len(server.asked_for("/a.wav")) == num_asked


def test_redirects_do_not_send_the_password_to_another_host(
    server: FileServer, web: WebStore
) -> None:
    seen = []
    with running_server() as other:

        def remember(handler, data, request):  # type: ignore[no-untyped-def]
            seen.append(handler.headers["Authorization"])
            handler.send_file(DATA, request)

        def forward(handler, data, request):  # type: ignore[no-untyped-def]
            seen.append(handler.headers["Authorization"])
            status(302, f"{other.url}/b")(handler, data, request)

        server.faults["/a.wav"] = [forward]
        other.faults["/b"] = [remember]
        url = f"{server.url}/a.wav".replace("://", "://user:p%40ss@")
        assert web.read(url) == DATA
    expected = base64.b64encode(b"user:p@ss").decode()
    assert seen == [f"Basic {expected}", None]


def test_error_without_a_server_shows_no_secret(web: WebStore) -> None:
    with running_server() as server:
        url = server.url
    address = url.replace("://", f"://me:{SECRET}@") + f"/a.wav?key={SECRET}"
    error = error_of(web, address)
    assert "Connection refused" in error.problem
    assert SECRET not in str(error)
    assert error.uri == url.replace("://", "://...@") + "/a.wav?..."


def test_proxy_of_the_environment_is_used(
    server: FileServer, web: WebStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.url.replace("://", "://me:pass@")
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    seen = []

    def remember(handler, data, request):  # type: ignore[no-untyped-def]
        seen.append(handler.headers["Proxy-Authorization"])
        handler.send_file(DATA, request)

    server.faults["http://far.invalid/a.wav"] = [remember]
    assert web.read("http://far.invalid/a.wav") == DATA
    assert seen == ["Basic " + base64.b64encode(b"me:pass").decode()]
    assert web.read(f"{server.url}/a.wav") == DATA
    assert len(server.asked_for("/a.wav")) == 1


def test_body_without_stated_length_is_read(server: FileServer, web: WebStore) -> None:
    server.faults["/a.wav"] = [without_length]
    assert web.read(f"{server.url}/a.wav") == DATA


def test_a_web_server_is_read_only(server: FileServer) -> None:
    for action in (
        storage.delete_file,
        storage.check_writable,
        storage.publish,
        storage.list_files,
    ):
        with pytest.raises(StorageError, match="can only be read|cannot be listed"):
            action(server.url)
    with pytest.raises(ConfigError, match="matches no file"):
        read_inputs([f"{server.url}/*.wav"])


def test_a_run_from_the_web_shows_no_secret(
    server: FileServer,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    """Manifest, model and clips are signed URLs; one clip is missing, one forbidden."""
    signed = f"?X-Amz-Signature={SECRET}"
    wav = make_wav(tmp_path / "a.wav", 30000).read_bytes()
    for path in (tiny_model, tiny_model.with_suffix(".json")):
        server.files[f"/m/{path.name}{signed}"] = path.read_bytes()
    server.files["/in/a%20b%231.wav"] = wav
    server.files[f"/in/b.wav{signed}"] = wav
    server.faults[f"/in/no.wav{signed}"] = [status(403)] * 9
    rows = ["a b#1.wav", f"{server.url}/in/b.wav{signed}"]
    rows += [f"{server.url}/in/{name}.wav{signed}" for name in ("none", "no")]
    lines = [f"{uri},{index}\n" for index, uri in enumerate(rows)]
    server.files[f"/in/m.csv{signed}"] = ("uri,clip_id\n" + "".join(lines)).encode()
    output = tmp_path / "out"
    done = fsdsinet(
        "extract", f"{server.url}/in/m.csv{signed}",
        "--model", f"{server.url}/m/{tiny_model.name}{signed}", "--output", output,
    )  # fmt: skip
    assert "2 clips ok, 2 failed" in done.stdout
    ledger = Dataset(str(output)).read_ledger().to_pylist()
    found = {row["clip_id"]: row["error_type"] for row in ledger}
    assert found == {"0": None, "1": None, "2": "not_found", "3": "unreadable"}
    # Only the uri column, which copies the manifest, may contain the signature.
    assert sorted(row["uri"] for row in ledger)[3].endswith(signed)
    said = [done.stdout, done.stderr, *(str(row["error"]) for row in ledger)]
    assert SECRET not in "".join(said)
    run = (output / "run.json").read_text()
    assert SECRET not in run
    assert json.loads(run)["config"]["inputs"] == [f"{server.url}/in/m.csv?..."]
