"""The dataset folder: its lock, run.json and ledger, and the removal of its files."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.console import say
from pipeline.dataset.commit_record import RECORD_NAME, committed_parts
from pipeline.dataset.index_files import INDEX_TEMPORARY, remove_indexes
from pipeline.dataset.part_files import PARTS_KEY, PartFiles, together
from pipeline.errors import ConfigError, DatasetError
from transforms import storage
from transforms.elements import shard_name
from transforms.recordings.unfinished_files import (
    UNFINISHED_FOLDER,
    is_recording_folder,
    is_unfinished_file,
)
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import FileInfo, StorageError
from transforms.tables import write_table

FORMAT = "fsd-sinet-beam dataset"
# Columns of the ledger that say which clips are done, and from which files and times.
DONE_COLUMNS = (
    "clip_id",
    "uri",
    "status",
    "file_size_bytes",
    "file_modified",
    "recorded_at",
    "recorded_at_source",
)
_RUN_NAME = "run.json"
_PLAN_NAME = "plan.arrow"
_LOCK_NAME = "run.lock"
_PART = re.compile(r"part-[^/.]+\.parquet")
_PART_FOLDER = re.compile(r"ledger|(patches|clips|events)/[^/]+")
# Temporary files that transforms.storage.publish leaves on a disk if it is killed.
_TEMPORARY = re.compile(
    r"\.(part-.+\.parquet|run\.json|compaction\.json|plan\.arrow)\.[0-9a-f]{32}\.tmp"
)


class Dataset:
    """One output folder, on a disk or in a bucket.

    The constructor creates and changes nothing. Files whose names are not those of a
    dataset are never removed.

    Attributes:
        root: Absolute path or uri of the folder.
        shown: The folder as messages show it, without credentials.
        files: Files of the dataset's parts.
    """

    def __init__(self, path: str) -> None:
        try:
            self.root = storage.absolute(path)
        except ValueError as error:
            raise ConfigError(f"output: {error}") from error
        self.shown = storage.shown(self.root)
        self.files = PartFiles(self.root)
        self._held: storage.Held | None = None

    @property
    def plan_path(self) -> str:
        return storage.join(self.root, _PLAN_NAME)

    @property
    def _run_path(self) -> str:
        return storage.join(self.root, _RUN_NAME)

    def check_writable(self) -> None:
        """Raises an error unless a run may write its dataset to this folder.

        Raises:
            ConfigError: if the folder cannot be written, or holds other files.
            DatasetError: if its run.json cannot be read.
        """
        try:
            storage.check_writable(self.root)
        except StorageError as error:
            raise ConfigError(f"output {error}") from error
        if self.run():
            return
        try:
            names = storage.list_names(self.root)
        except StorageError as error:
            raise ConfigError(f"output {error}") from error
        if not all(name == _LOCK_NAME or _TEMPORARY.fullmatch(name) for name in names):
            raise ConfigError(
                f"output {self.shown} has files but no {_RUN_NAME}, so it is not a "
                "dataset; give an empty or new folder"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out of the folder until the block ends."""
        with contextlib.ExitStack() as stack:
            try:
                lock = storage.lock_folder(self.root, say)
                self._held = stack.enter_context(lock)
            except StorageError as error:
                if error.kind == "locked":
                    raise ConfigError(
                        f"another run is writing to {self.shown}; wait for it or stop "
                        "it"
                    ) from error
                raise ConfigError(f"output {error}") from error
            yield

    def is_ours(self) -> bool:
        """Whether this run still holds the lock of the folder.

        False, too, if the folder cannot be reached.
        """
        with contextlib.suppress(StorageError):
            return self._held is not None and self._held.is_held()
        return False

    def is_being_written(self) -> bool:
        """Whether a run holds the lock of the folder; other machines may not see it."""
        return storage.is_locked(self.root)

    def state(self) -> tuple[dict[str, Any], list[str]]:
        """`run` and `committed`, which change whenever a run writes to the dataset."""
        return self.run(), self.committed()

    def run(self) -> dict[str, Any]:
        """Returns the content of run.json; empty if the file does not exist.

        Raises:
            DatasetError: if the file cannot be read, or another program wrote it.
        """
        path = storage.shown(self._run_path)
        try:
            content = json.loads(storage.read_file(self._run_path))
        except StorageError as error:
            if error.kind == "not_found":
                return {}
            raise DatasetError(f"cannot read {error}") from error
        except ValueError as error:
            raise DatasetError(f"cannot read {path}: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DatasetError(
                f"{path} was not written by fsdsinet: expected the format {FORMAT!r}; "
                "give another folder"
            )
        return content

    def existing_run(self) -> dict[str, Any]:
        """Returns the content of run.json.

        Raises:
            DatasetError: if the file does not exist, cannot be read, or another
                program wrote it.
        """
        run = self.run()
        if not run:
            raise DatasetError(
                f"{self.shown} is not a dataset: it has no {_RUN_NAME}; give the "
                "folder that extract wrote"
            )
        return run

    def write_run(self, content: dict[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **content}, indent=1, ensure_ascii=False)
        with storage.publish(self._run_path) as file:
            # Bytes of file names that are not UTF-8 become escapes.
            file.write((text + "\n").encode("utf-8", "backslashreplace"))

    def model_names(self) -> list[str]:
        return [model["name"] for model in self.run().get("models", [])]

    def find_model(self, name: str | None) -> str:
        """Returns the name of a model of the dataset.

        Args:
            name: Name to look for; None for the only model.

        Raises:
            ConfigError: if there is no such model, or `name` is None and there are
                several models.
        """
        names = self.model_names()
        if name is None and len(names) == 1:
            return names[0]
        if name not in names:
            given = "no model was given" if name is None else f"model is {name!r}"
            raise ConfigError(f"{given}, expected one of: {', '.join(names)}")
        return str(name)

    def committed(self) -> list[str]:
        """File names of the committed parts, sorted; the same in every table."""
        return committed_parts(
            self.root, lambda: map(storage.file_name, self.parts("ledger"))
        )

    def parts(self, table: str) -> list[str]:
        """Uris of the files in the folder of a table: `ledger`, `clips/model=NAME`, ...

        They may belong to shards that are not committed yet. While parts are replaced,
        both the new part and replaced ones may be among them.
        """
        found = (info.uri for info in self._files(table))
        return [uri for uri in found if _PART.fullmatch(storage.file_name(uri))]

    def file(self, table: str, name: str) -> str:
        """Uri of a file of a table; the file need not exist."""
        return self.files.uri(table, name)

    def read_ledger(
        self, columns: Sequence[str] | None = None, parts: Sequence[str] | None = None
    ) -> pa.Table:
        """Reads columns of the ledger, all columns if None.

        Without parts, the table has no rows, and the columns that every ledger has.

        Args:
            columns: Names of the columns.
            parts: File names of the parts to read; None for all committed parts.
        """
        parts = self.committed() if parts is None else parts
        if parts:
            return together(self.files.read_each("ledger", parts, columns))
        types = {field.name: field.type for field in LEDGER_FIELDS}
        return pa.table({n: pa.array([], types[n]) for n in columns or types})

    def done_blocks(self, parts: Sequence[str]) -> Iterator[pa.Table]:
        """Reads DONE_COLUMNS and the manifest's columns of the ledger, in blocks.

        Args:
            parts: File names of the committed parts, at least one.
        """
        with self.files.open("ledger", parts[0]) as rows:
            carried = rows.schema.names[len(LEDGER_FIELDS) :]
        return self.files.read_blocks("ledger", parts, [*DONE_COLUMNS, *carried])

    def remove_rows(self) -> None:
        """Removes all rows, the ledger first, and everything that was made of them.

        run.json stays until the next run replaces it. If this process is killed before,
        a folder with files of the user but without run.json would be refused.
        """
        parts = [*self._parts_among(self.remove_temporary())]
        self.remove_unfinished([])
        remove_indexes(self.root)
        for _, info in sorted(parts, key=lambda part: part[0] != "ledger"):
            storage.delete_file(info.uri)
        storage.delete_file(storage.join(self.root, RECORD_NAME))
        for folder in sorted({storage.folder_of(info.uri) for _, info in parts}):
            storage.prune_folder(folder, self.root)

    def remove_uncommitted(self) -> None:
        """Removes temporary files, and parts whose shard has no ledger file."""
        parts = [*self._parts_among(self.remove_temporary())]
        committed = {
            storage.file_name(info.uri) for table, info in parts if table == "ledger"
        }
        for _, info in parts:
            if storage.file_name(info.uri) not in committed:
                storage.delete_file(info.uri)

    def remove_temporary(self) -> list[FileInfo]:
        """Removes the plan, and files that killed processes had begun to write.

        Returns:
            All files that the folder had, so that callers need not list it again.
        """
        storage.delete_file(self.plan_path)
        files = self._files(recursive=True)
        for info in files:
            name = storage.file_name(info.uri)
            if _TEMPORARY.fullmatch(name) or INDEX_TEMPORARY.fullmatch(name):
                storage.delete_file(info.uri)
        return files

    def remove_indexes(self) -> None:
        """Removes search indexes before rows are computed again.

        The part of the new rows may have the name of the part of the old ones.
        """
        if remove_indexes(self.root):
            say(
                "the search index is removed, because rows are computed again; build "
                "it again with search --build-index"
            )

    def remove_unfinished(self, kept: Iterable[object]) -> None:
        """Removes what is computed of long recordings that have no ledger row yet.

        Args:
            kept: clip_ids of the recordings that keep it, text or Arrow strings.
        """
        folder = storage.join(self.root, UNFINISHED_FOLDER)
        found = storage.list_names(folder)
        names = {shard_name([str(clip_id)]) for clip_id in kept} if found else set()
        for name in filter(is_recording_folder, sorted(found - names)):
            place = storage.join(folder, name)
            for info in storage.list_files(place, hidden=True):
                if is_unfinished_file(storage.file_name(info.uri)):
                    storage.delete_file(info.uri)
            # A killed worker may have left an empty folder.
            storage.prune_folder(place, folder)
        storage.prune_folder(folder, self.root)

    def forget_failed(self) -> None:
        """Removes the rows of failed clips from the ledger, so that a run repeats them.

        A shard that has only failed rows loses its ledger file. If this process is
        killed half-way, the next run repeats the clips whose rows are gone already.
        """
        self.remove_indexes()
        for uri in self.parts("ledger"):
            # Not read_table: it would add a column for a folder named key=value.
            ledger = pq.ParquetFile(storage.open_arrow(uri)).read()
            kept = ledger.filter(pc.equal(ledger["status"], "ok"))
            if not kept.num_rows:
                storage.delete_file(uri)
            elif kept.num_rows < ledger.num_rows:
                # A compacted file says which rows came from which part.
                metadata = dict(kept.schema.metadata or {})
                metadata.pop(PARTS_KEY, None)
                write_table(uri, kept.replace_schema_metadata(metadata))

    def _files(self, table: str = "", recursive: bool = False) -> list[FileInfo]:
        folder = storage.join(self.root, *table.split("/")) if table else self.root
        return list(storage.list_files(folder, recursive, hidden=True))

    def table_sizes(self, parts: Iterable[str]) -> dict[str, dict[str, int]]:
        """Returns part -> table in which it has a file -> size of the file in bytes."""
        sizes: dict[str, dict[str, int]] = {part: {} for part in parts}
        for table, info in self._parts_among(self._files(recursive=True)):
            name = storage.file_name(info.uri)
            if name in sizes:
                sizes[name][table] = info.size_bytes or 0
        return sizes

    def _parts_among(self, files: Iterable[FileInfo]) -> Iterator[tuple[str, FileInfo]]:
        """Yields table and file of the parts of all tables, committed or not."""
        for info in files:
            folder, _, name = info.uri[len(self.root) + 1 :].rpartition("/")
            if _PART.fullmatch(name) and _PART_FOLDER.fullmatch(folder):
                yield folder, info
