"""Reads datasets of the tiny model, and compares them."""

import pathlib

import pyarrow as pa

from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import together
from transforms import storage

MODEL = "random-tiny-tlpf"
ROW_ORDER = [("clip_id", "ascending"), ("patch", "ascending")]


def read(output: pathlib.Path, table: str) -> pa.Table:
    """A whole table in ROW_ORDER, without metadata that differs between equal runs."""
    rows = whole_table(str(output), table)
    order = [key for key in ROW_ORDER if key[0] in rows.schema.names]
    return rows.sort_by(order).combine_chunks()


def whole_table(output: str, table: str) -> pa.Table:
    """A whole table, without metadata."""
    dataset = Dataset(output)
    parts = [storage.file_name(uri) for uri in dataset.parts(table)]
    rows = together(dataset.files.read_each(table, parts))
    return rows.replace_schema_metadata(None)


def assert_same_dataset(one: pathlib.Path, other: pathlib.Path) -> None:
    for table in ("ledger", f"patches/model={MODEL}", f"clips/model={MODEL}"):
        assert read(one, table).equals(read(other, table)), table


def assert_tidy(output: pathlib.Path) -> None:
    """A dataset has no temporary files, and every part is of a committed shard."""
    assert sorted(p.name for p in output.iterdir()) == [
        "clips",
        "ledger",
        "patches",
        "run.json",
    ]
    committed = {path.name for path in (output / "ledger").iterdir()}
    for path in output.rglob("*"):
        if path.is_file() and path.name != "run.json":
            assert path.name in committed
