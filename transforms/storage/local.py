"""Files of this machine."""

import contextlib
import datetime
import fcntl
import glob
import os
import pathlib
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.dataset as ds

from transforms.storage.errors import Kind, StorageError
from transforms.storage.store import FileInfo, Held, always_held
from transforms.storage.uris import local_path


class LocalStore:
    """Local disks and what is mounted like one."""

    def read(self, uri: str) -> bytes:
        with self.open(uri) as file, _problems(uri):
            return file.read()

    def open(self, uri: str) -> BinaryIO:
        with _problems(uri):
            path = local_path(uri)
            # A pipe or a device would keep the worker waiting for ever.
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise IsADirectoryError
            return open(path, "rb")

    def open_arrow(self, uri: str) -> pa.NativeFile:
        with _problems(uri):
            path = local_path(uri)
            # Nothing cannot be mapped.
            return (
                pa.memory_map(path) if os.path.getsize(path) else pa.BufferReader(b"")
            )

    def look_up(self, uri: str) -> FileInfo | Literal["folder"] | None:
        with _problems(uri):
            path = os.path.abspath(local_path(uri))
            if os.path.isdir(path):
                return "folder"
            return _info(path) if os.path.isfile(path) else None

    def files(self, folder: str, recursive: bool, hidden: bool) -> Sequence[FileInfo]:
        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        found = []
        seen: set[str] = set()
        with _problems(folder):
            for parent, folders, names in os.walk(
                local_path(folder), onerror=refuse, followlinks=True
            ):
                found += [
                    os.path.join(parent, name)
                    for name in names
                    if hidden or not name.startswith(".")
                ]
                # Links to folders are followed, each folder once.
                seen.add(os.path.realpath(parent))
                folders[:] = sorted(
                    name
                    for name in folders
                    if recursive
                    and (hidden or not name.startswith("."))
                    and os.path.realpath(os.path.join(parent, name)) not in seen
                )
        return [_info(path) for path in sorted(found)]

    def sizes(self, uris: Sequence[str]) -> dict[str, int | None]:
        return {uri: _size(uri) for uri in uris}

    def names(self, folder: str) -> set[str]:
        with _problems(folder):
            return set(os.listdir(folder)) if os.path.exists(folder) else set()

    def glob(self, pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
        matches = sorted(glob.glob(local_path(pattern), recursive=True))
        files = [_info(os.path.abspath(m)) for m in matches if os.path.isfile(m)]
        return files, [os.path.abspath(m) for m in matches if os.path.isdir(m)]

    @contextlib.contextmanager
    def publish(self, uri: str) -> Iterator[BinaryIO]:
        """The bytes go to a hidden temporary file beside it, reach the disk, and get
        the final name by an atomic rename. An exception in the block leaves nothing.
        """
        with _problems(uri, "unwritable"):
            final = pathlib.Path(local_path(uri))
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
            writer = open(temporary, "wb")
        try:
            with writer:
                yield writer
                with _problems(uri, "unwritable"):
                    writer.flush()
                    os.fsync(writer.fileno())
            with _problems(uri, "unwritable"):
                os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, uri: str) -> None:
        with _problems(uri, "unwritable"), contextlib.suppress(FileNotFoundError):
            os.unlink(local_path(uri))

    def prune(self, folder: str, root: str) -> None:
        with _problems(folder, "unwritable"):
            while folder != root and os.path.isdir(folder) and not os.listdir(folder):
                os.rmdir(folder)
                folder = os.path.dirname(folder)

    def check_writable(self, folder: str) -> None:
        try:
            folder.encode("utf-8")
        except UnicodeEncodeError as error:
            problem = f"{folder!r} is not a UTF-8 name"
            raise StorageError("unwritable", folder, problem) from error
        existing = pathlib.Path(folder)
        if existing.exists() and not existing.is_dir():
            raise StorageError("unwritable", folder, "is a file, expected a folder")
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            problem = f"cannot be written: check {existing}"
            raise StorageError("unwritable", folder, problem)

    @contextlib.contextmanager
    def lock(self, folder: str, say: Callable[[str], None]) -> Iterator[Held]:
        """The lock belongs to the process, not to a file: a killed run leaves none."""
        with _problems(folder, "unwritable"):
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StorageError(
                    "locked", folder, "another run is writing to it; wait or stop it"
                ) from error
            with always_held() as held:
                yield held
        finally:
            os.close(descriptor)

    def is_locked(self, folder: str) -> bool:
        with _problems(folder):
            descriptor = os.open(local_path(folder), os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def dataset(self, uris: Sequence[str]) -> ds.Dataset:
        with _problems(uris[0]):
            return ds.dataset([local_path(uri) for uri in uris], format="parquet")


def _size(uri: str) -> int | None:
    try:
        return os.stat(local_path(uri)).st_size
    except (OSError, ValueError):
        return None


def _info(path: str) -> FileInfo:
    """Without size for a link to nothing: its row fails in the ledger."""
    try:
        status = os.stat(path)
    except OSError:
        return FileInfo(path)
    modified = datetime.datetime.fromtimestamp(int(status.st_mtime), datetime.UTC)
    return FileInfo(path, status.st_size, modified)


@contextlib.contextmanager
def _problems(uri: str, otherwise: Kind = "unreadable") -> Iterator[None]:
    """Errors of the system as StorageError."""
    kind = otherwise
    try:
        yield
        return
    except FileNotFoundError as error:
        cause: Exception = error
        kind = "not_found" if otherwise == "unreadable" else otherwise
        problem = "no such file; check its path"
        if otherwise != "unreadable":
            problem = f"cannot be written: {error.strerror}"
    except IsADirectoryError as error:
        cause, kind = error, "not_a_file"
        problem = "got a directory or device, expected a file"
    except (OSError, ValueError) as error:
        cause = error
        problem = f"{error}; check the name and permissions"
        if otherwise == "unwritable":
            problem = f"cannot be written: {error}"
    raise StorageError(kind, uri, problem) from cause
