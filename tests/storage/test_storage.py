"""All stores behave the same: local disk, S3 (MinIO) and Google (emulated)."""

import contextlib
import datetime
import hashlib
import os
import pathlib
import pickle
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.audio_files import ODD_NAMES
from tests.support.file_server import running_server
from tests.support.object_stores import (
    CuttingProxy,
    environment,
    make_google_bucket,
    make_s3_bucket,
    running_google,
    running_minio,
    s3_environment,
)
from transforms import storage
from transforms.storage import StorageError
from transforms.storage.lease import Lease

S3 = pytest.param("s3", marks=pytest.mark.minio)


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_minio(tmp_path_factory.mktemp("minio")) as url:
        with environment(**s3_environment(url)):
            make_s3_bucket("bucket")
            yield url


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with running_google() as url, environment(STORAGE_EMULATOR_HOST=url):
        make_google_bucket(url, "bucket")
        yield url


@pytest.fixture(params=["file", S3, "gs"])
def root(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """A new folder in each store."""
    if request.param == "file":
        return str(tmp_path / "root")
    request.getfixturevalue({"s3": "minio", "gs": "google"}[request.param])
    return f"{request.param}://bucket/{tmp_path.name}"


def put(uri: str, data: bytes = b"x") -> str:
    with storage.publish(uri) as file:
        file.write(data)
    return uri


def names_of(root: str, recursive: bool = True, hidden: bool = False) -> list[str]:
    found = storage.list_files(root, recursive, hidden)
    return [info.uri[len(root) + 1 :] for info in found]


def test_written_bytes_are_read_back(root: str) -> None:
    uri = put(f"{root}/deep/er/a.bin", b"first")
    assert storage.read_file(put(uri, bytes(range(256)) * 40)) == bytes(range(256)) * 40
    with storage.open_file(uri) as file:
        file.seek(-2, os.SEEK_END)
        assert file.read() == b"\xfe\xff"
    assert storage.open_arrow(uri).read() == storage.read_file(uri)
    assert storage.read_file(put(f"{root}/empty", b"")) == b""


def test_a_file_is_created_once_and_a_folder_deleted_with_everything(root: str) -> None:
    uri = f"{root}/in/notes/taken-1"
    assert storage.create_file(uri)
    assert not storage.create_file(uri)
    assert storage.read_file(uri) == b""
    put(f"{root}/in/notes/.hidden/a")
    put(f"{root}/other")
    for _ in range(2):
        storage.delete_folder(f"{root}/in")
        assert names_of(root, hidden=True) == ["other"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_with_odd_names_are_written_and_read(root: str, name: str) -> None:
    uri = put(storage.join(root, "in", name), name.encode())
    assert names_of(root) == [f"in/{name}"]
    assert storage.read_file(uri) == name.encode()
    assert storage.file_name(uri) == name
    storage.delete_file(uri)
    assert storage.look_up(uri) is None


def test_listing_has_sizes_and_dates(root: str) -> None:
    put(f"{root}/b.bin", b"12345")
    put(f"{root}/a/c.bin", b"123")
    (first, second) = storage.list_files(root, recursive=True)
    assert (first.uri, first.size_bytes) == (f"{root}/a/c.bin", 3)
    assert (second.uri, second.size_bytes) == (f"{root}/b.bin", 5)
    age = datetime.datetime.now(datetime.UTC) - second.modified  # type: ignore[operator]
    assert abs(age) < datetime.timedelta(minutes=5)
    assert names_of(root, recursive=False) == ["b.bin"]
    assert storage.list_names(root) == {"a", "b.bin"}
    asked = [f"{root}/none", "https://host.invalid/a", first.uri, "x://y/z"]
    known = storage.states_of(pa.chunked_array([asked]))
    assert known["is_found"].to_pylist() == [False, None, True, False]
    assert known["size_bytes"].to_pylist() == [None, None, 3, None]
    assert known["modified"].to_pylist() == [None, None, first.modified, None]
    assert storage.look_up(second.uri) == second
    assert storage.look_up(f"{root}/a") == "folder"
    # A folder whose name begins with the same letters is another folder.
    put(f"{root}/a2/d.bin")
    assert names_of(f"{root}/a") == ["c.bin"]


def test_files_of_several_folders_are_looked_up_in_any_order(root: str) -> None:
    sizes: dict[str, int | None] = {f"{root}/none/1": None, f"{root}/a/4": None}
    for folder, count in (("a", 2), ("a/b", 3), ("c", 1)):
        for size in range(1, count + 1):
            sizes[put(f"{root}/{folder}/{size}", bytes(size))] = size
    put(f"{root}/c/unasked")
    uris = [*sizes] * 2
    order = np.random.default_rng(0).permutation(len(uris))
    mixed = [uris[i] for i in order]
    states = storage.states_of(pa.chunked_array([mixed, uris]))
    expected = [sizes[uri] for uri in (*mixed, *uris)]
    assert states["size_bytes"].to_pylist() == expected
    assert states["is_found"].to_pylist() == [bool(size) for size in expected]


def test_hidden_files_are_listed_only_if_asked_for(root: str) -> None:
    for name in (".hidden", ".git/config", "a/.x", "a/y", "z"):
        put(f"{root}/{name}")
    assert names_of(root) == ["a/y", "z"]
    assert len(names_of(root, hidden=True)) == 5


def test_missing_files_are_reported_as_missing(root: str) -> None:
    assert names_of(root) == [] and storage.list_names(root) == set()
    assert storage.look_up(f"{root}/a") is None
    storage.delete_file(f"{root}/a")
    with pytest.raises(StorageError) as caught:
        storage.read_file(f"{root}/a")
    assert caught.value.kind == "not_found"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.kind, str(again)) == ("not_found", str(caught.value))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.wav", (["a.wav", "b.wav"], [])),
        ("?.wav", (["a.wav", "b.wav"], [])),
        ("[!a].wav", (["b.wav"], [])),
        ("*/*.wav", (["d/a.wav"], [])),
        ("**/*.wav", (["a.wav", "b.wav", "d/a.wav", "d/e/f.wav"], [])),
        ("d*", (["dx"], ["d"])),
        ("d/**", (["d/a.wav", "d/e/f.wav"], None)),
        ("*/**", (["d/a.wav", "d/e/f.wav"], None)),
        ("*/e/*", (["d/e/f.wav"], [])),
        ("none*", ([], [])),
        ("[x]*.txt", ([], [])),
    ],
)
def test_patterns_match_as_in_pythons_glob(
    root: str, pattern: str, expected: tuple[list[str], list[str] | None]
) -> None:
    for name in ("a.wav", "b.wav", ".c.wav", "d/a.wav", "d/e/f.wav", "dx", "[x].txt"):
        put(f"{root}/{name}")
    files, folders = storage.glob_files(f"{root}/{pattern}")
    assert [info.uri[len(root) + 1 :] for info in files] == expected[0]
    if expected[1] is not None:
        assert [uri[len(root) + 1 :] for uri in folders] == expected[1]


def test_error_while_writing_keeps_the_old_file(root: str) -> None:
    uri = put(f"{root}/a", b"before")
    with pytest.raises(ZeroDivisionError), storage.publish(uri) as file:
        file.write(b"half")
        raise ZeroDivisionError
    with contextlib.suppress(ZeroDivisionError), storage.publish(f"{root}/b"):
        raise ZeroDivisionError
    assert names_of(root, hidden=True) == ["a"]
    assert storage.read_file(uri) == b"before"


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b""])
def test_a_file_for_arrow_holds_nothing_of_python(data: bytes) -> None:
    num_references = sys.getrefcount(data)
    file = storage.arrow_file(data)
    assert sys.getrefcount(data) == num_references
    assert file.size() == len(data) and file.read() == data


def test_parquet_is_read(root: str) -> None:
    parts = [f"{root}/k=v/part {index}#.parquet" for index in range(2)]
    for index, uri in enumerate(parts):
        with storage.publish(uri) as file:
            pq.write_table(pa.table({"n": [index]}), file)
    tables = [pq.ParquetFile(storage.open_arrow(uri)).read() for uri in parts]
    assert [table.to_pydict() for table in tables] == [{"n": [0]}, {"n": [1]}]


def test_empty_folders_are_removed_up_to_the_root(root: str) -> None:
    for name in ("run.json", "t/a/p", "t/b/p"):
        put(f"{root}/{name}")
    storage.delete_file(f"{root}/t/a/p")
    storage.prune_folder(f"{root}/t/a", root)
    assert storage.list_names(f"{root}/t") == {"b"}
    storage.delete_file(f"{root}/t/b/p")
    storage.prune_folder(f"{root}/t/b", root)
    assert storage.list_names(root) == {"run.json"}


def test_a_removal_of_empty_folders_that_was_killed_is_ended_by_the_next(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "t").mkdir()
    storage.prune_folder(f"{tmp_path}/t/gone", str(tmp_path))
    assert not storage.list_names(str(tmp_path))


def test_check_writable_refuses_a_file(root: str) -> None:
    storage.check_writable(f"{root}/new")
    put(f"{root}/a")
    with pytest.raises(StorageError, match="is a file, expected a folder"):
        storage.check_writable(f"{root}/a")


def test_lock_excludes_other_runs_until_it_is_released(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.storage.lease.RENEW_S", 0.1)
    said: list[str] = []
    with storage.lock_folder(root, said.append) as held:
        assert held.is_held()
        with pytest.raises(StorageError) as caught:
            with storage.lock_folder(root, said.append):
                pass
        assert caught.value.kind == "locked"
        assert held.is_held()
    with storage.lock_folder(root, said.append) as held:
        assert held.is_held()
    assert storage.list_names(root) == set()


def test_lock_is_taken_over_only_from_a_dead_holder(
    google: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr("transforms.storage.lease.RENEW_S", 0.5)
    monkeypatch.setattr("transforms.storage.lease.LEASE_S", 0.5)
    folder, said = f"gs://bucket/{tmp_path.name}", list[str]()
    # The holder is on another machine and does not renew the lock.
    put(f"{folder}/run.lock", b'{"token": "other", "machine": "far away", "pid": 1}')
    with storage.lock_folder(folder, said.append) as held:
        assert held.is_held()
    assert len(said) == 1
    # The holder is on another machine and alive.
    with storage.lock_folder(folder, said.append), monkeypatch.context() as patch:
        patch.setattr("transforms.storage.lease._is_holder_alive", lambda content: None)
        # A busy machine may renew the lock late.
        patch.setattr("transforms.storage.lease.LEASE_S", 120)
        with pytest.raises(StorageError, match="another run is writing"):
            with storage.lock_folder(folder, said.append):
                pass
    assert len(said) == 2
    # The holder was on this machine and is dead: no wait is needed.
    dead = Lease(storage.store_for(folder), f"{folder}/run.lock")
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: 2**22 + 1)
        dead.acquire(said.append)
    with storage.lock_folder(folder, said.append) as held:
        assert held.is_held() and not dead.is_held()
    assert len(said) == 2


@pytest.mark.minio
def test_unusable_uris_are_refused(minio: str) -> None:
    for uri in ("s3://bucket/http://x/y.wav", "s3://bucket/a/../b", "s3://bucket/./a"):
        with pytest.raises(StorageError, match="copy the object to another key"):
            storage.read_file(uri)
    with pytest.raises(StorageError) as caught:
        storage.read_file("s3://key:secret@bucket/a")
    assert "no password" in str(caught.value) and "secret" not in str(caught.value)
    for action, kind in ((storage.read_file, "not_found"), (put, "unwritable")):
        with pytest.raises(StorageError) as caught:
            action("s3://other/a")
        assert caught.value.kind == kind


@pytest.mark.minio
@pytest.mark.parametrize(
    ("size", "shares"),
    [(3000, (0.0, 0.02, 0.3, 0.6, 0.9, 0.999)), (15_000_000, (0.3, 0.8))],
)
def test_interrupted_write_leaves_no_object(
    minio: str, size: int, shares: tuple[float, ...]
) -> None:
    """Small objects are sent in one request, large objects in parts."""
    data, uri = os.urandom(size), f"s3://bucket/cut/{size}"
    for share in shares:
        proxy = CuttingProxy(minio)
        try:
            with environment(AWS_ENDPOINT_URL=proxy.url, FSDSINET_ATTEMPTS="1"):
                proxy.cut_after = int(share * size)
                with pytest.raises(StorageError, match="cannot be written"):
                    put(uri, data)
            assert storage.look_up(uri) is None
        finally:
            proxy.close()
    assert storage.read_file(put(uri, data)) == data


@pytest.mark.minio
@pytest.mark.parametrize("num_bytes", [0, 700, 150_000, 299_000])
def test_interrupted_read_is_an_error(minio: str, num_bytes: int) -> None:
    uri = put("s3://bucket/half", os.urandom(300_000))
    proxy = CuttingProxy(minio)
    proxy.cut_answers_after = num_bytes
    try:
        with environment(AWS_ENDPOINT_URL=proxy.url, FSDSINET_ATTEMPTS="1"):
            with pytest.raises(StorageError) as caught:
                storage.read_file(uri)
    finally:
        proxy.close()
    assert caught.value.kind == "unreadable"


@pytest.mark.minio
def test_read_from_a_store_that_stops_answering_is_an_error(minio: str) -> None:
    uri = put("s3://bucket/silent", b"x" * 1000)
    proxy = CuttingProxy(minio)
    proxy.stalls, proxy.cut_after = True, 0
    variables = {"FSDSINET_ATTEMPTS": "1", "FSDSINET_TIMEOUT_S": "1"}
    try:
        with environment(AWS_ENDPOINT_URL=proxy.url, **variables):
            with pytest.raises(StorageError) as caught:
                storage.read_file(uri)
    finally:
        proxy.close()
    assert caught.value.kind == "unreadable"


@pytest.mark.minio
@pytest.mark.parametrize("secret", [None, "wrong"])
def test_error_without_credentials_names_the_variables(
    minio: str, secret: str | None, tmp_path: pathlib.Path
) -> None:
    put("s3://bucket/private")
    key = None if secret is None else "test-key"
    with environment(
        AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, HOME=str(tmp_path)
    ):
        for action in (storage.read_file, storage.look_up, storage.list_files):
            with pytest.raises(StorageError, match="set AWS_ACCESS_KEY_ID"):
                action("s3://bucket/private")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "FSDSINET_TIMEOUT_S"])
def test_invalid_environment_variables_are_refused(variable: str) -> None:
    with environment(**{variable: "user:word@host"}):
        with pytest.raises(StorageError, match=variable) as caught:
            storage.read_file("s3://bucket/a")
        assert variable != "AWS_ENDPOINT_URL" or "word@" not in str(caught.value)


def test_local_copy_is_made_once_and_has_the_expected_sha256(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(storage.COPIES_VARIABLE, str(tmp_path / "copies"))
    digest = hashlib.sha256(b"graph").hexdigest()
    with running_server() as server:
        server.files["/m.pb"] = b"graph"
        uri = f"{server.url}/m.pb"
        copy = storage.local_copy(uri, digest)
        assert (copy.name, copy.read_bytes()) == ("m.pb", b"graph")
        # A damaged copy is replaced, an intact copy is used.
        copy.write_bytes(b"damaged")
        assert storage.local_copy(uri, digest).read_bytes() == b"graph"
        assert storage.local_copy(uri, digest) == copy
        assert len(server.asked_for("/m.pb")) == 2
        server.files["/m.pb"] = b"another"
        copy.unlink()
        with pytest.raises(StorageError, match="has changed since the run began"):
            storage.local_copy(uri, digest)
        assert not copy.exists()
    assert storage.local_copy(str(copy), digest) == copy
