"""Measures time and memory of planning a manifest of a million rows.

Usage: python -m benchmarks.plan_million

The first part is `extract --dry-run`. The second part also does what a run does before
its workers start: it writes the plan file and reads the shards of the file.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from benchmarks.support.machine import ROOT, save
from pipeline.cli.main import main as fsdsinet
from pipeline.config import load_config
from pipeline.launch.launch import prepare
from pipeline.launch.plan import write_plan
from transforms.manifest import read_planned_shards

MODEL = ROOT / "tests" / "data" / "random-tiny-tlpf.pb"
NUM_ROWS = 1_000_000


def write_manifest(path: pathlib.Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("uri,split,labels,rating\n")
        for i in range(NUM_ROWS):
            file.write(f'audio/{i % 997:03d}/{i:07d}.wav,train,"Bark,Dog",{i % 5}\n')


def dry_run(manifest: str, output: str) -> None:
    options = ["--model", str(MODEL), "--output", output, "--dry-run"]
    assert fsdsinet(["extract", manifest, *options]) == 0


def plan_and_read(manifest: str, output: str) -> None:
    flags = {"inputs": [manifest], "models": [str(MODEL)], "output": output}
    run = prepare(load_config(None, [], flags))
    plan_path = str(pathlib.Path(manifest).with_name("plan.arrow"))
    write_plan(run.plan, plan_path, {})
    assert len(read_planned_shards(plan_path)) == run.plan.num_shards


PARTS = {"dry_run": dry_run, "plan_and_read_shards": plan_and_read}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    part = parser.parse_args().part
    if part:
        PARTS[part[0]](part[1], part[2])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        manifest = pathlib.Path(folder) / "m.csv"
        write_manifest(manifest)
        for name in PARTS:
            command = [sys.executable, "-m", "benchmarks.plan_million", "--part", name]
            start = time.perf_counter()
            done = subprocess.run(
                [*command, manifest, f"{folder}/out"],
                check=True,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            peak_mb = float(done.stdout.splitlines()[-1])
            seconds = time.perf_counter() - start
            results[name] = {"seconds": seconds, "peak_mb": peak_mb}
    save("plan-million", {"rows": NUM_ROWS, **results})


if __name__ == "__main__":
    main()
