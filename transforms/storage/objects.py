"""Objects in the buckets of S3, of stores that speak its language, and of Google.

By pyarrow.fs, which keeps its connections: one filesystem a bucket and process. Beam's
own code builds a client for every call, and publishes half an object when an exception
leaves the block that writes it.
"""

import contextlib
import io
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from transforms.storage.clients import open_bucket, remedy_for
from transforms.storage.errors import Kind, StorageError
from transforms.storage.lease import is_leased, lease
from transforms.storage.store import FileInfo, Held
from transforms.storage.uris import (
    has_magic,
    join,
    matches,
    scheme_of,
    shown,
)

_MAX_FOLDERS = 100
_NOT_THERE = ("NO_SUCH_BUCKET", "NO_SUCH_KEY", "bucket does not exist")


class ObjectStore:
    """Buckets. A folder is what the keys of its files have in common."""

    def read(self, uri: str) -> bytes:
        with _problems(uri):
            filesystem, path = _locate(uri)
            if isinstance(filesystem, pafs.GcsFileSystem):
                # Google's library compares checksums.
                with filesystem.open_input_stream(path) as file:
                    return file.read()
            with filesystem.open_input_file(path) as file:
                size, data = file.size(), file.read()
            if len(data) != size:
                raise OSError(f"got {len(data):,} of {size:,} bytes; try again")
            return data

    def open(self, uri: str) -> BinaryIO:
        return io.BytesIO(self.read(uri))

    def open_arrow(self, uri: str) -> pa.NativeFile:
        return pa.BufferReader(self.read(uri))

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

    def sizes(self, uris: Sequence[str]) -> dict[str, int | None]:
        """Every folder is listed once; where there are too many, nothing is known."""
        wanted = set(uris)
        folders = {posixpath.dirname(uri) for uri in wanted}
        if len(folders) > _MAX_FOLDERS:
            return {}
        sizes: dict[str, int | None] = dict.fromkeys(wanted)
        for folder in folders:
            # An odd uri is for the ledger, not for us.
            with contextlib.suppress(StorageError):
                for info in self._entries(folder, recursive=False)[0]:
                    if info.uri in wanted:
                        sizes[info.uri] = info.size_bytes
        return sizes

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
        """Files and folders, each sorted."""
        with _problems(folder):
            filesystem, path = _locate(folder)
            # Arrow lists everything below in Google's stores and then only tells files.
            is_flat = isinstance(filesystem, pafs.GcsFileSystem)
            selector = pafs.FileSelector(
                path, recursive=recursive or is_flat, allow_not_found=True
            )
            entries = filesystem.get_file_info(selector)
        scheme = scheme_of(folder)
        files, folders = [], set()
        for entry in entries:
            uri = f"{scheme}://{entry.path}"
            inner = entry.path[len(path) + 1 :].split("/")
            depth = len(inner) if recursive else 1
            folders |= {join(folder, *inner[:n]) for n in range(1, len(inner))[:depth]}
            if entry.type == pafs.FileType.Directory and len(inner) <= depth:
                folders.add(uri)
            elif entry.type == pafs.FileType.File and len(inner) <= depth:
                files.append(_info(uri, entry))
        return sorted(files, key=lambda info: info.uri), sorted(folders)

    @contextlib.contextmanager
    def publish(self, uri: str) -> Iterator[BinaryIO]:
        """The bytes are collected in memory and sent when the block has ended well.

        A store shows an object when all of it has come, so there is nothing to rename.
        """
        buffer = io.BytesIO()
        yield buffer
        with _problems(uri, "unwritable"):
            filesystem, path = _locate(uri)
            stream = filesystem.open_output_stream(path)
            # One write and no `with`: closing after an error would publish a part.
            stream.write(buffer.getbuffer())
            stream.close()

    def delete(self, uri: str) -> None:
        with _problems(uri, "unwritable"), contextlib.suppress(FileNotFoundError):
            filesystem, path = _locate(uri)
            filesystem.delete_file(path)

    def prune(self, folder: str, root: str) -> None:
        """The library leaves a mark for a folder whose last file it has removed."""
        while folder != root and not self.names(folder):
            with _problems(folder, "unwritable"):
                filesystem, path = _locate(folder)
                if self.look_up(folder) == "folder":
                    filesystem.delete_dir(path)
            folder = posixpath.dirname(folder)

    def check_writable(self, folder: str) -> None:
        """Only that it can be listed; whether it can be written, the lock will tell."""
        if isinstance(self.look_up(folder), FileInfo):
            problem = "is a file, expected a folder"
            raise StorageError("unwritable", shown(folder), problem)
        self._entries(folder, recursive=False)

    @contextlib.contextmanager
    def lock(self, folder: str, say: Callable[[str], None]) -> Iterator[Held]:
        with lease(self, _lock_of(folder), say) as held:
            yield held

    def is_locked(self, folder: str) -> bool:
        return is_leased(self, _lock_of(folder))

    def dataset(self, uris: Sequence[str]) -> ds.Dataset:
        with _problems(uris[0]):
            filesystem = _locate(uris[0])[0]
            paths = [_locate(uri)[1] for uri in uris]
            return ds.dataset(paths, format="parquet", filesystem=filesystem)


def _lock_of(folder: str) -> str:
    return join(folder, "run.lock")


def _info(uri: str, entry: pafs.FileInfo) -> FileInfo:
    return FileInfo(uri, entry.size, entry.mtime)


def _locate(uri: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem of a uri, and the name of the file in it."""
    path = uri.partition("://")[2]
    bucket, _, key = path.partition("/")
    if not bucket or "@" in bucket:
        raise ValueError("expected a bucket's name, and no password, after ://")
    parts = key.split("/")
    if {".", ".."} & {*parts} or ("" in parts and key):
        raise ValueError(
            "keys with `//`, or with . or .. between slashes, cannot be addressed; "
            "copy the object to another key"
        )
    return open_bucket(scheme_of(uri), bucket), path


@contextlib.contextmanager
def _problems(uri: str, otherwise: Kind = "unreadable") -> Iterator[None]:
    """Errors of the store as StorageError, with its own words."""
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
