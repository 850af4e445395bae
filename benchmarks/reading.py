"""Measures time and memory of commands that read the results of ten million clips.

Usage: python -m benchmarks.reading [--clips N] [--command NAME]

The dataset is made, as if with `--patches none`: compacted parts of 100,000 clips, 20
labels and an embedding of 16 numbers. More labels or numbers take more time, not more
memory. The ground truth for `evaluate` has 50,000 of the clips.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import pyarrow as pa

from benchmarks.support.machine import measure, save
from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import COMPACTED_PREFIX
from pipeline.dataset.summary import dataset_totals
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.schemas import (
    DatasetSpec,
    clips_schema,
    ledger_schema,
    part_name,
)
from transforms.tables import write_table

PART_CLIPS, NUM_TRUTH, SIZE = 100_000, 50_000, 16
LABELS = tuple(f"label {number}" for number in range(20))
MODEL = ModelSpec("made", "made.pb", "0" * 64, "x", "a", "e", LABELS, SIZE)
SPEC = DatasetSpec(
    (MODEL,),
    ("activations", "embeddings"),
    PatchSpec(),
    {},
    (pa.field("split", pa.string()),),
)


def write_part(root: pathlib.Path, start: int, rng: np.random.Generator) -> None:
    name = part_name(f"{COMPACTED_PREFIX.removeprefix('part-')}{start:08d}")
    numbers = range(start, start + PART_CLIPS)
    scores = rng.random((PART_CLIPS, len(LABELS)), np.float32)
    best = np.argsort(-scores, axis=1)[:, :3]
    tops = [
        [{"label": LABELS[i], "score": float(row[i])} for i in order]
        for row, order in zip(scores, best, strict=True)
    ]
    vectors = {
        "activations_mean": scores,
        "activations_max": scores,
        "embedding_mean": rng.random((PART_CLIPS, SIZE), np.float32),
    }
    ids = pa.array([f"clip-{number:08d}" for number in numbers])
    ones = pa.array(np.ones(PART_CLIPS, np.int32))
    made = {
        "clip_id": ids,
        "uri": pa.array([f"/audio/{n % 997:03d}/{n:08d}.wav" for n in numbers]),
        "status": pa.array(["ok"] * PART_CLIPS),
        "duration_s": pa.array(np.full(PART_CLIPS, 7.5)),
        "num_patches": ones,
        "top_labels": tops,
    }
    schemas = {
        "ledger": ledger_schema(SPEC),
        "clips/model=made": clips_schema(SPEC, MODEL),
    }
    for folder, schema in schemas.items():
        columns = []
        for field in schema:
            values = made.get(field.name, [None] * PART_CLIPS)
            if field.name in vectors:
                flat = pa.array(vectors[field.name].ravel())
                values = pa.FixedSizeListArray.from_arrays(flat, type=field.type)
            columns.append(pa.array(values, field.type))
        table = pa.Table.from_arrays(columns, schema=schema)
        write_table(str(root / folder / name), table)


def make_dataset(root: pathlib.Path, num_clips: int) -> None:
    rng = np.random.default_rng(0)
    for start in range(0, num_clips, PART_CLIPS):
        write_part(root, start, rng)
    config = {"inputs": ["m.csv"], "models": ["made.pb"], "outputs": [*SPEC.outputs]}
    dataset = Dataset(str(root))
    models = [{"name": "made", "path": "made.pb", "sha256": MODEL.sha256}]
    sizes = {"embedding_size": SIZE, "num_classes": len(LABELS)}
    run = {
        "state": "finished",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-02T00:00:00+00:00",
        "identity": {"engines": {"made": "winograd"}},
        "config": {
            **config,
            "patch_hop": 50,
            "last_patch": "repeat",
            "patches": "none",
        },
        "models": [models[0] | sizes],
        "manifest": {"num_clips": num_clips},
        "versions": {},
        "num_workers": 2,
        "counters": {"clips": num_clips},
    }
    dataset.write_run(run | {"totals": dataset_totals(dataset)})


def write_truth(path: pathlib.Path, num_clips: int) -> None:
    """Writes labels of clips that are spread over the dataset."""
    step = max(1, num_clips // NUM_TRUTH)
    with open(path, "w", encoding="utf-8") as file:
        file.write("clip_id,labels\n")
        for row, number in enumerate(range(0, num_clips, step)):
            file.write(f"clip-{number:08d},{LABELS[row % len(LABELS)]}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000_000)
    parser.add_argument("--command", action="append", help="default: all")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        root, truth = pathlib.Path(folder) / "out", pathlib.Path(folder) / "truth.csv"
        make_dataset(root, arguments.clips)
        write_truth(truth, arguments.clips)
        commands = {
            "top": (),
            "search": ("--clip", "clip-00000321"),
            "evaluate": ("--ground-truth", str(truth), "--output", f"{folder}/scores"),
            "report": ("--output", f"{folder}/report.html"),
        }
        for name in arguments.command or commands:
            results[name] = measure(name, str(root), *commands[name])
            print(name, json.dumps(results[name]), file=sys.stderr)
    save("reading", {"clips": arguments.clips, **results})


if __name__ == "__main__":
    main()
