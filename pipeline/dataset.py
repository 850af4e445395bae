"""The dataset folder: its ledger, its run.json, and what a run may do to it."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from transforms.parquet import write_table
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import URI_SCHEME, publish

FORMAT = "fsd-sinet-beam dataset"
_RUN_NAME = "run.json"
_PLAN_NAME = "plan.arrow"
_PARTS = ("ledger/part-*.parquet", "patches/*/part-*.parquet", "clips/*/part-*.parquet")
# What transforms.storage.publish leaves if it is killed.
_TEMPORARY = re.compile(
    r"^\.(part-.+\.parquet|run\.json|plan\.arrow)\.[0-9a-f]{32}\.tmp$"
)


class Dataset:
    """One output folder. Nothing is created or changed by the constructor.

    Only files with our names are ever removed; others in the folder are left alone.
    """

    def __init__(self, path: str) -> None:
        if re.match(URI_SCHEME, path):
            raise ConfigError(f"output is {path!r}, expected a local folder")
        try:
            path.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ConfigError(f"output {path!r} is not a UTF-8 name") from error
        self.root = pathlib.Path(os.path.abspath(path))

    @property
    def plan_path(self) -> pathlib.Path:
        return self.root / _PLAN_NAME

    def check_writable(self) -> None:
        """Raises ConfigError unless the folder is ours, or can be made so."""
        if self.root.exists() and not self.root.is_dir():
            raise ConfigError(f"output {self.root} is a file, expected a folder")
        existing = self.root
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigError(f"output {self.root} cannot be written: check {existing}")
        if not self.root.exists() or self.run():
            return
        if not all(_TEMPORARY.match(path.name) for path in self.root.iterdir()):
            raise ConfigError(
                f"output {self.root} has files but no {_RUN_NAME}, so it is no dataset "
                "of ours; give an empty or new folder"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out of the folder until the block ends.

        The lock belongs to the process, not to a file: a killed run leaves none.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root, os.O_RDONLY)
        except OSError as error:
            raise ConfigError(
                f"output {self.root} cannot be written: {error}"
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another run is writing to {self.root}; wait for it or stop it"
                ) from error
            yield
        finally:
            os.close(descriptor)

    def is_being_written(self) -> bool:
        """True while a run on this machine holds the folder's lock."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def state(self) -> object:
        """Differs if a run has written to the dataset in between."""
        return self.run(), [path.name for path in self.parts("ledger")]

    def run(self) -> dict[str, Any]:
        """The content of run.json; empty if there is none.

        Raises:
            ConfigError: if it is not one of ours.
        """
        path = self.root / _RUN_NAME
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ConfigError(
                f"{path} is not of a dataset of ours; give another folder"
            )
        return content

    def write_run(self, content: dict[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **content}, indent=1, ensure_ascii=False)
        with publish(str(self.root / _RUN_NAME)) as file:
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

    def parts(self, table: str) -> list[pathlib.Path]:
        """Committed files of a table: `ledger`, `clips/model=NAME`, ..."""
        return sorted((self.root / table).glob("part-*.parquet"))

    def open_table(self, table: str) -> ds.Dataset | None:
        """A table of the dataset, None as long as it has no file."""
        files = [str(path) for path in self.parts(table)]
        return ds.dataset(files, format="parquet") if files else None

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
        for pattern in _PARTS:
            for path in self.root.glob(pattern):
                path.unlink()
                _remove_empty(path.parent, self.root)
        (self.root / _RUN_NAME).unlink(missing_ok=True)

    def remove_uncommitted(self) -> None:
        """Removes temporary files, and parts whose shard has no ledger file."""
        self.remove_temporary()
        committed = {path.name for path in self.parts("ledger")}
        for pattern in _PARTS[1:]:
            for path in self.root.glob(pattern):
                if path.name not in committed:
                    path.unlink()

    def remove_temporary(self) -> None:
        """Removes the plan and what killed processes had begun to write."""
        self.plan_path.unlink(missing_ok=True)
        for pattern in (".*", "ledger/.*", "patches/*/.*", "clips/*/.*"):
            for path in self.root.glob(pattern):
                if _TEMPORARY.match(path.name):
                    path.unlink()

    def forget_failed(self) -> None:
        """Takes failed rows out of the ledger, so that they are to be done again.

        A shard without other rows loses its ledger file. Killed half-way, the rows
        that are gone are done by the next run like any others.
        """
        for path in self.parts("ledger"):
            # Not read_table: its schema would get a column from the path.
            ledger = pq.ParquetFile(path).read()
            kept = ledger.filter(pc.equal(ledger["status"], "ok"))
            if not kept.num_rows:
                path.unlink()
            elif kept.num_rows < ledger.num_rows:
                write_table(path, kept)


def _remove_empty(folder: pathlib.Path, root: pathlib.Path) -> None:
    """Removes a folder and its parents below root as far as they are empty."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
