"""Files in buckets: Amazon S3, stores with the same API, and Google Cloud Storage.

pyarrow.fs is used, with one filesystem for each bucket and process, because it keeps
its connections. Beam's own filesystems build a client for every call, and publish half
an object when an exception leaves the block that writes it.
"""

import contextlib
import functools
import io
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

from transforms.storage.clients import open_bucket, remedy_for
from transforms.storage.errors import Kind, StorageError
from transforms.storage.folder_states import Listing, folder_states
from transforms.storage.lease import is_leased, lease
from transforms.storage.ranges import WHOLE_BYTES, RangedFile
from transforms.storage.store import FileInfo, Held, arrow_file
from transforms.storage.uris import (
    has_magic,
    join,
    matches,
    scheme_of,
    shown,
)

# The last one: an object was deleted after its size was asked for.
_NOT_THERE = (
    "NO_SUCH_BUCKET",
    "NO_SUCH_KEY",
    "bucket does not exist",
    "RESOURCE_NOT_FOUND",
)


class ObjectStore:
    """Files in buckets. A folder is the common start of the keys of its files."""

    def read(self, uri: str) -> bytes:
        with _problems(uri):
            filesystem, path = _locate(uri)
            if isinstance(filesystem, pafs.GcsFileSystem):
                # Google's library compares checksums.
                with filesystem.open_input_stream(path) as file:
                    return file.read()
            with filesystem.open_input_file(path) as file:
                return _whole(file)

    def open(self, uri: str) -> BinaryIO:
        """Opens a file; a large object of S3 is read in parts.

        Files in Google's stores are read whole: in the emulator of such a store,
        Arrow's file for reading parts counts as closed when it was opened.
        """
        if scheme_of(uri) != "s3":
            return io.BytesIO(self.read(uri))
        with _problems(uri):
            filesystem, path = _locate(uri)
            file = filesystem.open_input_file(path)
            if file.size() <= WHOLE_BYTES:
                with file:
                    return io.BytesIO(_whole(file))
            fetch = functools.partial(_fetch, uri, file)
            return cast(BinaryIO, RangedFile(file.size(), fetch))

    def open_arrow(self, uri: str) -> pa.NativeFile:
        """Opens a file for Arrow, which reads only parts of a large object of S3."""
        if scheme_of(uri) != "s3":
            return arrow_file(self.read(uri))
        with _problems(uri):
            filesystem, path = _locate(uri)
            file = filesystem.open_input_file(path)
            if file.size() > WHOLE_BYTES:
                return file
            with file:
                return arrow_file(_whole(file))

    def look_up(self, uri: str) -> FileInfo | Literal["folder"] | None:
        with _problems(uri):
            filesystem, path = _locate(uri)
            entry = filesystem.get_file_info(path)
        if entry.type == pafs.FileType.Directory:
            return "folder"
        return _info(uri, entry) if entry.type == pafs.FileType.File else None

    def files(self, folder: str, recursive: bool, hidden: bool) -> Sequence[FileInfo]:
        files = self._entries(folder, recursive)[0]
        start = len(folder.rstrip("/")) + 1
        return [
            info
            for info in files
            if hidden or not re.search(r"(^|/)\.", info.uri[start:])
        ]

    def states(self, uris: pa.ChunkedArray) -> pa.Table:
        """Lists every folder once; with too many folders all files stay unknown."""
        return folder_states(uris, self._listing)

    def _listing(self, folder: str) -> Listing | None:
        """Lists the files of a folder; None if it cannot be listed."""
        try:
            start, entries = self._below(folder, recursive=False)
        except StorageError:
            # A clip with a uri that cannot be read fails later, in the ledger.
            return None
        files = [
            entry
            for entry in entries
            if entry.type == pafs.FileType.File and "/" not in entry.path[start:]
        ]
        names = pa.array([entry.path[start:] for entry in files], pa.string())
        num_bytes = np.array([entry.size for entry in files], np.int64)
        times_ns = np.array([entry.mtime_ns for entry in files], np.int64)
        return Listing(names, num_bytes, times_ns // 1000)

    def names(self, folder: str) -> set[str]:
        files, folders = self._entries(folder, recursive=False)
        uris = [*(info.uri for info in files), *folders]
        return {uri.rpartition("/")[2] for uri in uris}

    def glob(self, pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
        folder = pattern
        while has_magic(folder):
            folder = posixpath.dirname(folder)
        if folder.endswith(":/"):
            problem = "a pattern cannot stand for buckets; name the bucket"
            raise StorageError("not_found", pattern, problem)
        below = pattern[len(folder) + 1 :].rstrip("/")
        files, folders = self._entries(folder, "/" in below or "**" in below)
        wanted = pattern.rstrip("/")
        found = [info for info in files if matches(wanted, info.uri)]
        if pattern.endswith("/"):
            found = []
        return found, [uri for uri in folders if matches(wanted, uri)]

    def _entries(
        self, folder: str, recursive: bool
    ) -> tuple[list[FileInfo], list[str]]:
        """Lists the files and the folders in a folder, each sorted."""
        start, entries = self._below(folder, recursive)
        scheme = scheme_of(folder)
        files, folders = [], set()
        for entry in entries:
            uri = f"{scheme}://{entry.path}"
            inner = entry.path[start:].split("/")
            depth = len(inner) if recursive else 1
            folders |= {join(folder, *inner[:n]) for n in range(1, len(inner))[:depth]}
            if entry.type == pafs.FileType.Directory and len(inner) <= depth:
                folders.add(uri)
            elif entry.type == pafs.FileType.File and len(inner) <= depth:
                files.append(_info(uri, entry))
        return sorted(files, key=lambda info: info.uri), sorted(folders)

    def _below(self, folder: str, recursive: bool) -> tuple[int, list[pafs.FileInfo]]:
        """Lists what is in a folder.

        Returns:
            Where the names below the folder start in the paths of the entries, and the
            entries.
        """
        with _problems(folder):
            filesystem, path = _locate(folder)
            # In Google's stores Arrow lists everything below, but only files.
            is_flat = isinstance(filesystem, pafs.GcsFileSystem)
            selector = pafs.FileSelector(
                path, recursive=recursive or is_flat, allow_not_found=True
            )
            return len(path) + 1, filesystem.get_file_info(selector)

    @contextlib.contextmanager
    def publish(self, uri: str) -> Iterator[BinaryIO]:
        """Collects the bytes in memory and sends them when the block ends.

        Nothing is sent if the block raises an exception. A store shows an object only
        when it is complete, so no rename is needed.
        """
        buffer = io.BytesIO()
        yield buffer
        with _problems(uri, "unwritable"):
            filesystem, path = _locate(uri)
            stream = filesystem.open_output_stream(path)
            # Not in a `with` block: closing after an error would publish a part.
            stream.write(buffer.getbuffer())
            stream.close()

    def create(self, uri: str) -> bool:
        """Not atomic: Arrow cannot ask a store to write an object only if it is new."""
        if self.look_up(uri):
            return False
        with self.publish(uri):
            return True

    def delete(self, uri: str) -> None:
        with _problems(uri, "unwritable"), contextlib.suppress(FileNotFoundError):
            filesystem, path = _locate(uri)
            filesystem.delete_file(path)

    def delete_folder(self, folder: str) -> None:
        with _problems(folder, "unwritable"):
            filesystem, path = _locate(folder)
            filesystem.delete_dir_contents(path, missing_dir_ok=True)
        self.prune(folder, posixpath.dirname(folder))

    def move(self, uri: str, to: str) -> None:
        """Copies an object within the store, then deletes it under its first name."""
        with _problems(to, "unwritable"):
            filesystem, path = _locate(uri)
            filesystem.copy_file(path, _locate(to)[1])
        self.delete(uri)

    def prune(self, folder: str, root: str) -> None:
        """Deletes the markers of empty folders.

        Arrow leaves such a marker when it deletes the last file of a folder.
        """
        while folder != root and not self.names(folder):
            with _problems(folder, "unwritable"):
                filesystem, path = _locate(folder)
                if self.look_up(folder) == "folder":
                    filesystem.delete_dir(path)
            folder = posixpath.dirname(folder)

    def check_writable(self, folder: str) -> None:
        """Checks that the folder can be listed. Locking it will show write access."""
        if isinstance(self.look_up(folder), FileInfo):
            problem = "is a file, expected a folder"
            raise StorageError("unwritable", shown(folder), problem)
        self._entries(folder, recursive=False)

    @contextlib.contextmanager
    def lock(self, folder: str, say: Callable[[str], None]) -> Iterator[Held]:
        with lease(self, _lock_uri(folder), say) as held:
            yield held

    def is_locked(self, folder: str) -> bool:
        return is_leased(self, _lock_uri(folder))


def _whole(file: pa.NativeFile) -> bytes:
    return _complete(file.read(), file.size())


def _complete(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise OSError(f"got {len(data):,} of {size:,} bytes; try again")
    return data


def _fetch(uri: str, file: pa.NativeFile, begin: int, end: int) -> bytes:
    """Reads a part of an object of S3, unless the object has changed.

    Arrow cannot request a part of a certain version. Here the version is compared after
    each part, which takes a request without content.
    """
    problem = "has changed while it was read; try again"
    try:
        with _problems(uri):
            try:
                data = file.read_at(end - begin, begin)
            except OSError:
                if _has_changed(uri, file):
                    raise ValueError(problem) from None
                raise
            if _has_changed(uri, file):
                raise ValueError(problem)
            return _complete(data, end - begin)
    except StorageError as error:
        if error.kind == "not_found":
            # It existed when it was opened.
            words = "was removed while it was read"
            raise StorageError("unreadable", error.uri, words) from error
        raise


def _has_changed(uri: str, file: pa.NativeFile) -> bool:
    filesystem, path = _locate(uri)
    with filesystem.open_input_file(path) as now:
        return bool(_version(now) != _version(file))


def _version(file: pa.NativeFile) -> tuple[int, bytes | None]:
    return file.size(), file.metadata().get("ETag")


def _lock_uri(folder: str) -> str:
    return join(folder, "run.lock")


def _info(uri: str, entry: pafs.FileInfo) -> FileInfo:
    return FileInfo(uri, entry.size, entry.mtime)


def _locate(uri: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem of a uri, and the path of the file in that filesystem."""
    path = uri.partition("://")[2]
    bucket, _, key = path.partition("/")
    if not bucket or "@" in bucket:
        raise ValueError("expected a bucket's name, and no password, after ://")
    parts = key.split("/")
    if {".", ".."} & {*parts} or ("" in parts and key):
        raise ValueError(
            "keys with `//`, or with . or .. between slashes, are not supported; "
            "copy the object to another key"
        )
    return open_bucket(scheme_of(uri), bucket), path


@contextlib.contextmanager
def _problems(uri: str, otherwise: Kind = "unreadable") -> Iterator[None]:
    """Raises the store's errors as StorageError, with the store's own text."""
    kind, remedy = otherwise, ""
    try:
        yield
        return
    except FileNotFoundError as error:
        cause: Exception = error
        kind = "not_found" if otherwise == "unreadable" else otherwise
        problem = "no such object; check the uri"
    except (OSError, ValueError, pa.ArrowException) as error:
        cause = error
        words = " ".join(str(error).split())
        if otherwise == "unreadable" and any(word in words for word in _NOT_THERE):
            kind = "not_found"
        remedy = remedy_for(scheme_of(uri), words)
        problem = words + remedy
        if otherwise == "unwritable":
            problem = f"cannot be written: {problem}"
    raise StorageError(kind, shown(uri), problem, bool(remedy)) from cause
