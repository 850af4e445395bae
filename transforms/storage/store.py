"""The interface of every store, and the time and size limits that stores share."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, Protocol

import pyarrow as pa


@dataclasses.dataclass(frozen=True, slots=True)
class FileInfo:
    """A file, as listed in its folder.

    Attributes:
        uri: Absolute path or uri of the file.
        size_bytes: Size; None if unknown, as for a broken link or a web server that
            does not tell.
        modified: Time of the last change, in UTC; None if unknown. Some stores and file
            systems state whole seconds or milliseconds.
    """

    uri: str
    size_bytes: int | None = None
    modified: datetime.datetime | None = None


# What is known of files, one row each. All columns are null if nothing is known, as for
# files on the web; size and time are null, too, for a file that does not exist. In such
# columns ten million files take 0.2 GB, as FileInfo more than 3 GB.
FILE_STATES = pa.schema(
    [
        pa.field("size_bytes", pa.int64()),
        pa.field("modified", pa.timestamp("us", tz="UTC")),
        pa.field("is_found", pa.bool_()),
    ]
)


def file_states(
    infos: Sequence[FileInfo | None], is_found: Sequence[bool | None]
) -> pa.Table:
    """Returns FILE_STATES of files.

    Args:
        infos: Sizes and times; None for a file that does not exist or is unknown.
        is_found: Whether each file exists; None if that is unknown.
    """
    columns = (
        [info and info.size_bytes for info in infos],
        [info and info.modified for info in infos],
        is_found,
    )
    return pa.table([*map(pa.array, columns, FILE_STATES.types)], FILE_STATES)


def arrow_file(data: bytes) -> pa.NativeFile:
    """Returns a file that Arrow can read, with a copy of the data in Arrow's memory.

    A thread of Arrow may be the last to let go of a file, even after the call that read
    the file. A thread that frees memory of Python waits for the interpreter, and aborts
    the process if the interpreter ends meanwhile.
    """
    buffer = pa.allocate_buffer(len(data))
    with pa.FixedSizeBufferWriter(buffer) as writer:
        writer.write(data)
    return pa.BufferReader(buffer)


# Files whose states are found at once: few enough for copies of their uris.
_NUM_AT_ONCE = 1 << 17


def in_blocks(uris: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yields uris of millions of files in blocks that fit into memory several times."""
    for start in range(0, len(uris), _NUM_AT_ONCE):
        yield uris.slice(start, _NUM_AT_ONCE).combine_chunks()


def unknown_states(num_rows: int, is_found: bool | None = None) -> pa.Table:
    """Returns FILE_STATES of files without sizes and times."""
    columns = [pa.nulls(num_rows, field.type) for field in FILE_STATES]
    if is_found is not None:
        columns[-1] = pa.repeat(is_found, num_rows)
    return pa.table(columns, FILE_STATES)


_TIMEOUT, _ATTEMPTS = "FSDSINET_TIMEOUT_S", "FSDSINET_ATTEMPTS"


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long and how often to try, and how large a file may be.

    Attributes:
        timeout_s: Time to wait for a connection, and for the next bytes.
        total_s: Time for one file, with all attempts; if a file is read in parts, for
            one part.
        attempts: Number of attempts before giving up.
        backoff_s: Wait before the second attempt; doubled before each further attempt.
        max_bytes: Largest size of a file from the web that is read whole.
    """

    timeout_s: float = 30.0
    total_s: float = 600.0
    attempts: int = 4
    backoff_s: float = 0.5
    max_bytes: int = 2 << 30


def limits() -> Limits:
    """The limits of this process; the environment can set some of them.

    Raises:
        ValueError: if a variable is not a number from 1 on.
    """
    return Limits(
        timeout_s=_number(_TIMEOUT, 30.0), attempts=int(_number(_ATTEMPTS, 4.0))
    )


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value >= 1:
        raise ValueError(f"{variable} is {text!r}, expected a number from 1 on")
    return value


class Held(Protocol):
    """A folder that this process has locked."""

    def is_held(self) -> bool:
        """False once another run may have taken the lock."""


class Store(Protocol):
    """Files of one or more schemes. All methods raise StorageError."""

    def read(self, uri: str) -> bytes:
        """Returns the whole content of a file."""

    def open(self, uri: str) -> BinaryIO:
        """Opens a file for reading and seeking.

        A remote file is read into memory first, or in parts if it is large.
        """

    def open_arrow(self, uri: str) -> pa.NativeFile:
        """Opens a file for Arrow."""

    def look_up(self, uri: str) -> FileInfo | Literal["folder"] | None:
        """Tells whether a uri is a file, a folder or nothing."""

    def files(self, folder: str, recursive: bool, hidden: bool) -> Sequence[FileInfo]:
        """Lists the files in a folder, sorted; empty if the folder does not exist.

        Args:
            folder: Absolute path or uri.
            recursive: Whether to list files in folders below, too.
            hidden: Whether to list files whose name, or the name of a folder on the
                way, begins with a dot.
        """

    def states(self, uris: pa.ChunkedArray) -> pa.Table:
        """FILE_STATES of files, one row for each uri.

        Files that would need a request each may stay unknown.
        """

    def names(self, folder: str) -> set[str]:
        """Names of all files and folders in a folder; empty if it does not exist."""

    def glob(self, pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
        """Lists the files and the folders that match a pattern, each sorted."""

    def publish(self, uri: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Writes a file; readers see the complete file or none."""

    def create(self, uri: str) -> bool:
        """Creates an empty file; False if there is a file already."""

    def delete(self, uri: str) -> None:
        """Deletes a file if it exists."""

    def delete_folder(self, folder: str) -> None:
        """Deletes a folder with everything in it, if it exists."""

    def move(self, uri: str, to: str) -> None:
        """Gives a file another name in the same store; readers see it complete."""

    def prune(self, folder: str, root: str) -> None:
        """Deletes a folder if it is empty or gone, then empty parents up to `root`."""

    def check_writable(self, folder: str) -> None:
        """Raises StorageError if files cannot be written below the folder."""

    def lock(
        self, folder: str, say: Callable[[str], None]
    ) -> contextlib.AbstractContextManager[Held]:
        """Locks a folder against other runs until the block ends."""

    def is_locked(self, folder: str) -> bool:
        """True if another run has locked a folder, as far as this machine can tell."""
