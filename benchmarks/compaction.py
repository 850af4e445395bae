"""Measures `fsdsinet compact`, and the search before and after it.

Usage: python -m benchmarks.compaction [--clips N]

The dataset is made: clips of 10 patches with 200 activations and 512 numbers of an
embedding, in shards of 64 clips. No audio is decoded. The whole commands are measured,
with their start. Of a smaller dataset, it is measured how long other readers may see
rows twice (see docs/compaction.md).
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from benchmarks.support.machine import ROOT, measure, save
from pipeline.dataset.folder import Dataset
from pipeline.launch.compact import compact_command
from transforms import storage
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.schemas import (
    DatasetSpec,
    clips_schema,
    ledger_schema,
    part_name,
    patches_schema,
)
from transforms.tables import write_table

SHARD_CLIPS, NUM_PATCHES, NUM_LABELS, SIZE = 64, 10, 200, 512
LABELS = tuple(f"label {number}" for number in range(NUM_LABELS))
MODEL = ModelSpec("made", "made.pb", "0" * 64, "x", "a", "e", LABELS, SIZE)
SPEC = DatasetSpec((MODEL,), ("activations", "embeddings"), PatchSpec(), {})
TARGET_MB = 256
TABLES = ("ledger", "patches/model=made", "clips/model=made")


def write_dataset(root: pathlib.Path, num_clips: int) -> None:
    """Writes a dataset. As in real embeddings no number is negative, and half are 0."""
    rng = np.random.default_rng(0)
    schemas = (
        ledger_schema(SPEC),
        patches_schema(SPEC, MODEL),
        clips_schema(SPEC, MODEL),
    )
    for start in range(0, num_clips, SHARD_CLIPS):
        ids = [
            f"clip-{i:08d}" for i in range(start, min(start + SHARD_CLIPS, num_clips))
        ]
        for table, schema in zip(TABLES, schemas, strict=True):
            rows = (
                ids
                if table != TABLES[1]
                else [i for i in ids for _ in range(NUM_PATCHES)]
            )
            columns = [_column(field, rows, rng) for field in schema]
            uri = str(root / table / part_name(f"{start:08d}"))
            write_table(uri, pa.Table.from_arrays(columns, schema=schema))
    Dataset(str(root)).write_run(
        {
            "state": "finished",
            "models": [{"name": MODEL.name, "path": "made.pb", "sha256": MODEL.sha256}],
            "config": {"outputs": ["activations", "embeddings"]},
        }
    )


def write(root: pathlib.Path, num_clips: int) -> None:
    """Writes a dataset in a child: the peak memory of commands would count its own."""
    command = [sys.executable, "-m", "benchmarks.compaction", "--write", str(root)]
    subprocess.run([*command, "--clips", str(num_clips)], check=True, cwd=ROOT)


def _column(field: pa.Field, ids: list[str], rng: np.random.Generator) -> pa.Array:
    values: dict[str, Any] = {
        "clip_id": ids,
        "uri": [f"/audio/{clip_id}.wav" for clip_id in ids],
        "status": ["ok"] * len(ids),
        "num_patches": [NUM_PATCHES] * len(ids),
        "patch": np.arange(len(ids), dtype=np.int32) % NUM_PATCHES,
    }
    if pa.types.is_fixed_size_list(field.type):
        shape = len(ids) * field.type.list_size
        numbers = np.maximum(rng.standard_normal(shape, dtype=np.float32), 0)
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers), type=field.type)
    if field.type == pa.float64():
        return pa.array(np.arange(len(ids)) % NUM_PATCHES * 0.5)
    if field.name in values:
        return pa.array(values[field.name], field.type)
    return pa.nulls(len(ids), field.type)


def describe(root: pathlib.Path) -> dict[str, float]:
    """Number of parts, and megabytes of all tables."""
    sizes = [path.stat().st_size for path in root.rglob("*.parquet")]
    return {"parts": len([*(root / "ledger").iterdir()]), "mb": sum(sizes) / 1e6}


def doubled_ms(root: str) -> list[float]:
    """Compacts a dataset in this process, and times the swaps.

    Returns:
        For every swap and table, how long rows were in two files: from the moment at
        which the new file is in its place until the last replaced file is deleted.
    """
    times_ms: list[float] = []
    moved_s = 0.0
    move, delete = storage.move_file, storage.delete_file

    def timed_move(uri: str, to: str) -> None:
        nonlocal moved_s
        move(uri, to)
        moved_s = time.perf_counter()
        times_ms.append(0.0)

    def timed_delete(uri: str) -> None:
        delete(uri)
        times_ms[-1] = max(times_ms[-1], (time.perf_counter() - moved_s) * 1e3)

    with mock.patch.multiple(storage, move_file=timed_move, delete_file=timed_delete):
        compact_command(root, TARGET_MB)
    return times_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_dataset(pathlib.Path(arguments.write), arguments.clips)
        return
    search = ("--clip", f"clip-{arguments.clips // 3:08d}")
    results: dict[str, Any] = {"clips": arguments.clips, "target_mb": TARGET_MB}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "out"
        write(root, arguments.clips)
        for name in ("before", "after"):
            if name == "after":
                results["compact"] = measure("compact", str(root))
            results[name] = describe(root) | {
                command[-1]: fastest(arguments.rounds, "search", str(root), *command)
                for command in ((*search, "--top=10"), (*search, "--patches"))
            }
        small = pathlib.Path(folder) / "small"
        write(small, arguments.clips // 10)
        times_ms = doubled_ms(str(small))
    rows = arguments.clips * (NUM_PATCHES + 2)
    results["compact"]["rows_per_s"] = rows / results["compact"]["seconds"]
    results["rows_in_two_files_ms"] = {
        "median": float(np.median(times_ms)),
        "longest": max(times_ms),
    }
    save("compaction", results)


def fastest(rounds: int, *arguments: str) -> dict[str, float]:
    """The fastest of several runs of a command, because the machine may be shared."""
    runs = [measure(*arguments) for _ in range(rounds)]
    return min(runs, key=lambda run: run["seconds"])


if __name__ == "__main__":
    main()
