"""Reads datasets of the tiny model, and compares them."""

import pathlib

import pyarrow as pa

from pipeline.dataset.folder import Dataset
from transforms import storage

MODEL = "random-tiny-tlpf"
ROW_ORDER = [("clip_id", "ascending"), ("patch", "ascending")]


def read(output: pathlib.Path, table: str) -> pa.Table:
    """A whole table in ROW_ORDER, without metadata that differs between equal runs."""
    data = storage.open_dataset(Dataset(str(output)).parts(table))
    order = [key for key in ROW_ORDER if key[0] in data.schema.names]
    return data.to_table().sort_by(order).replace_schema_metadata(None).combine_chunks()


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
