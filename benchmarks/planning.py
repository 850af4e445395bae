"""Measures time and memory of planning, continuing and summing up ten million rows.

Usage: python -m benchmarks.planning [--rows N]

Each part is a process of its own:
- new: `extract --dry-run` of a manifest.
- plan: what a run does before its workers start. It also writes the plan file, and
  counts the shards in it.
- continued: `extract --dry-run` on a dataset that has half of the clips.
- finished: `extract` on a dataset that has all clips, but no totals: it is summed up.
- again: the same command again, which finds the totals in run.json.

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

import pyarrow as pa

from benchmarks.support.machine import ROOT, peak_mb, save
from benchmarks.support.made_ledger import (
    MODEL,
    make_dataset,
    prepared,
    write_manifest,
)
from pipeline.cli.main import main as fsdsinet
from pipeline.launch.plan import write_plan
from transforms import storage


def dry_run(manifest: str, output: str) -> None:
    options = ["--model", str(MODEL), "--output", output, "--dry-run"]
    assert fsdsinet(["extract", manifest, *options]) == 0


def plan(manifest: str, output: str) -> None:
    run = prepared(manifest, output)
    plan_path = storage.join(storage.folder_of(manifest), "plan.arrow")
    write_plan(run.plan, plan_path, {})
    with storage.open_arrow(plan_path) as source:
        assert pa.ipc.open_file(source).num_record_batches == run.plan.num_shards


def finished(manifest: str, output: str) -> None:
    assert (
        fsdsinet(["extract", manifest, "--model", str(MODEL), "--output", output]) == 0
    )


PARTS = {
    "new": dry_run,
    "plan": plan,
    "continued": dry_run,
    "finished": finished,
    "again": finished,
}
# Part -> folder of its dataset, and share of the manifest's rows that is in it.
DATASETS = {
    "new": ("new", 0.0),
    "plan": ("new", 0.0),
    "continued": ("half", 0.5),
    "finished": ("all", 1.0),
    "again": ("all", 1.0),
}


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
        print(peak_mb())
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m.csv"
        write_manifest(path, arguments.rows)
        for name, (dataset, share) in DATASETS.items():
            output = f"{folder}/{dataset}"
            if share and not pathlib.Path(output).exists():
                make_dataset(str(path), output, int(arguments.rows * share))
            results[name] = measured(name, str(path), output)
            print(name, json.dumps(results[name]), file=sys.stderr)
    save("planning", {"rows": arguments.rows, **results})


if __name__ == "__main__":
    main()
