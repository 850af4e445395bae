"""Measures time and memory of `fsdsinet events` in recordings of hours.

Usage: python -m benchmarks.events_speed [--hours H] [--rounds N]

The dataset is one recording with made activations of 200 labels: slow random walks, so
that events have all lengths. The whole command is measured, with start and output; the
result is the fastest of several rounds. Options in turn: none, all that take time, and
a low threshold, with which there are hundreds of thousands of events.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.support.machine import save
from pipeline.dataset.folder import Dataset
from transforms.elements import AudioInfo, Clip, FloatArray, Prediction, Shard
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.manifest import open_shard, read_planned_shards, write_plan
from transforms.models.registry import published_labels
from transforms.parquet import commit_shard
from transforms.schemas import DatasetSpec

MODEL = ModelSpec("made", "made.pb", "0" * 64, "x", "a", "e", published_labels(), 1)
SPEC = DatasetSpec((MODEL,), ("activations",), PatchSpec(), {})
OPTIONS = {
    "default": [],
    "all": ["--smooth", "2.5", "--low", "0.3", "--merge-gap", "2", "--leaves"],
    "low threshold": ["--threshold", "0.1"],
}


def activations(num_patches: int) -> FloatArray:
    """Activations of all labels, float32 [num_patches, 200]."""
    rng = np.random.default_rng(0)
    walk = np.zeros(len(MODEL.labels), np.float32)
    result = np.empty((num_patches, len(walk)), np.float32)
    for row in result:
        walk = 0.9 * walk + rng.standard_normal(len(walk), dtype=np.float32)
        row[:] = 1 / (1 + np.exp(5 - walk))
    return result


def write_dataset(root: pathlib.Path, hours: float) -> None:
    num_patches = round(hours * 3600 / (50 * 220 / 22050))
    manifest = pa.table({"clip_id": ["day"], "uri": ["/audio/day.wav"]})
    plan = str(root / "plan.arrow")
    write_plan([manifest], plan)
    (planned,) = read_planned_shards(plan)
    shard = open_shard(planned)
    prediction = Prediction(
        activations(num_patches), np.zeros((num_patches, 1), np.float32)
    )
    info = AudioInfo(hours * 3600, 44100, 1, "pcm_s16le")
    clip = Clip("day", "/audio/day.wav", info, predictions={MODEL.name: prediction})
    commit_shard(Shard(shard.shard_id, (clip,), shard.rows), str(root), SPEC)
    Dataset(str(root)).write_run(
        {
            "state": "finished",
            "identity": {},
            "config": {
                "patch_hop": 50,
                "last_patch": "repeat",
                "outputs": ["activations"],
            },
            "manifest": {"num_clips": 1},
            "models": [{"name": MODEL.name}],
        }
    )


def run(root: pathlib.Path, options: list[str]) -> dict[str, Any]:
    """Runs the command; returns its time and the number of events."""
    output = root.parent / "events.csv"
    command = [sys.executable, "-m", "pipeline", "events", str(root)]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--output", str(output), *options],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - start
    with output.open() as lines:
        return {"s": round(seconds, 2), "events": sum(1 for _ in lines) - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary) / "out"
        root.mkdir()
        write_dataset(root, arguments.hours)
        results = {
            name: min(
                (run(root, options) for _ in range(arguments.rounds)),
                key=lambda found: found["s"],
            )
            for name, options in OPTIONS.items()
        }
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    save(
        "events-speed",
        {"hours": arguments.hours, "peak_mb": round(peak_kb / 1000), **results},
    )


if __name__ == "__main__":
    main()
