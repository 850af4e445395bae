"""Files on the disks of this machine."""

import contextlib
import datetime
import errno
import fcntl
import glob
import io
import os
import pathlib
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Literal

import pyarrow as pa

from transforms.storage.errors import Kind, StorageError
from transforms.storage.store import FILE_STATES, FileInfo, Held, arrow_file, in_blocks
from transforms.storage.uris import local_path

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# First and last time that Python has, in microseconds from 1970. A damaged file system
# may state others.
_FIRST_US, _LAST_US = (
    (time.replace(tzinfo=datetime.UTC) - _EPOCH) // datetime.timedelta(microseconds=1)
    for time in (datetime.datetime.min, datetime.datetime.max)
)
# Errors of rmdir for a folder with files, and for a file.
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_AGAIN = "and run the same command again"
_PERMISSIONS = "give this user write permission for {folder}, or choose another folder"
# What to do about an error of the system, by error number.
_REMEDIES = {
    errno.ENOSPC: f"free space in {{folder}} {_AGAIN}",
    errno.EDQUOT: f"free space in {{folder}} or ask for a larger quota, {_AGAIN}",
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "mount the disk of {folder} for writing, or choose another folder",
    errno.ENOTDIR: "choose another folder",
    errno.EEXIST: "choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: f"raise the limit of open files (`ulimit -n`) {_AGAIN}",
    errno.ENFILE: f"stop other programs that have files open {_AGAIN}",
}


class LocalStore:
    """Files on local disks, and on file systems that are mounted as local."""

    def read(self, uri: str) -> bytes:
        with self.open(uri) as file, _problems(uri):
            return file.read()

    def open(self, uri: str) -> BinaryIO:
        with _problems(uri):
            path = local_path(uri)
            # Reading from a pipe or a device could block the worker for ever.
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise IsADirectoryError
            return open(path, "rb")

    def open_arrow(self, uri: str) -> pa.NativeFile:
        with _problems(uri):
            # As bytes, because Arrow takes only UTF-8 for text.
            path = os.fsencode(local_path(uri))
            # An empty file cannot be memory-mapped.
            return pa.memory_map(path) if os.path.getsize(path) else arrow_file(b"")

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
                # Links to folders are followed, but each folder is listed only once.
                seen.add(os.path.realpath(parent))
                folders[:] = sorted(
                    name
                    for name in folders
                    if recursive
                    and (hidden or not name.startswith("."))
                    and os.path.realpath(os.path.join(parent, name)) not in seen
                )
        return [_info(path) for path in sorted(found)]

    def states(self, uris: pa.ChunkedArray) -> pa.Table:
        tables = [FILE_STATES.empty_table()]
        for some in map(pa.Array.dictionary_encode, in_blocks(uris)):
            tables.append(_states(some.dictionary.to_pylist()).take(some.indices))
        return pa.concat_tables(tables)

    def names(self, folder: str) -> set[str]:
        with _problems(folder):
            return set(os.listdir(folder)) if os.path.exists(folder) else set()

    def glob(self, pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
        matches = sorted(glob.glob(local_path(pattern), recursive=True))
        files = [_info(os.path.abspath(m)) for m in matches if os.path.isfile(m)]
        return files, [os.path.abspath(m) for m in matches if os.path.isdir(m)]

    @contextlib.contextmanager
    def publish(self, uri: str) -> Iterator[BinaryIO]:
        """Writes a hidden temporary file to disk, then renames it to its final name.

        The rename is atomic. If the block raises an exception, no file is left.
        """
        with _problems(uri, "unwritable"):
            final = pathlib.Path(local_path(uri))
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
            writer = io.BufferedWriter(_NewFile(temporary, uri))
        try:
            with writer:
                yield writer
                with _problems(uri, "unwritable"):
                    writer.flush()
                    os.fsync(writer.fileno())
            with _problems(uri, "unwritable"):
                os.replace(temporary, final)
        finally:
            # A disk that fails here must not hide the error that came first.
            with contextlib.suppress(OSError):
                temporary.unlink()

    def create(self, uri: str) -> bool:
        with _problems(uri, "unwritable"):
            path = local_path(uri)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                return False
            return True

    def delete(self, uri: str) -> None:
        with _problems(uri, "unwritable"), contextlib.suppress(FileNotFoundError):
            os.unlink(local_path(uri))

    def delete_folder(self, folder: str) -> None:
        with _problems(folder, "unwritable"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(local_path(folder))

    def move(self, uri: str, to: str) -> None:
        """Renames a file. The new name is on the disk before this returns."""
        with _problems(to, "unwritable"):
            folder = os.path.dirname(local_path(to))
            os.makedirs(folder, exist_ok=True)
            os.replace(local_path(uri), local_path(to))
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def prune(self, folder: str, root: str) -> None:
        with _problems(folder, "unwritable"):
            while folder != root:
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    # A killed process may have deleted the folder, but not its parents.
                    pass
                except OSError as error:
                    if error.errno in _NOT_EMPTY:
                        return
                    raise
                folder = os.path.dirname(folder)

    def check_writable(self, folder: str) -> None:
        try:
            folder.encode("utf-8")
        except UnicodeEncodeError as error:
            problem = f"{folder!r} is not a UTF-8 name"
            raise StorageError("unwritable", folder, problem) from error
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise StorageError("unwritable", folder, "is a file, expected a folder")
        existing = os.path.abspath(folder)
        while not os.path.exists(existing):
            existing = os.path.dirname(existing)
        with _problems(folder, "unwritable"):
            if not os.path.isdir(existing):
                raise NotADirectoryError(errno.ENOTDIR, f"{existing} is a file")
            if os.statvfs(existing).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            if not os.access(existing, os.W_OK | os.X_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    @contextlib.contextmanager
    def lock(self, folder: str, say: Callable[[str], None]) -> Iterator[Held]:
        """Locks the folder with flock; the system unlocks it when the process ends."""
        with _problems(folder, "unwritable"):
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            with _problems(folder, "unwritable"):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise StorageError(
                        "locked",
                        folder,
                        "another run is writing to it; wait or stop it",
                    ) from error
            yield _SystemLock()
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


class _SystemLock:
    """A lock that the system keeps for this process; no other run can take it."""

    def is_held(self) -> bool:
        return True


class _NewFile(io.FileIO):
    """A new file that raises StorageError if the system cannot write to it."""

    def __init__(self, path: pathlib.Path, uri: str) -> None:
        super().__init__(path, "wb")
        self._uri = uri

    def write(self, data: Any) -> int:
        with _problems(self._uri, "unwritable"):
            return super().write(data)


def _info(path: str) -> FileInfo:
    """Describes a file. A broken link has no size; its clip fails in the ledger."""
    try:
        status = os.stat(path)
    except OSError:
        return FileInfo(path)
    time_us = _modified_us(status)
    if time_us is None:
        return FileInfo(path, status.st_size)
    modified = _EPOCH + datetime.timedelta(microseconds=time_us)
    return FileInfo(path, status.st_size, modified)


def _states(uris: Sequence[str]) -> pa.Table:
    """FILE_STATES of files."""
    sizes: list[int | None] = []
    times_us: list[int | None] = []
    for uri in uris:
        # Not contextlib.suppress, and not FileInfo: there may be millions of files.
        try:
            status = os.stat(local_path(uri))
        except (OSError, ValueError):
            sizes.append(None)
            times_us.append(None)
            continue
        sizes.append(status.st_size)
        times_us.append(_modified_us(status))
    found = pa.array(sizes, pa.int64())
    times = pa.array(times_us, pa.int64()).cast(FILE_STATES.field("modified").type)
    return pa.table([found, times, found.is_valid()], FILE_STATES)


def _modified_us(status: os.stat_result) -> int | None:
    """Time of a file's last change, microseconds from 1970; None if out of range."""
    time_us = status.st_mtime_ns // 1000
    return time_us if _FIRST_US <= time_us <= _LAST_US else None


@contextlib.contextmanager
def _problems(uri: str, otherwise: Kind = "unreadable") -> Iterator[None]:
    """Raises errors of the system as StorageError.

    Args:
        uri: File or folder that is read or written.
        otherwise: Kind of the error, unless the error has a kind of its own.
    """
    try:
        yield
    except IsADirectoryError as error:
        problem = "got a directory or device, expected a file"
        raise StorageError("not_a_file", uri, problem) from error
    except (OSError, ValueError) as error:
        if otherwise == "unwritable":
            problem = f"cannot be written: {_write_problem(uri, error)}"
        elif isinstance(error, FileNotFoundError):
            otherwise, problem = "not_found", "no such file; check its path"
        elif isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            problem = f"{error.strerror}; {_REMEDIES[error.errno]}"
        else:
            problem = f"{error}; check the name and permissions"
        raise StorageError(otherwise, uri, problem) from error


def _write_problem(uri: str, error: OSError | ValueError) -> str:
    """Why a file or folder cannot be written, and what to do."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    folder = os.path.abspath(local_path(uri))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    remedy = _REMEDIES.get(error.errno, f"check {{folder}} {_AGAIN}")
    return f"{error.strerror}; {remedy.format(folder=folder)}"
