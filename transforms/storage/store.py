"""What every kind of store can do, and the settings that they share."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, Protocol

import pyarrow as pa
import pyarrow.dataset as ds


@dataclasses.dataclass(frozen=True)
class FileInfo:
    """A file, as its folder lists it.

    Attributes:
        uri: Absolute.
        size_bytes: None if it is not known: a link to nothing, a server that is silent.
        modified: When it was last written, None as above.
    """

    uri: str
    size_bytes: int | None = None
    modified: datetime.datetime | None = None


_TIMEOUT, _ATTEMPTS = "FSDSINET_TIMEOUT_S", "FSDSINET_ATTEMPTS"


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long and how often to try, and how much to take.

    Attributes:
        timeout_s: To wait for a connection, and for the next bytes.
        total_s: For one file, with all attempts.
        attempts: Before giving up.
        backoff_s: Before the second attempt; doubled before each further one.
        max_bytes: Of one file from the web.
    """

    timeout_s: float = 30.0
    total_s: float = 600.0
    attempts: int = 4
    backoff_s: float = 0.5
    max_bytes: int = 2 << 30


def limits() -> Limits:
    """The limits of this process: some can be set in the environment.

    Raises:
        ValueError: if what is set there is no number above 0.
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
    """A folder that is kept for this process."""

    def is_held(self) -> bool:
        """False once another run may have taken the folder."""


class Store(Protocol):
    """One kind of place. All methods raise StorageError."""

    def read(self, uri: str) -> bytes:
        """The whole content of a file."""

    def open(self, uri: str) -> BinaryIO:
        """A file to read and seek in; remote ones are in memory, complete."""

    def open_arrow(self, uri: str) -> pa.NativeFile:
        """The same for Arrow."""

    def look_up(self, uri: str) -> FileInfo | Literal["folder"] | None:
        """What is there."""

    def files(self, folder: str, recursive: bool, hidden: bool) -> Sequence[FileInfo]:
        """The files in a folder, sorted; none if there is no such folder.

        Args:
            folder: Absolute.
            recursive: Those in folders below, too.
            hidden: Those with a name that begins with a dot, or in such a folder, too.
        """

    def sizes(self, uris: Sequence[str]) -> dict[str, int | None]:
        """Bytes of files, None for those that are not there.

        Left out are those of which it could only be known one by one.
        """

    def names(self, folder: str) -> set[str]:
        """Names of the files and folders in a folder; none if there is no such one."""

    def glob(self, pattern: str) -> tuple[Sequence[FileInfo], Sequence[str]]:
        """The files and the folders that match, each sorted."""

    def publish(self, uri: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Writes a file that is seen complete under its final name, or not at all."""

    def delete(self, uri: str) -> None:
        """Removes a file, if it is there."""

    def prune(self, folder: str, root: str) -> None:
        """Removes a folder, and those above it below `root`, as far as empty."""

    def check_writable(self, folder: str) -> None:
        """Raises StorageError unless files can be written below the folder."""

    def lock(
        self, folder: str, say: Callable[[str], None]
    ) -> contextlib.AbstractContextManager[Held]:
        """Keeps other runs out of the folder until the block ends."""

    def is_locked(self, folder: str) -> bool:
        """True while another run keeps a folder, as far as can be told from here."""

    def dataset(self, uris: Sequence[str]) -> ds.Dataset:
        """Parquet files as one table."""


@contextlib.contextmanager
def always_held() -> Iterator[Held]:
    """For locks that the system keeps."""

    class _Always:
        def is_held(self) -> bool:
            return True

    yield _Always()
