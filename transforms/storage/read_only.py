"""What a store cannot do whose files can only be read, one at a time."""

import contextlib
from collections.abc import Callable, Sequence
from typing import BinaryIO, NoReturn

import pyarrow as pa

from transforms.storage.errors import StorageError
from transforms.storage.store import FileInfo, Held, unknown_states
from transforms.storage.uris import shown


class ReadOnlyStore:
    """Refuses to list, write and lock files; see Store."""

    def files(self, folder: str, recursive: bool, hidden: bool) -> Sequence[FileInfo]:
        _refuse_to_list(folder)

    def states(self, uris: pa.ChunkedArray) -> pa.Table:
        return unknown_states(len(uris))

    def names(self, folder: str) -> set[str]:
        _refuse_to_list(folder)

    def glob(self, pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
        """Finds nothing: in a URL, `*` and `?` do not make a pattern."""
        return [], []

    def publish(self, uri: str) -> contextlib.AbstractContextManager[BinaryIO]:
        _refuse_to_write(uri)

    def create(self, uri: str) -> bool:
        _refuse_to_write(uri)

    def delete(self, uri: str) -> None:
        _refuse_to_write(uri)

    def delete_folder(self, folder: str) -> None:
        _refuse_to_write(folder)

    def move(self, uri: str, to: str) -> None:
        _refuse_to_write(to)

    def prune(self, folder: str, root: str) -> None:
        """Does nothing: web servers have no folders to delete."""

    def check_writable(self, folder: str) -> None:
        _refuse_to_write(folder)

    def lock(
        self, folder: str, say: Callable[[str], None]
    ) -> contextlib.AbstractContextManager[Held]:
        _refuse_to_write(folder)

    def is_locked(self, folder: str) -> bool:
        return False


def _refuse_to_list(uri: str) -> NoReturn:
    problem = "files of a web server cannot be listed"
    raise StorageError("unreadable", shown(uri), problem)


def _refuse_to_write(uri: str) -> NoReturn:
    problem = "a web server can only be read"
    raise StorageError("unwritable", shown(uri), problem)
