"""Measures how encodings of floats in Parquet change size and write time.

Usage: python -m benchmarks.parquet_encodings OUT [--rounds N]

OUT is a dataset of real recordings. Each part of its patches and clips is written again
with every encoding, to memory.
"""

import argparse
import io
import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support.machine import save
from pipeline.dataset.folder import Dataset
from transforms.storage import open_arrow

LEVELS = (1, 3, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    save(
        "parquet-encodings",
        {
            f"{table}/model={model}": measure(
                read_parts(dataset, f"{table}/model={model}"), arguments.rounds
            )
            for table, model in itertools.product(
                ("patches", "clips"), dataset.model_names()
            )
        },
    )


def read_parts(dataset: Dataset, table: str) -> list[pa.Table]:
    return [pq.ParquetFile(open_arrow(uri)).read() for uri in dataset.parts(table)]


def measure(parts: list[pa.Table], rounds: int) -> dict[str, Any]:
    """Size and median write time of all parts with every encoding."""
    options = dict(encodings(parts[0].schema))
    times: dict[str, list[float]] = {name: [] for name in options}
    sizes = {}
    for _ in range(rounds):
        # Encodings take turns, so that a slow moment of the machine hits them all.
        for name, option in options.items():
            started = time.perf_counter()
            sizes[name] = sum(written_size(part, option) for part in parts)
            times[name].append(time.perf_counter() - started)
    return {
        "parts": len(parts),
        "rows": sum(part.num_rows for part in parts),
        "arrow_bytes": sum(part.nbytes for part in parts),
        "encodings": {
            name: {
                "bytes": sizes[name],
                "median_ms": round(statistics.median(times[name]) * 1e3, 1),
            }
            for name in options
        },
    }


def encodings(schema: pa.Schema) -> Iterator[tuple[str, dict[str, Any]]]:
    # As in transforms.parquet.
    text = [field.name for field in schema if field.type == pa.string()]
    split = {path: "BYTE_STREAM_SPLIT" for path in map(_float_path, schema) if path}
    for level in LEVELS:
        zstd = {"compression": "zstd", "compression_level": level}
        yield (
            f"split, zstd {level}",
            {
                **zstd,
                "use_dictionary": text,
                "column_encoding": split,
            },
        )
        yield f"plain, zstd {level}", {**zstd, "use_dictionary": text}
        yield f"dictionary, zstd {level}", {**zstd, "use_dictionary": True}
    yield "plain, snappy", {"compression": "snappy", "use_dictionary": text}


def written_size(table: pa.Table, options: dict[str, Any]) -> int:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.tell()


def _float_path(field: pa.Field) -> str | None:
    """Parquet's path of the floats in a column; None if it has none."""
    if pa.types.is_fixed_size_list(field.type):
        return f"{field.name}.list.element"
    return field.name if pa.types.is_floating(field.type) else None


if __name__ == "__main__":
    main()
