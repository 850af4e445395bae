"""The dataset folder: its ledger, its run.json, and what a run may do to it."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from transforms.parquet import write_table
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import TEMPORARY_SUFFIX, publish

TABLES = ("ledger", "patches", "clips")
PLAN_NAME = "plan.arrow"
_RUN_NAME = "run.json"


class Dataset:
    """One output folder. Nothing is created or changed by the constructor."""

    def __init__(self, path: str) -> None:
        self.root = pathlib.Path(path).absolute()

    @property
    def plan_path(self) -> pathlib.Path:
        return self.root / PLAN_NAME

    def check_writable(self) -> None:
        """Raises ConfigError unless the folder is ours, or can be made so."""
        if self.root.exists() and not self.root.is_dir():
            raise ConfigError(f"output {self.root} is a file, expected a folder")
        existing = self.root
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigError(f"output {self.root} cannot be written: check {existing}")
        if self.root.exists() and not self.run() and any(self.root.iterdir()):
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
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise ConfigError(
                f"another run is writing to {self.root}; wait for it or stop it"
            ) from error
        finally:
            os.close(descriptor)

    def state(self) -> object:
        """Differs if a run has written to the dataset in between."""
        return self.run(), [path.name for path in self.parts("ledger")]

    def run(self) -> dict[str, Any]:
        """The content of run.json; empty if there is none."""
        path = self.root / _RUN_NAME
        if not path.is_file():
            return {}
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        return content

    def write_run(self, content: dict[str, Any]) -> None:
        with publish(str(self.root / _RUN_NAME)) as file:
            file.write(
                (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
            )

    def model_names(self) -> list[str]:
        return [model["name"] for model in self.run().get("models", [])]

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
            return pa.table({name: pa.array([], pa.string()) for name in columns or []})
        return ledger.to_table(columns=columns)

    def read_done(self) -> pa.Table:
        """clip_id, uri and status of the ledger, and the manifest's columns in it."""
        ledger = self.open_table("ledger")
        assert ledger is not None
        carried = ledger.schema.names[len(LEDGER_FIELDS) :]
        return ledger.to_table(columns=["clip_id", "uri", "status", *carried])

    def remove(self) -> None:
        """Removes the tables and run.json, the latter last; foreign files stay."""
        for table in TABLES:
            if (self.root / table).exists():
                shutil.rmtree(self.root / table)
        self.plan_path.unlink(missing_ok=True)
        (self.root / _RUN_NAME).unlink(missing_ok=True)

    def remove_uncommitted(self) -> None:
        """Removes temporary files, and parts whose shard has no ledger file."""
        committed = {path.name for path in self.parts("ledger")}
        for path in self.root.rglob(f".*{TEMPORARY_SUFFIX}"):
            path.unlink()
        for table in TABLES[1:]:
            for path in self.root.glob(f"{table}/model=*/part-*.parquet"):
                if path.name not in committed:
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
