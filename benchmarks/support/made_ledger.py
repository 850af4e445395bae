"""Makes datasets of millions of rows, with a ledger and the top labels of clips."""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.support.machine import ROOT
from pipeline.config import load_config
from pipeline.dataset.part_files import COMPACTED_PREFIX
from pipeline.launch.launch import Run, _run_content, prepare
from transforms import storage
from transforms.schemas import TOP_LABELS_TYPE, ledger_schema, part_name
from transforms.tables import parquet_writer

MODEL = ROOT / "tests" / "data" / "random-tiny-tlpf.pb"
LABELS = ("Bark", "Dog", "Rain")
SHARD_ROWS = 64
# About as many rows as compaction puts in a file and in a row group.
LARGE_ROWS, GROUP_ROWS = 2_000_000, 250_000
_NUM_THREADS = 16


def write_manifest(path: pathlib.Path, num_rows: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("uri,split,labels,rating\n")
        for i in range(num_rows):
            file.write(f'audio/{i % 997:03d}/{i:08d}.wav,train,"Bark,Dog",{i % 5}\n')


def prepared(manifest: str, output: str) -> Run:
    flags = {"inputs": [manifest], "models": [str(MODEL)], "output": output}
    return prepare(load_config(None, [], flags))


def make_dataset(
    manifest: str, output: str, num_rows: int, part_rows: int = LARGE_ROWS
) -> None:
    """Writes a dataset that has the first rows of a manifest.

    Args:
        manifest: Path or uri of the manifest.
        output: Path or uri of the dataset.
        num_rows: Number of rows.
        part_rows: Number of rows in a file: SHARD_ROWS, or LARGE_ROWS as after a
            compaction.
    """
    run = prepared(manifest, output)
    shards = np.random.default_rng(0).permutation(num_rows // SHARD_ROWS)
    order = (shards[:, None] * SHARD_ROWS + np.arange(SHARD_ROWS)).ravel()
    starts = range(0, len(order), part_rows)
    # Few large parts fit into memory at once.
    with ThreadPoolExecutor(_NUM_THREADS if part_rows == SHARD_ROWS else 1) as pool:
        written = pool.map(
            lambda start: _write_part(run, order[start : start + part_rows], start),
            starts,
        )
        for _ in written:
            pass
    run.dataset.write_run(_run_content(run) | {"state": "running"})


def _write_part(run: Run, numbers: npt.NDArray[np.int64], start: int) -> None:
    schema = ledger_schema(run.spec)
    rows = run.plan.manifest.take(numbers)
    made = {"status": ["ok"] * rows.num_rows, "duration_s": np.ones(rows.num_rows)}
    columns = [
        rows[field.name]
        if field.name in rows.column_names
        else pa.array(made.get(field.name, [None] * rows.num_rows), field.type)
        for field in schema
    ]
    labels = [LABELS[number % len(LABELS)] for number in range(rows.num_rows)]
    tops = [[{"label": label, "score": 0.5}] for label in labels]
    top_labels = pa.field("top_labels", TOP_LABELS_TYPE)
    clips = pa.schema([schema.field("clip_id"), top_labels])
    tables = {
        "ledger": pa.Table.from_arrays(columns, schema=schema),
        f"clips/model={run.spec.models[0].name}": pa.table(
            [rows["clip_id"], tops], clips
        ),
    }
    name = part_name(f"{start:08d}")
    if len(numbers) > SHARD_ROWS:
        name = f"{COMPACTED_PREFIX}{start:08d}.parquet"
    for folder, table in tables.items():
        with (
            storage.publish(run.dataset.file(folder, name)) as file,
            parquet_writer(file, table.schema) as writer,
        ):
            writer.write_table(table, row_group_size=GROUP_ROWS)
