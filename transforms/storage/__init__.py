"""Reads and writes files wherever they are: local disks, buckets and web servers.

A file or folder is named by a path or a uri (`file://`, `s3://`, `gs://`; `http://` and
`https://` can only be read). The functions below choose a store by the scheme of the
uri. All of them raise StorageError.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.storage.errors import StorageError
from transforms.storage.local import LocalStore
from transforms.storage.objects import ObjectStore
from transforms.storage.ranges import RangedFile
from transforms.storage.store import (
    FILE_STATES,
    FileInfo,
    Held,
    Limits,
    Store,
    arrow_file,
    file_states,
    in_blocks,
    limits,
    unknown_states,
)
from transforms.storage.uris import (
    URI_SCHEME,
    absolute,
    are_urls,
    file_name,
    folder_of,
    has_magic,
    in_utf8,
    is_local,
    join,
    local_path,
    resolve,
    scheme_of,
    shown,
    stem,
    suffix,
    unsigned,
    with_suffix,
)
from transforms.storage.web import LostError, WebStore

__all__ = [
    "COPIES_VARIABLE",
    "URI_SCHEME",
    "FILE_STATES",
    "FileInfo",
    "Held",
    "Limits",
    "LostError",
    "RangedFile",
    "StorageError",
    "WebStore",
    "absolute",
    "are_urls",
    "arrow_file",
    "check_writable",
    "create_file",
    "delete_file",
    "delete_folder",
    "file_name",
    "file_states",
    "folder_of",
    "glob_files",
    "has_magic",
    "in_utf8",
    "is_local",
    "is_locked",
    "join",
    "keep_copy",
    "limits",
    "local_copy",
    "list_files",
    "list_names",
    "local_path",
    "lock_folder",
    "look_up",
    "move_file",
    "open_arrow",
    "open_file",
    "prune_folder",
    "publish",
    "read_file",
    "resolve",
    "shown",
    "states_of",
    "stem",
    "suffix",
    "unknown_states",
    "unsigned",
    "with_suffix",
]

# Environment variable that names the folder of local copies. Without it they are kept
# in the system's folder for temporary files.
COPIES_VARIABLE = "FSDSINET_COPIES"

_STORES: dict[str, Callable[[], Store]] = {
    "file": LocalStore,
    "s3": ObjectStore,
    "gs": ObjectStore,
    "http": WebStore,
    "https": WebStore,
}


@functools.cache
def store_for_scheme(scheme: str) -> Store | None:
    """The store of a scheme; None if there is no such store.

    A process has one store for each scheme, so that connections are kept.
    """
    return _STORES[scheme]() if scheme in _STORES else None


def store_for(uri: str) -> Store:
    """The store of a uri.

    Raises:
        StorageError: unsupported_uri, if no store reads such a uri.
    """
    store = store_for_scheme(scheme_of(uri))
    if store is None:
        known = ", ".join(f"{scheme}://" for scheme in _STORES)
        problem = f"expected a path or one of {known}; copy the file to one of them"
        raise StorageError("unsupported_uri", shown(uri), problem)
    return store


def read_file(uri: str | pathlib.Path) -> bytes:
    """Returns the whole content of a file."""
    return store_for(str(uri)).read(str(uri))


def open_file(uri: str) -> BinaryIO:
    """Opens a file for reading and seeking.

    A remote file is read into memory first, or in parts if it is large (RangedFile).
    In the second case reads raise StorageError, too.
    """
    return store_for(uri).open(uri)


def open_arrow(uri: str) -> pa.NativeFile:
    """Opens a file for Arrow; a local file is memory-mapped and not read."""
    return store_for(uri).open_arrow(uri)


def look_up(uri: str) -> FileInfo | Literal["folder"] | None:
    """Tells whether a uri is a file, a folder or nothing.

    Each call sends one request, so this is too slow for every clip of a corpus.
    """
    return store_for(uri).look_up(uri)


def list_files(
    folder: str, recursive: bool = False, hidden: bool = False
) -> Sequence[FileInfo]:
    """Lists the files in a folder with their sizes, sorted; see Store.files."""
    return store_for(folder).files(folder, recursive, hidden)


def states_of(uris: pa.ChunkedArray) -> pa.Table:
    """FILE_STATES of files, one row for each uri.

    Files that would need a request each, such as files on the web, stay unknown.

    Args:
        uris: Uris of the files, strings; a file may be named several times.
    """
    schemes, codes = _schemes(uris)
    tables, rows_of = [FILE_STATES.empty_table()], []
    for code, scheme in enumerate(schemes):
        rows = np.flatnonzero(codes == code)
        some = uris if len(rows) == len(uris) else uris.take(rows)
        store = store_for_scheme(scheme)
        # A uri that no store can read is a file that does not exist.
        missing = unknown_states(len(rows), is_found=False)
        tables.append(store.states(some) if store else missing)
        rows_of.append(rows)
    found = pa.concat_tables(tables)
    return found.take(np.argsort(np.concatenate(rows_of))) if rows_of[1:] else found


def _schemes(uris: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The schemes of uris, and int32 [number of uris], which of them each has."""
    numbers: dict[str, int] = {}
    codes = [np.empty(0, np.int32)]
    for some in in_blocks(uris):
        # Without the mark `://`, a uri is a path.
        starts = pc.list_element(pc.split_pattern(some, "://", max_splits=1), 0)
        starts = pc.if_else(pc.match_substring(some, "://"), starts, "")
        found = starts.dictionary_encode()
        names = [scheme_of(f"{text}://") for text in found.dictionary.to_pylist()]
        of_texts = [numbers.setdefault(name, len(numbers)) for name in names]
        codes.append(np.array(of_texts, np.int32)[found.indices])
    return list(numbers), np.concatenate(codes)


def list_names(folder: str) -> set[str]:
    """Names of all files and folders in a folder; empty if it does not exist."""
    return store_for(folder).names(folder)


def glob_files(pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
    """Lists the files and the folders that match a pattern, each sorted."""
    return store_for(pattern).glob(pattern)


def publish(uri: str | pathlib.Path) -> contextlib.AbstractContextManager[BinaryIO]:
    """Context manager that writes a file; readers see the complete file or none.

    If the block raises an exception, no new file appears.
    """
    return store_for(str(uri)).publish(str(uri))


def create_file(uri: str) -> bool:
    """Creates an empty file; False if there is a file already.

    On a disk one of several callers gets True. In a bucket several may, if they call at
    the same moment.
    """
    return store_for(uri).create(uri)


def delete_file(uri: str) -> None:
    """Deletes a file if it exists."""
    store_for(uri).delete(uri)


def delete_folder(folder: str) -> None:
    """Deletes a folder with everything in it, if it exists."""
    store_for(folder).delete_folder(folder)


def move_file(uri: str, to: str) -> None:
    """Gives a file another name in the same store; readers see it complete."""
    store_for(uri).move(uri, to)


def prune_folder(folder: str, root: str) -> None:
    """Deletes a folder if it is empty or gone, then empty parents up to `root`."""
    store_for(folder).prune(folder, root)


def check_writable(folder: str) -> None:
    """Raises StorageError if files cannot be written below the folder."""
    store_for(folder).check_writable(folder)


def lock_folder(
    folder: str, say: Callable[[str], None]
) -> contextlib.AbstractContextManager[Held]:
    """Locks a folder against other runs until the block ends; creates it if needed."""
    return store_for(folder).lock(folder, say)


def is_locked(folder: str) -> bool:
    """True if another run has locked a folder, as far as this machine can tell."""
    return store_for(folder).is_locked(folder)


def local_copy(uri: str, sha256: str) -> pathlib.Path:
    """Path of a local file with this content, for libraries that need a file name.

    A local file is returned as it is. Otherwise an earlier copy is returned, or a new
    copy is made.

    Raises:
        StorageError: if the file cannot be read, or has another sha256.
    """
    if is_local(uri):
        return pathlib.Path(local_path(uri))
    path = _copy_path(uri, sha256)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    data = read_file(uri)
    if hashlib.sha256(data).hexdigest() != sha256:
        problem = "has changed since the run began; run the command again"
        raise StorageError("unreadable", shown(uri), problem)
    return keep_copy(uri, data)


def keep_copy(uri: str, data: bytes) -> pathlib.Path:
    """Writes the content of a remote file to a local file of the same name."""
    path = _copy_path(uri, hashlib.sha256(data).hexdigest())
    with publish(path) as file:
        file.write(data)
    return path


def _copy_path(uri: str, sha256: str) -> pathlib.Path:
    folder = os.environ.get(COPIES_VARIABLE)
    if not folder:
        folder = os.path.join(tempfile.gettempdir(), f"fsd-sinet-beam-{os.getuid()}")
    return pathlib.Path(folder, sha256[:32], file_name(uri))
