"""If a local disk refuses a file, the error names the path and says what to do."""

import contextlib
import errno
import os
import pathlib
import resource
import uuid
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from transforms import storage
from transforms.storage import StorageError

TABLE = pa.table({"n": list(range(100_000))})


def publish_error(path: pathlib.Path, data: bytes = b"x") -> StorageError:
    with pytest.raises(StorageError) as caught, storage.publish(path) as file:
        file.write(data)
    return caught.value


def assert_says(error: StorageError, path: pathlib.Path, problem: str) -> None:
    assert (error.kind, str(error)) == (
        "unwritable",
        f"{path}: cannot be written: {problem}",
    )


@pytest.fixture
def full(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A file whose temporary file is a link to /dev/full, which has no space left."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    number = uuid.uuid4()
    monkeypatch.setattr("transforms.storage.local.uuid.uuid4", lambda: number)
    (tmp_path / f".a.{number.hex}.tmp").symlink_to("/dev/full")
    return tmp_path / "a"


@pytest.mark.parametrize("num_bytes", [1, 10_000_000])
def test_full_disk(full: pathlib.Path, num_bytes: int) -> None:
    assert_says(
        publish_error(full, b"x" * num_bytes),
        full,
        f"No space left on device; free space in {full.parent} and run the same "
        "command again",
    )
    assert not list(full.parent.iterdir())


@pytest.mark.parametrize("write", [pq.write_table, pyarrow.csv.write_csv])
def test_full_disk_while_arrow_writes(
    full: pathlib.Path, write: Callable[[pa.Table, BinaryIO], None]
) -> None:
    with pytest.raises(StorageError, match="No space left on device; free space in"):
        with storage.publish(full) as file:
            write(TABLE, file)
    assert not list(full.parent.iterdir())


def test_file_size_limit(tmp_path: pathlib.Path) -> None:
    with limited(resource.RLIMIT_FSIZE, 1000):
        error = publish_error(tmp_path / "a", b"x" * 10_000)
    assert_says(
        error,
        tmp_path / "a",
        f"File too large; check {tmp_path} and run the same command again",
    )
    assert not list(tmp_path.iterdir())


def test_too_many_open_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").touch()
    remedy = "raise the limit of open files (`ulimit -n`) and run the same command"
    with limited(resource.RLIMIT_NOFILE, 3):
        written = publish_error(tmp_path / "a")
        with pytest.raises(StorageError) as caught:
            storage.read_file(tmp_path / "b")
    assert_says(written, tmp_path / "a", f"Too many open files; {remedy} again")
    assert caught.value.kind == "unreadable" and remedy in str(caught.value)


@contextlib.contextmanager
def limited(kind: int, number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@contextlib.contextmanager
def permissions(folder: pathlib.Path, mode: int) -> Iterator[None]:
    folder.chmod(mode)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("permissions do not stop this user (root): needs another user")
        yield
    finally:
        folder.chmod(0o755)


def test_folder_without_write_permission(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    problem = (
        f"Permission denied; give this user write permission for {folder}, or choose "
        "another folder"
    )
    with permissions(folder, 0o555):
        assert_says(publish_error(folder / "a"), folder / "a", problem)
        assert_says(publish_error(folder / "b/c/a"), folder / "b/c/a", problem)
        for refused, path in (
            (storage.delete_file, folder / "old"),
            (storage.check_writable, folder / "b/c"),
        ):
            with pytest.raises(StorageError) as caught:
                refused(str(path))
            assert_says(caught.value, path, problem)
        with pytest.raises(StorageError) as caught:
            with storage.lock_folder(str(folder / "b"), print):
                pass
        assert_says(caught.value, folder / "b", problem)


def test_folder_without_search_permission(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with permissions(folder, 0):
        with pytest.raises(StorageError, match=f"write permission for {folder}, "):
            storage.check_writable(str(folder / "b/c"))
        assert f"write permission for {folder}, " in str(publish_error(folder / "b/a"))


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EDQUOT, "free space in {} or ask for a larger quota"),
        (errno.EROFS, "mount the disk of {} for writing"),
        (errno.EPERM, "give this user write permission for {}"),
        (errno.EIO, "check {} and run the same command again"),
    ],
)
def test_disk_errors_at_the_end_of_a_write(
    number: int, remedy: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fail)
    error = publish_error(tmp_path / "a")
    assert f"{os.strerror(number)}; {remedy.format(tmp_path)}" in str(error)
    assert not list(tmp_path.iterdir())


def test_file_where_a_folder_is_needed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(StorageError, match="a is a file; choose another folder"):
        storage.check_writable(str(tmp_path / "a/b/c"))
    assert "Not a directory; choose another folder" in str(
        publish_error(tmp_path / "a/b/c")
    )
