"""The record `compaction.json`: which parts of a dataset were replaced by which part.

A part is committed if it has a ledger file (see `transforms.parquet`). To replace parts
by one that has the same rows takes several steps, because it has a file in every table.
The record makes it one step for readers: once the swap is in the record, its new part
counts, wherever the files of the new part are, and the replaced parts do not count,
even if their files still exist.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence

from pipeline.errors import DatasetError
from transforms import storage
from transforms.storage import StorageError

RECORD_NAME = "compaction.json"
# Folder of the files of new parts, before they are put in their places.
STAGING_FOLDER = "compacting"
_FORMAT = "fsd-sinet-beam compaction"
# A reader lists the ledger while at most this many swaps are made, or lists it again.
_NUM_KEPT = 16


@dataclasses.dataclass(frozen=True)
class Swap:
    """The replacement of parts by one part.

    Attributes:
        number: Number of the swap, which counts all swaps of the dataset.
        part: File name of the new part.
        replaced: File names of the parts whose rows the new part has.
        tables: Tables in which the parts have files: `ledger`, `clips/model=NAME`, ...
    """

    number: int
    part: str
    replaced: tuple[str, ...]
    tables: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class CommitRecord:
    """The last swaps of a dataset.

    Attributes:
        swaps: Up to 16 swaps, the last one last.
        is_open: Whether files of the last swap may not be in their places yet.
    """

    swaps: tuple[Swap, ...] = ()
    is_open: bool = False

    @property
    def number(self) -> int:
        """Number of swaps that were made in the dataset."""
        return self.swaps[-1].number if self.swaps else 0

    def opened(
        self, part: str, replaced: Iterable[str], tables: Iterable[str]
    ) -> "CommitRecord":
        """The record with one more swap, whose files are not in their places yet."""
        swap = Swap(self.number + 1, part, tuple(replaced), tuple(tables))
        return CommitRecord((*self.swaps, swap)[-_NUM_KEPT:], is_open=True)

    def closed(self) -> "CommitRecord":
        """The record after all files of the last swap are in their places."""
        return dataclasses.replace(self, is_open=False)

    def since(self, earlier: "CommitRecord") -> tuple[Swap, ...] | None:
        """Swaps that moved files after `earlier` was read; None if some are unknown."""
        first = earlier.number + (0 if earlier.is_open else 1)
        found = tuple(swap for swap in self.swaps if swap.number >= first)
        return found if len(found) == self.number + 1 - first else None


def read_record(root: str) -> CommitRecord:
    """Reads the record of a dataset; empty if no part was ever replaced.

    Raises:
        DatasetError: if the file is damaged.
    """
    uri = storage.join(root, RECORD_NAME)
    try:
        text = storage.read_file(uri)
    except StorageError as error:
        if error.kind == "not_found":
            return CommitRecord()
        raise
    try:
        content = json.loads(text)
        if content["format"] != _FORMAT:
            raise ValueError(f"format is {content['format']!r}, expected {_FORMAT!r}")
        swaps = tuple(
            Swap(s["number"], s["part"], tuple(s["replaced"]), tuple(s["tables"]))
            for s in content["swaps"]
        )
        return CommitRecord(swaps, content["state"] == "swapping")
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"cannot read {storage.shown(uri)}: {error}; restore it, or give another "
            "folder"
        ) from error


def write_record(root: str, record: CommitRecord) -> None:
    content = {
        "format": _FORMAT,
        "state": "swapping" if record.is_open else "done",
        "swaps": [dataclasses.asdict(swap) for swap in record.swaps],
    }
    with storage.publish(storage.join(root, RECORD_NAME)) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode("utf-8"))


def committed_parts(root: str, list_ledger: Callable[[], Iterable[str]]) -> list[str]:
    """Returns the file names of the committed parts, sorted.

    Files may come and go while the ledger is listed. A list is taken only if all swaps
    that were made meanwhile are known. They are then applied to it, so that the result
    does not depend on which of their files were still, or already, in the ledger.

    Args:
        root: Folder of the dataset.
        list_ledger: Returns the file names of the parts in the folder `ledger`.
    """
    before = read_record(root)
    while True:
        names = {*list_ledger()}
        after = read_record(root)
        swaps = after.since(before)
        if swaps is not None:
            return _apply(swaps, names)
        before = after


def _apply(swaps: Sequence[Swap], names: set[str]) -> list[str]:
    for swap in swaps:
        names = (names - {*swap.replaced}) | {swap.part}
    return sorted(names)
