"""Bytes in, bytes out. The only place that knows where audio and output live.

A place is a path or a uri (`file://`, `s3://`, `gs://`; `http://` and `https://` to
read only). Everything here raises StorageError. `store_for` chooses by the scheme; what
follows is the same for all.
"""

import collections
import contextlib
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.dataset as ds

from transforms.storage import copies
from transforms.storage.copies import COPIES_VARIABLE, keep_copy
from transforms.storage.errors import StorageError
from transforms.storage.local import LocalStore
from transforms.storage.objects import ObjectStore
from transforms.storage.store import FileInfo, Held, Limits, Store, limits
from transforms.storage.uris import (
    URI_SCHEME,
    absolute,
    file_name,
    folder_of,
    has_magic,
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
    "FileInfo",
    "Held",
    "Limits",
    "LostError",
    "StorageError",
    "WebStore",
    "absolute",
    "check_writable",
    "delete_file",
    "file_name",
    "folder_of",
    "glob_files",
    "has_magic",
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
    "open_arrow",
    "open_dataset",
    "open_file",
    "prune_folder",
    "publish",
    "read_file",
    "resolve",
    "shown",
    "sizes_of",
    "stem",
    "suffix",
    "unsigned",
    "with_suffix",
]

_STORES: dict[str, Callable[[], Store]] = {
    "file": LocalStore,
    "s3": ObjectStore,
    "gs": ObjectStore,
    "http": WebStore,
    "https": WebStore,
}


@functools.cache
def store_for_scheme(scheme: str) -> Store | None:
    """One store a scheme and process, so that connections are kept."""
    return _STORES[scheme]() if scheme in _STORES else None


def store_for(uri: str) -> Store:
    """The store of a uri.

    Raises:
        StorageError: unsupported_uri, if there is none.
    """
    store = store_for_scheme(scheme_of(uri))
    if store is None:
        known = ", ".join(f"{scheme}://" for scheme in _STORES)
        problem = f"expected a path or one of {known}; copy the file to one of them"
        raise StorageError("unsupported_uri", shown(uri), problem)
    return store


def read_file(uri: str | pathlib.Path) -> bytes:
    """The whole content of a file."""
    return store_for(str(uri)).read(str(uri))


def open_file(uri: str) -> BinaryIO:
    """A file to read and seek in; a remote one is in memory, complete."""
    return store_for(uri).open(uri)


def open_arrow(uri: str) -> pa.NativeFile:
    """The same for Arrow; a local file is mapped and not read."""
    return store_for(uri).open_arrow(uri)


def look_up(uri: str) -> FileInfo | Literal["folder"] | None:
    """What is there: one request, so not for the clips of a corpus."""
    return store_for(uri).look_up(uri)


def list_files(
    folder: str, recursive: bool = False, hidden: bool = False
) -> Sequence[FileInfo]:
    """The files in a folder with their sizes, sorted; see Store.files."""
    return store_for(folder).files(folder, recursive, hidden)


def sizes_of(uris: Sequence[str]) -> dict[str, int | None]:
    """Bytes of files, None for those that are not there.

    Left out are those of which it could only be known one by one, as on the web.
    """
    by_scheme: dict[str, list[str]] = collections.defaultdict(list)
    for uri in uris:
        by_scheme[scheme_of(uri)].append(uri)
    sizes: dict[str, int | None] = {}
    for scheme, some in by_scheme.items():
        store = store_for_scheme(scheme)
        sizes |= store.sizes(some) if store else dict.fromkeys(some)
    return sizes


def list_names(folder: str) -> set[str]:
    """Names of the files and folders in a folder, hidden ones too; none without it."""
    return store_for(folder).names(folder)


def glob_files(pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
    """The files and the folders that match a pattern, each sorted."""
    return store_for(pattern).glob(pattern)


def publish(uri: str | pathlib.Path) -> contextlib.AbstractContextManager[BinaryIO]:
    """Writes a file that is seen complete under its final name, or not at all.

    An exception in the block leaves nothing.
    """
    return store_for(str(uri)).publish(str(uri))


def delete_file(uri: str) -> None:
    """Removes a file, if it is there."""
    store_for(uri).delete(uri)


def prune_folder(folder: str, root: str) -> None:
    """Removes a folder, and those above it below `root`, as far as they are empty."""
    store_for(folder).prune(folder, root)


def check_writable(folder: str) -> None:
    """Raises StorageError unless files can be written below the folder."""
    store_for(folder).check_writable(folder)


def lock_folder(
    folder: str, say: Callable[[str], None]
) -> contextlib.AbstractContextManager[Held]:
    """Keeps other runs out of the folder until the block ends; makes it if needed."""
    return store_for(folder).lock(folder, say)


def is_locked(folder: str) -> bool:
    """True while another run keeps a folder, as far as can be told from here."""
    return store_for(folder).is_locked(folder)


def local_copy(uri: str, sha256: str) -> pathlib.Path:
    """A local file with this content, for libraries that read by name."""
    return copies.local_copy(store_for(uri), uri, sha256)


def open_dataset(uris: Sequence[str]) -> ds.Dataset:
    """Parquet files of one kind of place as one table; at least one."""
    return store_for(uris[0]).dataset(uris)
