"""Reads the committed results of a dataset, as they are at one moment.

A run writes the ledger file of a shard last. Files in `clips` or `patches` without a
ledger file belong to shards that are not committed, and are left out. So are parts that
a compaction has replaced; if it replaces parts later, their rows are read from the new
part. A ledger file whose results are missing means that files were lost or mixed up:
reading stops with an error, because numbers computed from the rest would be wrong.
"""

import contextlib
import copy
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import PartRows, together
from pipeline.errors import ConfigError, DatasetError
from transforms import storage
from transforms.front_end.patches import PatchSpec
from transforms.schemas import (
    DEFAULT_OUTPUTS,
    DEFAULT_PATCH_FORMAT,
    stores_patches,
)

_NUM_NAMED = 5
_UNEXPECTED = "has results twice, or results that are not expected"


class Snapshot:
    """The committed files of one model of a dataset.

    Attributes:
        dataset: The folder.
        model: Name of the model.
        run: Content of run.json.
        parts: File names of the committed parts, sorted; the same in every table.

    Args:
        output: Folder of a dataset.
        model: Name of the model; may be None if the dataset has only one.

    Raises:
        DatasetError: if the folder holds no dataset.
        ConfigError: if the dataset has no such model.
    """

    def __init__(self, output: str, model: str | None) -> None:
        self.dataset = Dataset(output)
        self.run = self.dataset.existing_run()
        self.model = self.dataset.find_model(model)
        self.parts = self.dataset.committed()
        # Tables whose files were seen to be complete.
        self._checked: set[str] = set()
        self._schemas: dict[str, pa.Schema] = {}

    def of_model(self, model: str) -> "Snapshot":
        """Returns the snapshot of another model at the same moment."""
        other = copy.copy(self)
        other.model = self.dataset.find_model(model)
        other._checked, other._schemas = set(), {}
        return other

    @property
    def model_entry(self) -> dict[str, Any]:
        """The entry of the model in run.json: its name, path, sha256 and sizes."""
        models: list[dict[str, Any]] = self.run["models"]
        return next(entry for entry in models if entry["name"] == self.model)

    @property
    def patch_spec(self) -> PatchSpec:
        """How the patches of the dataset were cut."""
        config = self.run["config"]
        return PatchSpec(
            config["patch_hop"], config["last_patch"], config.get("bin_shift", 0)
        )

    def unfinished(self) -> str | None:
        """Says how many clips are done if the run has not finished; None if it has."""
        if self.run.get("state") == "finished":
            return None
        planned = self.run.get("manifest", {}).get("num_clips", 0)
        done = self.ledger(["clip_id"]).num_rows
        return f"{self._state()}: {done:,} of {planned:,} clips are done"

    def ledger_names(self) -> list[str]:
        """Returns the names of the columns of the ledger."""
        self._check_not_empty()
        with self.open_part("ledger", self.parts[0]) as rows:
            names: list[str] = rows.schema.names
            return names

    def ledger(self, columns: list[str]) -> pa.Table:
        """Reads columns of the ledger; no rows if nothing is committed."""
        return self.dataset.read_ledger(columns, self.parts)

    def find_clip(self, name: str) -> str:
        """Returns the clip_id of a clip that has results.

        Args:
            name: A clip_id, or a uri or file name that only one clip has.

        Raises:
            ConfigError: if no clip or several clips have that name, or the clip has no
                results.
        """
        self._check_not_empty()
        ledger = self.ledger(["clip_id", "uri", "status", "error", "num_patches"])
        found = ledger.filter(pc.equal(ledger["clip_id"], name))
        if not found.num_rows:
            ends = pc.ends_with(ledger["uri"], "/" + name.lstrip("/"))
            found = ledger.filter(pc.or_(pc.equal(ledger["uri"], name), ends))
        if not found.num_rows:
            raise ConfigError(
                f"no clip {name!r} in {self.dataset.shown}; {_hint(ledger, name)}"
            )
        if found.num_rows > 1:
            ids = ", ".join(found["clip_id"][:_NUM_NAMED].to_pylist())
            raise ConfigError(
                f"{found.num_rows} clips are named {name!r}: give one clip_id of {ids}"
            )
        (row,) = found.to_pylist()
        if row["status"] != "ok":
            raise ConfigError(f"clip {row['clip_id']} has failed: {row['error']}")
        if not row["num_patches"]:
            raise ConfigError(
                f"clip {row['clip_id']} is shorter than one patch and has no results; "
                "extract with --last-patch repeat to keep such clips"
            )
        return str(row["clip_id"])

    def file(self, table: str, part: str) -> str:
        """Returns the uri of one part of a table, if no compaction has replaced it."""
        return self.dataset.file(self._folder(table), part)

    def open_part(
        self, table: str, part: str
    ) -> contextlib.AbstractContextManager[PartRows]:
        """Opens the rows of one part of `ledger`, `clips`, `patches` or `events`."""
        return self.dataset.files.open(self._folder(table), part)

    def check_files(self, table: str) -> None:
        """Checks that every committed part has its file in a table.

        Raises:
            DatasetError: if nothing is committed yet, or a file is missing.
        """
        if table in self._checked:
            return
        self._check_not_empty()
        folder = self._folder(table)
        present = {*map(storage.file_name, self.dataset.parts(folder))}
        is_readable = self.dataset.files.is_readable
        lost = [part for part in self.parts if part not in present]
        # Those that a compaction has replaced meanwhile are not lost.
        lost = [part for part in lost if not is_readable(folder, part)]
        if lost:
            raise DatasetError(
                f"{self.dataset.shown} is damaged: {len(lost):,} of "
                f"{len(self.parts):,} ledger files have no file in {folder}, the first "
                f"{lost[0]}; restore them, or extract again with --overwrite"
            )
        self._checked.add(table)

    def has_column(self, table: str, column: str) -> bool:
        """Whether `clips` or `patches` has a column; False if nothing is committed."""
        return bool(self.parts) and column in self._names(table)

    def has_excerpts(self) -> bool:
        """Whether clips may be parts of files; the ledger then has their times.

        A ledger without excerpts may have other columns named `start_s` and `end_s`.
        """
        return bool(self.run["identity"].get("excerpts"))

    def schema(self, table: str, column: str) -> pa.Schema:
        """Returns the schema of `clips` or `patches`.

        Raises:
            DatasetError: if the table has no such column.
        """
        if column not in self._names(table):
            outputs, patches = stored_values(self.run["config"])
            of_patches = table == "patches" and patches == "none"
            raise DatasetError(
                f"{self.dataset.shown} has no {column} of "
                f"{'patches of ' * of_patches}model {self.model}: it was extracted "
                f"with --outputs {','.join(outputs)}{' --patches none' * of_patches}"
            )
        return self._schema(table)

    def labels(self, column: str) -> tuple[str, ...]:
        """Returns the model's labels, in the order of the values of a clips column."""
        return tuple(json.loads(self.schema("clips", column).metadata[b"labels"]))

    def read_part(
        self, table: str, part: str, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Reads columns of one part, all columns if None."""
        return self.dataset.files.read(self._folder(table), part, columns)

    def read_clips(
        self, table: str, part: str, clip_ids: Collection[str], columns: Sequence[str]
    ) -> pa.Table:
        """Reads columns, of which clip_id is one, of some clips of one part."""
        with self.open_part(table, part) as rows:
            return rows.read_clips(clip_ids, columns)

    def batches(
        self, table: str, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Reads columns of all parts of a table in a stream."""
        self.check_files(table)
        for part in self.parts:
            with self.open_part(table, part) as rows:
                yield from rows.batches(columns)

    def part_of(self, clip_id: str) -> str | None:
        """Returns the name of the part that has results of a clip; None if none has."""

        def has_clip(part: str) -> bool:
            rows = self.read_clips("clips", part, [clip_id], ["clip_id"])
            return bool(rows.num_rows)

        self.check_files("clips")
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = pool.map(has_clip, self.parts)
            for part, is_found in zip(self.parts, found, strict=True):
                if is_found:
                    pool.shutdown(cancel_futures=True)
                    return part
        return None

    def clips(self, column: str) -> Iterator[pa.RecordBatch]:
        """Reads clip_id and one column of all clips, and checks them.

        Memory does not depend on the number of clips, but for their ids.

        Raises:
            DatasetError: if the clips are not exactly those for which the ledger
                states results.
        """
        self.check_files("clips")
        for part, counts in self.patch_counts():
            left = {*counts["clip_id"].to_pylist()}
            with self.open_part("clips", part) as rows:
                for batch in rows.batches(["clip_id", column]):
                    for clip_id in batch["clip_id"].to_pylist():
                        if clip_id not in left:
                            raise self.mismatch(clip_id, _UNEXPECTED)
                        left.remove(clip_id)
                    yield batch
            if left:
                raise self.mismatch(min(left), "has no results")

    def patch_counts(self) -> Iterator[tuple[str, pa.Table]]:
        """Yields the parts, with clip_id and num_patches of clips that have results.

        Raises:
            DatasetError: if the ledger has a clip twice.
        """
        columns = ["clip_id", "status", "num_patches"]
        lengths: list[int] = []

        def read() -> Iterator[pa.Table]:
            for rows in self.dataset.files.read_each("ledger", self.parts, columns):
                lengths.append(rows.num_rows)
                yield rows

        ledger = together(read())
        ids = ledger["clip_id"]
        if pc.count_distinct(ids).as_py() < len(ids):
            counts = pc.value_counts(ids)
            repeated = counts.filter(pc.greater(counts.field("counts"), 1))
            clip_id = repeated.field("values")[0].as_py()
            raise self.mismatch(clip_id, "is in the ledger twice")
        start = 0
        for part, length in zip(self.parts, lengths, strict=True):
            rows = ledger.slice(start, length)
            yield part, rows.filter(has_results(rows)).drop_columns("status")
            start += length

    def mismatch(self, clip_id: str, problem: str) -> DatasetError:
        """Returns the error for a clip whose ledger row and results disagree."""
        return DatasetError(
            f"{self.dataset.shown} is damaged: ledger and clips of model {self.model} "
            f"differ: clip {clip_id!r} {problem}; extract again with --overwrite"
        )

    def _check_not_empty(self) -> None:
        if not self.parts:
            raise DatasetError(
                f"{self.dataset.shown} has no results yet: {self._state()}"
            )

    def _names(self, table: str) -> list[str]:
        """Names of the columns of a table; none if no run writes it."""
        if table == "patches" and not stores_patches(
            *stored_values(self.run["config"])
        ):
            return []
        names: list[str] = self._schema(table).names
        return names

    def _schema(self, table: str) -> pa.Schema:
        if table not in self._schemas:
            self.check_files(table)
            with self.open_part(table, self.parts[0]) as rows:
                self._schemas[table] = rows.schema
        return self._schemas[table]

    def _folder(self, table: str) -> str:
        return table if table == "ledger" else f"{table}/model={self.model}"

    def _state(self) -> str:
        states = {
            "running": "the run is still going or was killed",
            "stopped": "the run was stopped",
        }
        return states.get(self.run.get("state", ""), "the run has ended")


def has_results(ledger: pa.Table) -> pa.ChunkedArray:
    """Says for every row of a ledger whether its clip has results.

    Args:
        ledger: Columns status and num_patches.
    """
    has_patches = pc.greater(ledger["num_patches"], 0)
    found = pc.and_kleene(pc.equal(ledger["status"], "ok"), has_patches)
    return pc.fill_null(found, False)


def stored_values(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Returns the outputs of a run, and how it stored values of patches.

    Args:
        config: The configuration in run.json; that of an older run has no `patches`.
    """
    outputs = config.get("outputs", DEFAULT_OUTPUTS)
    return outputs, config.get("patches", DEFAULT_PATCH_FORMAT)


def vectors_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Returns a column of vectors as a matrix, without a copy if it is one chunk.

    Args:
        column: fixed_size_list<float32>[size].

    Returns:
        float32 [num_rows, size]; the values of null rows are undefined.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    # Not flatten(): it leaves out null rows.
    values = column.values.to_numpy(zero_copy_only=False)
    size = column.type.list_size
    start = column.offset * size
    return values[start : start + len(column) * size].reshape(-1, size)


def _hint(ledger: pa.Table, name: str) -> str:
    """Names clips whose file is called `name.*`; if there is none, the first clips."""
    rows = ledger.filter(pc.match_substring(ledger["uri"], f"/{name}."))
    uris, ids = rows["uri"].to_pylist(), rows["clip_id"].to_pylist()
    near = [i for i, uri in zip(ids, uris, strict=True) if storage.stem(uri) == name]
    if near:
        more = ", ..." if len(near) > _NUM_NAMED else ""
        return f"did you mean {' or '.join(near[:_NUM_NAMED])}{more}?"
    first = ledger["clip_id"][:_NUM_NAMED].to_pylist()
    return f"its clips are {', '.join(first)}, ..."
