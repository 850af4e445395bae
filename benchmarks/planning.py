"""Measures time and memory of planning, continuing and summing up ten million rows.

Usage: python -m benchmarks.planning [--rows N]

Each part is a process of its own:
- new: `extract --dry-run` of a manifest.
- plan: what a run does before its workers start. It also writes the plan file, and
  counts the shards in it.
- continued: `extract --dry-run` on a dataset that has half of the clips.
- finished: `extract` on a dataset that has all clips, which sums it up.

The datasets are made: their ledgers are compacted, from shards of 64 clips in any
order, and the table of clips has only the columns that a summary reads. No audio file
exists: to look up a file that exists takes longer, above all on a disk that was not
read before.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa

from benchmarks.support.machine import ROOT, save
from pipeline.cli.main import main as fsdsinet
from pipeline.config import load_config
from pipeline.dataset.part_files import COMPACTED_PREFIX
from pipeline.launch.launch import Run, _run_content, prepare
from pipeline.launch.plan import write_plan
from transforms.parquet import parquet_writer
from transforms.schemas import TOP_LABELS_TYPE, ledger_schema

MODEL = ROOT / "tests" / "data" / "random-tiny-tlpf.pb"
LABELS = ("Bark", "Dog", "Rain")
# About as many rows as compaction puts in a file and in a row group.
PART_ROWS, GROUP_ROWS, SHARD_ROWS = 2_000_000, 250_000, 64


def write_manifest(path: pathlib.Path, num_rows: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("uri,split,labels,rating\n")
        for i in range(num_rows):
            file.write(f'audio/{i % 997:03d}/{i:08d}.wav,train,"Bark,Dog",{i % 5}\n')


def prepared(manifest: str, output: str) -> Run:
    flags = {"inputs": [manifest], "models": [str(MODEL)], "output": output}
    return prepare(load_config(None, [], flags))


def make_dataset(manifest: str, output: str, num_rows: int) -> None:
    """Writes a dataset that has the first rows of a manifest."""
    run = prepared(manifest, output)
    model = run.spec.models[0].name
    schema = ledger_schema(run.spec)
    clips = pa.schema(
        [schema.field("clip_id"), pa.field("top_labels", TOP_LABELS_TYPE)]
    )
    shards = np.random.default_rng(0).permutation(num_rows // SHARD_ROWS)
    order = (shards[:, None] * SHARD_ROWS + np.arange(SHARD_ROWS)).ravel()
    for start in range(0, len(order), PART_ROWS):
        rows = run.plan.manifest.take(order[start : start + PART_ROWS])
        ones = np.ones(rows.num_rows)
        made = {"status": ["ok"] * rows.num_rows, "duration_s": ones}
        labels = [LABELS[number % len(LABELS)] for number in range(rows.num_rows)]
        columns = [
            rows[field.name]
            if field.name in rows.column_names
            else pa.array(made.get(field.name, [None] * rows.num_rows), field.type)
            for field in schema
        ]
        tops = [[{"label": label, "score": 0.5}] for label in labels]
        tables = {
            "ledger": pa.Table.from_arrays(columns, schema=schema),
            f"clips/model={model}": pa.table([rows["clip_id"], tops], clips),
        }
        for folder, table in tables.items():
            place = pathlib.Path(output) / folder
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"{COMPACTED_PREFIX}{start:08d}.parquet"
            with open(path, "wb") as file, parquet_writer(file, table.schema) as writer:
                writer.write_table(table, row_group_size=GROUP_ROWS)
    run.dataset.write_run(_run_content(run) | {"state": "running"})


def dry_run(manifest: str, output: str) -> None:
    options = ["--model", str(MODEL), "--output", output, "--dry-run"]
    assert fsdsinet(["extract", manifest, *options]) == 0


def plan(manifest: str, output: str) -> None:
    run = prepared(manifest, output)
    plan_path = str(pathlib.Path(manifest).with_name("plan.arrow"))
    write_plan(run.plan, plan_path, {})
    with pa.memory_map(plan_path) as source:
        assert pa.ipc.open_file(source).num_record_batches == run.plan.num_shards


def finished(manifest: str, output: str) -> None:
    assert (
        fsdsinet(["extract", manifest, "--model", str(MODEL), "--output", output]) == 0
    )


PARTS = {"new": dry_run, "plan": plan, "continued": dry_run, "finished": finished}
# Part -> share of the manifest's rows that its dataset has.
DONE = {"new": 0.0, "plan": 0.0, "continued": 0.5, "finished": 1.0}


def measured(name: str, manifest: str, output: str) -> dict[str, float]:
    """Runs a part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.planning", "--part"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, name, manifest, output],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.perf_counter() - start,
        "user_seconds": after.ru_utime - before.ru_utime,
        "system_seconds": after.ru_stime - before.ru_stime,
        "peak_mb": float(done.stdout.splitlines()[-1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, manifest, output = arguments.part
        PARTS[name](manifest, output)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m.csv"
        write_manifest(path, arguments.rows)
        for name, share in DONE.items():
            output = f"{folder}/{name}"
            if share:
                make_dataset(str(path), output, int(arguments.rows * share))
            results[name] = measured(name, str(path), output)
            print(name, json.dumps(results[name]), file=sys.stderr)
    save("planning", {"rows": arguments.rows, **results})


if __name__ == "__main__":
    main()
