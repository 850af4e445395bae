"""What of a dataset is committed at one moment, so that it can be read as one whole.

A shard's ledger file is written last: files of other shards may be of a run that is
still going. Where ledger and results disagree otherwise, files were lost or mixed up,
and nothing computed from them would mean anything.
"""

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.dataset.folder import Dataset
from pipeline.errors import DatasetError
from transforms import storage


class Snapshot:
    """The committed files of one model.

    Attributes:
        dataset: The folder.
        model: Name of the model.
        run: Content of run.json.
        names: Of the committed parts, sorted; the same in every table.

    Args:
        output: Folder of a dataset.
        model: Name; may be None if the dataset has one model.

    Raises:
        DatasetError: if there is no such dataset or model, or nothing is committed.
    """

    def __init__(self, output: str, model: str | None) -> None:
        self.dataset = Dataset(output)
        self.run = self.dataset.existing_run()
        self.model = self.dataset.find_model(model)
        self._files: dict[str, list[str]] = {}
        self.names = [*map(storage.file_name, self.dataset.parts("ledger"))]
        if not self.names:
            raise DatasetError(
                f"{self.dataset.shown} has no results yet: {self._state()}"
            )

    def unfinished(self) -> str | None:
        """Says what is missing if the run has not ended; None if it has."""
        if self.run.get("state") == "finished":
            return None
        planned = self.run.get("manifest", {}).get("num_clips", 0)
        done = self.ledger(["clip_id"]).num_rows
        return f"{self._state()}: {done:,} of {planned:,} clips are there"

    def ledger_dataset(self) -> ds.Dataset:
        files = [self.file("ledger", name) for name in self.names]
        return storage.open_dataset(files)

    def ledger(self, columns: list[str]) -> pa.Table:
        return self.ledger_dataset().to_table(columns=columns)

    def file(self, table: str, name: str) -> str:
        """The file of one committed part of `ledger`, `clips` or `patches`."""
        return self.dataset.file(self._folder(table), name)

    def files(self, table: str) -> list[str]:
        """The committed files of `clips` or `patches`.

        Raises:
            DatasetError: if one is missing.
        """
        if table in self._files:
            return self._files[table]
        folder = self._folder(table)
        present = {*map(storage.file_name, self.dataset.parts(folder))}
        lost = [name for name in self.names if name not in present]
        if lost:
            raise DatasetError(
                f"{self.dataset.shown} is damaged: {len(lost):,} of "
                f"{len(self.names):,} ledger files have no file in {folder}, the first "
                f"{lost[0]}; restore them, or extract again with --overwrite"
            )
        self._files[table] = [self.file(table, name) for name in self.names]
        return self._files[table]

    def schema(self, table: str, column: str) -> pa.Schema:
        """The schema of a table of the model.

        Raises:
            DatasetError: if it has no such column.
        """
        schema = pq.read_schema(storage.open_arrow(self.files(table)[0]))
        if column not in schema.names:
            raise DatasetError(
                f"{self.dataset.shown} has no {column} of model {self.model}: it was "
                f"extracted with --outputs {','.join(self.run['config']['outputs'])}"
            )
        return schema

    def labels(self, column: str) -> tuple[str, ...]:
        """The model's labels, in the order of the values of a column of `clips`."""
        return tuple(json.loads(self.schema("clips", column).metadata[b"labels"]))

    def clips(self, column: str) -> Iterator[pa.RecordBatch]:
        """clip_id and one column of all clips, checked against the ledger.

        Raises:
            DatasetError: if clips are not exactly those that the ledger says have
                results.
        """
        expected = self._ids_with_results()
        files = storage.open_dataset(self.files("clips"))
        for batch in files.to_batches(columns=["clip_id", column]):
            for clip_id in batch["clip_id"].to_pylist():
                if clip_id not in expected:
                    raise self.mismatch(clip_id, "has results twice, or none expected")
                expected.remove(clip_id)
            yield batch
        if expected:
            raise self.mismatch(min(expected), "has no results")

    def _ids_with_results(self) -> set[str]:
        ledger = self.ledger(["clip_id", "status", "num_patches"])
        seen: set[str] = set()
        found: set[str] = set()
        rows = zip(*(column.to_pylist() for column in ledger.columns), strict=True)
        for clip_id, status, num_patches in rows:
            if clip_id in seen:
                raise self.mismatch(clip_id, "is in the ledger twice")
            seen.add(clip_id)
            if status == "ok" and num_patches:
                found.add(clip_id)
        return found

    def mismatch(self, clip_id: str, problem: str) -> DatasetError:
        """The error of a clip of which ledger and results differ."""
        return DatasetError(
            f"{self.dataset.shown} is damaged: ledger and clips of model {self.model} "
            f"differ: clip {clip_id!r} {problem}; extract again with --overwrite"
        )

    def _folder(self, table: str) -> str:
        return table if table == "ledger" else f"{table}/model={self.model}"

    def _state(self) -> str:
        states = {
            "running": "the run is still going or was killed",
            "stopped": "the run was stopped",
        }
        return states.get(self.run.get("state", ""), "the run has ended")
