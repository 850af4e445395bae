"""Opens the files of committed parts, wherever a compaction has put them.

A reader knows the parts of one moment and reads them one after the other. Meanwhile a
compaction may replace parts. The rows of a replaced part follow each other in the new
part, whose metadata says where, so that the reader continues with them.
"""

import collections
import contextlib
import dataclasses
import itertools
import json
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.commit_record import STAGING_FOLDER
from pipeline.errors import DatasetError
from transforms import storage
from transforms.storage import StorageError

# Key of the metadata of compacted files: which rows came from which part.
PARTS_KEY = b"parts"
# Names of compacted parts sort after those of the parts that they replace. Buckets list
# names in this order: a list that lacks a deleted file has the file that replaced it.
COMPACTED_PREFIX = "part-large-"
_BATCH_ROWS = 8192
_CHUNK_ROWS = 1 << 18
# Rows in memory at once: each block is compared with all rows of a manifest, so that
# few large blocks take less time.
_BLOCK_ROWS = 1 << 20
# Row groups of large parts that are read at the same time.
_MAX_GROUPS = 2
# How often the place of a part is looked up again, because it has moved meanwhile.
_MAX_LOOKS = 10
# Requests to a bucket at the same time. On a disk, more threads than cores do no harm.
_NUM_THREADS = 32


@dataclasses.dataclass(frozen=True)
class PartRows:
    """The rows of a part in one table, in an open file.

    Attributes:
        file: File that has the rows.
        start: First row of the part in the file.
        stop: Row after the last one of the part.
    """

    file: pq.ParquetFile
    start: int
    stop: int

    @property
    def schema(self) -> pa.Schema:
        """Schema of the file, with its metadata."""
        return self.file.schema_arrow

    def batches(
        self,
        columns: Sequence[str] | None = None,
        batch_rows: int = _BATCH_ROWS,
        clip_ids: Collection[str] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[pa.RecordBatch]:
        """Reads rows in batches.

        Args:
            columns: Names of the columns; None for all columns.
            batch_rows: Largest number of rows in a batch.
            clip_ids: Clips that are wanted. Row groups that have none of them are left
                out; other row groups are read completely.
            share: (i, n) for every n-th row group, from the i-th one on, so that n
                threads can share the rows.
        """
        first, step = share
        for group, position in itertools.islice(self._row_groups(), first, None, step):
            if clip_ids is not None and not self._may_have(group, clip_ids):
                continue
            for batch in self.file.iter_batches(
                batch_rows, row_groups=[group], columns=columns, use_threads=False
            ):
                start, stop = (
                    max(0, row - position) for row in (self.start, self.stop)
                )
                position += batch.num_rows
                kept = batch.slice(start, max(0, stop - start))
                if kept.num_rows:
                    yield kept

    @property
    def num_groups(self) -> int:
        """Number of row groups that have rows of the part."""
        return sum(1 for _ in self._row_groups())

    def read(
        self, columns: Sequence[str] | None = None, share: tuple[int, int] = (0, 1)
    ) -> pa.Table:
        """Reads columns of all rows, or of a share (see `batches`) of them."""
        is_whole = (self.start, self.stop) == (0, self.file.metadata.num_rows)
        if is_whole and share == (0, 1):
            return self.file.read(columns=columns, use_threads=False)
        return self._table(columns, self.batches(columns, share=share))

    def read_clips(self, clip_ids: Collection[str], columns: Sequence[str]) -> pa.Table:
        """Reads columns, of which clip_id is one, of the rows of some clips."""
        wanted = pa.array(clip_ids, pa.string())
        batches = self.batches(columns, clip_ids=clip_ids)
        kept = (b.filter(pc.is_in(b["clip_id"], value_set=wanted)) for b in batches)
        return self._table(columns, kept)

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Reads columns of single rows. Row groups that have none are not read.

        Args:
            rows: Numbers of the rows within the part, ascending, at least one.
            columns: Names of the columns.
        """
        wanted = rows + self.start
        tables = []
        for group, position in self._row_groups():
            end = position + self.file.metadata.row_group(group).num_rows
            inside = wanted[(wanted >= position) & (wanted < end)] - position
            if len(inside):
                found = self.file.read_row_group(group, columns, use_threads=False)
                tables.append(found.take(inside))
        return pa.concat_tables(tables)

    def _table(
        self, columns: Sequence[str] | None, batches: Iterable[pa.RecordBatch]
    ) -> pa.Table:
        names = self.schema.names if columns is None else columns
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.Table.from_batches([b.select(names) for b in batches], schema)

    def _row_groups(self) -> Iterator[tuple[int, int]]:
        """Row groups that have rows of the part, and the first row of each."""
        position = 0
        for group in range(self.file.metadata.num_row_groups):
            end = position + self.file.metadata.row_group(group).num_rows
            if position < self.stop and self.start < end:
                yield group, position
            position = end

    def _may_have(self, group: int, clip_ids: Collection[str]) -> bool:
        """Whether the range of clip_ids of a row group has any of these clips."""
        column = self.schema.names.index("clip_id")
        found = self.file.metadata.row_group(group).column(column).statistics
        if found is None or not found.has_min_max:
            return True
        return any(found.min <= clip_id <= found.max for clip_id in clip_ids)


class PartFiles:
    """The files of a dataset's parts. Several threads may use it at once.

    Args:
        root: Folder of the dataset.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        # Compacted parts whose metadata was read.
        self._known: set[str] = set()
        # Replaced part -> part that has its rows.
        self._moved: dict[str, str] = {}

    def uri(self, table: str, part: str, is_staged: bool = False) -> str:
        """Uri of the file of a part; the file need not exist."""
        staging = [STAGING_FOLDER] if is_staged else []
        return storage.join(self._root, *staging, *table.split("/"), part)

    @contextlib.contextmanager
    def open(self, table: str, part: str) -> Iterator[PartRows]:
        """Opens the file that has the rows of a part.

        Args:
            table: `ledger`, `clips/model=NAME`, ...
            part: File name of a part that is or was committed.

        Raises:
            DatasetError: if there is no such file, or it is no Parquet file.
        """
        with _damage_as_error(storage.shown(self.uri(table, part))):
            source, name = self._find(table, part)
            # Reading ahead saves requests for a large object, and else only costs time.
            is_at_hand = isinstance(source, pa.BufferReader | pa.MemoryMappedFile)
            with pq.ParquetFile(source, pre_buffer=not is_at_hand) as file:
                start, count = 0, file.metadata.num_rows
                if name != part:
                    found = source_rows(file.metadata)
                    if part not in found:
                        raise self._lost(table, part)
                    start, count = found[part]
                yield PartRows(file, start, start + count)

    def read(
        self, table: str, part: str, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Reads columns of a part, all columns if None."""
        with self.open(table, part) as rows:
            return rows.read(columns)

    def read_each(
        self, table: str, parts: Iterable[str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Reads columns of parts in their order, several parts at the same time.

        Only a few of them are in memory.
        """
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            reads = (pool.submit(self.read, table, part, columns) for part in parts)
            yield from _in_order(reads, 2 * _NUM_THREADS)

    def read_blocks(
        self, table: str, parts: Iterable[str], columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """Reads columns of parts in tables of a million rows or more.

        Memory does not depend on the number of rows.
        """
        tables: list[pa.Table] = []
        num_rows = 0
        for large, group in itertools.groupby(parts, _is_large):
            reads = self._read_large if large else self.read_each
            for rows in reads(table, group, columns):
                tables.append(rows)
                num_rows += rows.num_rows
                if num_rows >= _BLOCK_ROWS:
                    yield together(tables)
                    tables, num_rows = [], 0
        if tables:
            yield together(tables)

    def _read_large(
        self, table: str, parts: Iterable[str], columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """Reads each row group of large parts as a table, several at the same time."""

        def read(part: str, share: tuple[int, int]) -> pa.Table:
            with self.open(table, part) as rows:
                return rows.read(columns, share)

        def shares() -> Iterator[tuple[str, tuple[int, int]]]:
            for part in parts:
                with self.open(table, part) as rows:
                    number = rows.num_groups
                yield from ((part, (i, number)) for i in range(number))

        with ThreadPoolExecutor(_MAX_GROUPS) as pool:
            yield from _in_order((pool.submit(read, *x) for x in shares()), _MAX_GROUPS)

    def is_readable(self, table: str, part: str) -> bool:
        """Whether the rows of a part are in a file, its own or another."""
        try:
            with self.open(table, part):
                return True
        except LostPartError:
            return False

    def _find(self, table: str, part: str) -> tuple[pa.NativeFile, str]:
        """Opens the file with the rows of a part; also returns the file's name."""
        name = part
        for _ in range(_MAX_LOOKS):
            # A file that is not yet staged when looked for in its place may be in its
            # place when it is looked for among the staged ones.
            for is_staged in (False, True, False):
                try:
                    return storage.open_arrow(self.uri(table, name, is_staged)), name
                except StorageError as error:
                    if error.kind != "not_found":
                        raise
            found = self._moved_to(name)
            if found is None:
                break
            name = found
        raise self._lost(table, part)

    def _moved_to(self, name: str) -> str | None:
        """The part that has the rows of a part whose file does not exist."""
        with self._lock:
            if name not in self._moved:
                self._look_for_compacted()
            return self._moved.get(name)

    def _look_for_compacted(self) -> None:
        names = storage.list_names(storage.join(self._root, "ledger"))
        new = [n for n in names - self._known if n.startswith(COMPACTED_PREFIX)]
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for name, parts in zip(new, pool.map(self._parts_in, new), strict=True):
                self._known.add(name)
                self._moved |= dict.fromkeys(parts, name)

    def _parts_in(self, name: str) -> list[str]:
        """Parts whose rows are in a compacted part; none if the part is gone again."""
        try:
            file = storage.open_arrow(self.uri("ledger", name))
        except StorageError as error:
            if error.kind != "not_found":
                raise
            return []
        return [*source_rows(pq.read_metadata(file))]

    def _lost(self, table: str, part: str) -> "LostPartError":
        return LostPartError(
            f"{storage.shown(self.uri(table, part))} does not exist, but its part is "
            "committed: if a run was replacing rows of the dataset, run the command "
            "again; otherwise the dataset is damaged: restore the file, or extract "
            "again with --overwrite"
        )


class LostPartError(DatasetError):
    """A part is committed, but has no file in a table."""


def _in_order(reads: Iterable[Future[pa.Table]], most: int) -> Iterator[pa.Table]:
    """Yields the results of reads, which are started as long as at most `most` wait."""
    waiting: collections.deque[Future[pa.Table]] = collections.deque()
    for read in reads:
        waiting.append(read)
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _is_large(part: str) -> bool:
    return part.startswith(COMPACTED_PREFIX)


def source_rows(metadata: pq.FileMetaData) -> dict[str, tuple[int, int]]:
    """Part -> its first row and number of rows in a compacted file; empty for others.

    Args:
        metadata: Metadata of the file.
    """
    entries = json.loads((metadata.metadata or {}).get(PARTS_KEY, b"[]"))
    return {entry["part"]: (entry["start"], entry["rows"]) for entry in entries}


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """Puts one or more tables with the same columns together, in few chunks."""
    blocks: list[pa.Table] = []
    small: list[pa.Table] = []
    num_rows = 0
    for table in tables:
        small.append(table)
        num_rows += table.num_rows
        if num_rows >= _CHUNK_ROWS:
            blocks.append(_concatenated(small).combine_chunks())
            small, num_rows = [], 0
    if small:
        blocks.append(_concatenated(small).combine_chunks())
    return _concatenated(blocks)


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="default")


@contextlib.contextmanager
def _damage_as_error(shown: str) -> Iterator[None]:
    """Raises DatasetError if Arrow finds that a file is no Parquet file."""
    try:
        yield
    except pa.ArrowInvalid as error:
        problem = str(error).splitlines()[0]
        raise DatasetError(
            f"a file of the dataset is damaged: {shown}: {problem}; restore it, or "
            "extract again with --overwrite"
        ) from error
