"""Replaces committed parts by one part that has their rows.

The files of the new part are written to the folder `compacting`. Then the swap is
written to the record (see `pipeline.dataset.commit_record`), which is the moment at
which the new part counts. Then its files are put in their places, and the replaced
files are deleted. A process that is killed before that moment has changed nothing.
After it, `finish_swap` ends the work, as often as it is killed.
"""

import json
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.commit_record import STAGING_FOLDER, read_record, write_record
from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import (
    COMPACTED_PREFIX,
    PARTS_KEY,
    PartFiles,
    PartRows,
)
from pipeline.errors import ConfigError, DatasetError
from transforms import storage
from transforms.storage import StorageError
from transforms.tables import parquet_writer

# Metadata of ledger files that differs between parts.
_WORKER_KEY = b"worker"
# Size of the values of a row group: few requests for a file, and a reader of one clip
# or a thread of a reader does not need much memory.
_GROUP_BYTES = 32 << 20
_BATCH_ROWS = 1024
_NUM_THREADS = 16


def replace_parts(
    dataset: Dataset,
    parts: Sequence[str],
    tables: Sequence[str],
    dropped: pa.Array | None = None,
) -> None:
    """Replaces parts by one part with their rows, in the order of `parts`.

    Args:
        dataset: A dataset that this process has locked.
        parts: File names of committed parts.
        tables: Tables in which the parts have files: `ledger`, `clips/model=NAME`, ...
        dropped: clip_ids whose rows the new part does not have; None for no clips.

    Raises:
        ConfigError: if another run has taken the lock.
        DatasetError: if a file is missing or damaged, or the parts differ in columns or
            metadata.
    """
    record = read_record(dataset.root)
    new = f"{COMPACTED_PREFIX}{record.number + 1:06d}-{uuid.uuid4().hex[:12]}.parquet"
    for table in tables:
        _write_merged(dataset.files, table, parts, new, dropped)
    if not dataset.is_ours():
        raise ConfigError(
            f"another run is writing to {dataset.shown}; run the same command again "
            "when it has ended"
        )
    write_record(dataset.root, record.opened(new, parts, tables))
    finish_swap(dataset)


def finish_swap(dataset: Dataset) -> None:
    """Ends a swap that is in the record, and removes what was written for others.

    Args:
        dataset: A dataset that this process has locked.
    """
    record = read_record(dataset.root)
    if record.is_open:
        swap = record.swaps[-1]
        # The ledger is first: readers that miss a replaced file look for the new part
        # in the ledger.
        for table in sorted(swap.tables, key=lambda table: table != "ledger"):
            _put_in_place(dataset.files, table, swap.part)
            replaced = (dataset.file(table, part) for part in swap.replaced)
            with ThreadPoolExecutor(_NUM_THREADS) as pool:
                for _ in pool.map(storage.delete_file, replaced):
                    pass
        write_record(dataset.root, record.closed())
    storage.delete_folder(storage.join(dataset.root, STAGING_FOLDER))


def _put_in_place(files: PartFiles, table: str, part: str) -> None:
    staged, place = files.uri(table, part, is_staged=True), files.uri(table, part)
    try:
        storage.move_file(staged, place)
    except StorageError as error:
        # An earlier process may have moved the file before it was killed.
        if storage.look_up(staged) is not None:
            raise
        if storage.look_up(place) is None:
            raise DatasetError(
                f"{storage.shown(staged)} does not exist, but its part is committed: "
                "restore the file, or extract again with --overwrite"
            ) from error


def _write_merged(
    files: PartFiles,
    table: str,
    parts: Sequence[str],
    new: str,
    dropped: pa.Array | None,
) -> None:
    """Writes the file of the new part in one table, to the folder for new parts."""
    with files.open(table, parts[0]) as rows:
        schema = common_schema(rows)
    entries: list[dict[str, Any]] = []
    num_rows = 0
    with (
        storage.publish(files.uri(table, new, is_staged=True)) as file,
        parquet_writer(file, schema) as writer,
    ):
        groups = _RowGroups(writer, schema)
        for part in parts:
            with files.open(table, part) as rows:
                if not common_schema(rows).equals(schema, check_metadata=True):
                    raise DatasetError(
                        f"parts cannot be put together: {part} and {parts[0]} of "
                        f"{table} differ in columns or metadata; extract again with "
                        "--overwrite"
                    )
                entries += _entries(part, rows, num_rows)
                num_rows += rows.stop
                for batch in rows.batches(batch_rows=_BATCH_ROWS):
                    if dropped is not None:
                        is_dropped = pc.is_in(batch["clip_id"], value_set=dropped)
                        batch = batch.filter(pc.invert(is_dropped))
                    groups.add(batch)
        groups.write()
        if dropped is None:
            writer.add_key_value_metadata({PARTS_KEY: json.dumps(entries)})


def common_schema(rows: PartRows) -> pa.Schema:
    """The schema without what differs between parts of the same table."""
    metadata = rows.schema.metadata or {}
    kept = {key: metadata[key] for key in sorted(metadata) if key != _WORKER_KEY}
    return rows.schema.with_metadata(kept)


def _entries(part: str, rows: PartRows, start: int) -> list[dict[str, Any]]:
    """Says which rows of the new file come from a part, and from parts in that part.

    Args:
        part: File name of the part.
        rows: All rows of the part's file.
        start: First row of the part in the new file.
    """
    entry: dict[str, Any] = {"part": part, "start": start, "rows": rows.stop}
    if worker := (rows.schema.metadata or {}).get(_WORKER_KEY):
        entry["worker"] = json.loads(worker)
    inner = json.loads((rows.file.metadata.metadata or {}).get(PARTS_KEY, b"[]"))
    return [entry, *(known | {"start": start + known["start"]} for known in inner)]


class _RowGroups:
    """Collects rows and writes them in row groups of about the same size."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._num_bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        batch = pa.record_batch(batch.columns, schema=self._schema)
        self._batches.append(batch)
        self._num_bytes += batch.nbytes
        if self._num_bytes >= _GROUP_BYTES:
            self.write()

    def write(self) -> None:
        """Writes the rows that are left as one row group."""
        if self._num_bytes:
            table = pa.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._batches, self._num_bytes = [], 0
