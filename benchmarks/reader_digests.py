"""Prints a digest of every table of a dataset, as one reader of Parquet returns it.

Usage: python benchmarks/reader_digests.py READER OUT

READER is pandas, pyarrow, polars, duckdb, fastparquet or spark. Readers that return the
same values print the same lines. The script runs in an environment that has only the
reader, so that old and heavy readers need not be installed beside this project.
"""

import hashlib
import importlib
import pathlib
import struct
import sys
from collections.abc import Callable
from typing import Any

Rows = list[dict[Any, Any]]
# fastparquet returns None for lists of structs, and no list for lists of one text.
NOT_COMPARED = ("top_labels", "flags", "file_modified")


def main() -> None:
    name, root = sys.argv[1], pathlib.Path(sys.argv[2])
    read = READERS[name]
    folders = [root / "ledger"]
    for table in ("patches", "clips"):
        folders += sorted((root / table).glob("model=*"))
    for folder in folders:
        rows = read(str(folder))
        columns = sorted(set(rows[0]) - {"model", *NOT_COMPARED})
        order = sorted(rows, key=lambda row: (row["clip_id"], row.get("patch", 0)))
        digest = hashlib.sha256()
        for row in order:
            for column in columns:
                digest.update(to_bytes(column, row[column]))
        print(folder.relative_to(root), len(rows), digest.hexdigest()[:16])


def to_bytes(column: str, value: Any) -> bytes:
    """The value as bytes that do not depend on the type that the reader chose."""
    if value is None or (not hasattr(value, "__len__") and value != value):
        return b"missing"
    if isinstance(value, str):
        return value.encode()
    if hasattr(value, "__len__"):
        return struct.pack(f"<{len(value)}f", *value)
    return struct.pack("<d", value)


def read_pandas(folder: str) -> Rows:
    import pandas

    return pandas.read_parquet(folder).to_dict("records")


def read_pyarrow(folder: str) -> Rows:
    import pyarrow.dataset

    return pyarrow.dataset.dataset(folder).to_table().to_pylist()


def read_polars(folder: str) -> Rows:
    import polars

    return polars.read_parquet(f"{folder}/*.parquet").to_dicts()


def read_duckdb(folder: str) -> Rows:
    import duckdb

    found = duckdb.read_parquet(f"{folder}/*.parquet")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def read_fastparquet(folder: str) -> Rows:
    fastparquet = importlib.import_module("fastparquet")
    return fastparquet.ParquetFile(folder).to_pandas().to_dict("records")


def read_spark(folder: str) -> Rows:
    sql = importlib.import_module("pyspark.sql")
    session = sql.SparkSession.builder.master("local[1]").getOrCreate()
    return [row.asDict() for row in session.read.parquet(folder).collect()]


READERS: dict[str, Callable[[str], Rows]] = {
    "pandas": read_pandas,
    "pyarrow": read_pyarrow,
    "polars": read_polars,
    "duckdb": read_duckdb,
    "fastparquet": read_fastparquet,
    "spark": read_spark,
}

if __name__ == "__main__":
    main()
