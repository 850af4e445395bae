"""The dataset folder: its ledger, its run.json, and what a run may do to it."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from transforms import storage
from transforms.parquet import write_table
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import FileInfo, StorageError

FORMAT = "fsd-sinet-beam dataset"
_RUN_NAME = "run.json"
_PLAN_NAME = "plan.arrow"
_LOCK_NAME = "run.lock"
_PART = re.compile(r"part-[^/.]+\.parquet")
_PART_FOLDER = re.compile(r"ledger|patches/[^/]+|clips/[^/]+")
# What transforms.storage.publish leaves on a disk if it is killed.
_TEMPORARY = re.compile(
    r"\.(part-.+\.parquet|run\.json|plan\.arrow)\.[0-9a-f]{32}\.tmp"
)


class Dataset:
    """One output folder, on a disk or in a bucket.

    Nothing is created or changed by the constructor. Only files with our names are ever
    removed; others in the folder are left alone.

    Attributes:
        root: The folder, an absolute path or a uri.
        shown: The same for people.
    """

    def __init__(self, path: str) -> None:
        try:
            self.root = storage.absolute(path)
        except ValueError as error:
            raise ConfigError(f"output: {error}") from error
        self.shown = storage.shown(self.root)
        self._held: storage.Held | None = None

    @property
    def plan_path(self) -> str:
        return storage.join(self.root, _PLAN_NAME)

    @property
    def _run_path(self) -> str:
        return storage.join(self.root, _RUN_NAME)

    def check_writable(self) -> None:
        """Raises ConfigError unless the folder is ours, or can be made so."""
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
                f"output {self.shown} has files but no {_RUN_NAME}, so it is no "
                "dataset of ours; give an empty or new folder"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out of the folder until the block ends."""
        with contextlib.ExitStack() as stack:
            try:
                lock = storage.lock_folder(self.root, _say)
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
        """False once another run may have taken the folder, or it cannot be reached."""
        with contextlib.suppress(StorageError):
            return self._held is not None and self._held.is_held()
        return False

    def is_being_written(self) -> bool:
        """True while a run holds the folder's lock, as far as can be told from here."""
        return storage.is_locked(self.root)

    def state(self) -> object:
        """Differs if a run has written to the dataset in between."""
        return self.run(), self.parts("ledger")

    def run(self) -> dict[str, Any]:
        """The content of run.json; empty if there is none.

        Raises:
            ConfigError: if it is not one of ours.
        """
        path = storage.shown(self._run_path)
        try:
            content = json.loads(storage.read_file(self._run_path))
        except StorageError as error:
            if error.kind == "not_found":
                return {}
            raise ConfigError(f"cannot read {error}") from error
        except ValueError as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ConfigError(
                f"{path} is not of a dataset of ours; give another folder"
            )
        return content

    def existing_run(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            ConfigError: if there is none, or it is not one of ours.
        """
        run = self.run()
        if not run:
            raise ConfigError(f"{self.shown} is no dataset: it has no {_RUN_NAME}")
        return run

    def write_run(self, content: dict[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **content}, indent=1, ensure_ascii=False)
        with storage.publish(self._run_path) as file:
            # Names of files that are not UTF-8 become escapes, as JSON has them.
            file.write((text + "\n").encode("utf-8", "backslashreplace"))

    def model_names(self) -> list[str]:
        return [model["name"] for model in self.run().get("models", [])]

    def find_model(self, name: str | None) -> str:
        """The model of that name, or the only one if no name is given.

        Raises:
            ConfigError: if there is none, or a name is needed.
        """
        names = self.model_names()
        if name is None and len(names) == 1:
            return names[0]
        if name not in names:
            raise ConfigError(f"model is {name!r}, expected one of: {', '.join(names)}")
        return str(name)

    def parts(self, table: str) -> list[str]:
        """Committed files of a table: `ledger`, `clips/model=NAME`, ..."""
        found = (info.uri for info in self._files(table))
        return [uri for uri in found if _PART.fullmatch(storage.file_name(uri))]

    def file(self, table: str, name: str) -> str:
        """Where a part of a table is, or would be."""
        return storage.join(self.root, *table.split("/"), name)

    def open_table(self, table: str) -> ds.Dataset | None:
        """A table of the dataset, None as long as it has no file."""
        files = self.parts(table)
        return storage.open_dataset(files) if files else None

    def read_ledger(self, columns: list[str] | None = None) -> pa.Table:
        ledger = self.open_table("ledger")
        if ledger is None:
            types = {field.name: field.type for field in LEDGER_FIELDS}
            return pa.table({n: pa.array([], types[n]) for n in columns or types})
        return ledger.to_table(columns=columns)

    def read_done(self) -> pa.Table:
        """clip_id, uri and status of the ledger, and the manifest's columns in it."""
        ledger = self.open_table("ledger")
        assert ledger is not None
        carried = ledger.schema.names[len(LEDGER_FIELDS) :]
        return ledger.to_table(columns=["clip_id", "uri", "status", *carried])

    def remove(self) -> None:
        """Removes the dataset: the ledger first, run.json last."""
        self.remove_temporary()
        parts = self._all_parts()
        ledger = set(self.parts("ledger"))
        for uri in sorted(parts, key=lambda uri: uri not in ledger):
            storage.delete_file(uri)
        for folder in sorted({storage.folder_of(uri) for uri in parts}):
            storage.prune_folder(folder, self.root)
        storage.delete_file(self._run_path)

    def remove_uncommitted(self) -> None:
        """Removes temporary files, and parts whose shard has no ledger file."""
        self.remove_temporary()
        committed = {storage.file_name(uri) for uri in self.parts("ledger")}
        for uri in self._all_parts():
            if storage.file_name(uri) not in committed:
                storage.delete_file(uri)

    def remove_temporary(self) -> None:
        """Removes the plan and what killed processes had begun to write."""
        storage.delete_file(self.plan_path)
        for info in self._files(recursive=True):
            if _TEMPORARY.fullmatch(storage.file_name(info.uri)):
                storage.delete_file(info.uri)

    def forget_failed(self) -> None:
        """Takes failed rows out of the ledger, so that they are to be done again.

        A shard without other rows loses its ledger file. Killed half-way, the rows
        that are gone are done by the next run like any others.
        """
        for uri in self.parts("ledger"):
            # Not read_table: its schema would get a column from the path.
            ledger = pq.ParquetFile(storage.open_arrow(uri)).read()
            kept = ledger.filter(pc.equal(ledger["status"], "ok"))
            if not kept.num_rows:
                storage.delete_file(uri)
            elif kept.num_rows < ledger.num_rows:
                write_table(uri, kept)

    def _files(self, table: str = "", recursive: bool = False) -> list[FileInfo]:
        folder = storage.join(self.root, *table.split("/")) if table else self.root
        return list(storage.list_files(folder, recursive, hidden=True))

    def _all_parts(self) -> list[str]:
        """Parts of all tables, committed or not."""
        found = []
        for info in self._files(recursive=True):
            folder, _, name = info.uri[len(self.root) + 1 :].rpartition("/")
            if _PART.fullmatch(name) and _PART_FOLDER.fullmatch(folder):
                found.append(info.uri)
        return found


def _say(text: str) -> None:
    print(f"fsdsinet: {text}", file=sys.stderr)
