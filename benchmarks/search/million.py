"""Measures time and memory of `fsdsinet search` in a million clips of 512 numbers.

Usage: python -m benchmarks.search.million [--rounds N]

The whole command is measured, with start and output. Three datasets are searched in
turn: one with shards of 64 clips, as extract makes them, one with larger shards, and
the first one compacted. The result is the fastest of several rounds, because the
machine may be shared. The result also has the processor time, which depends less on
other programs. After the first round the files are in the system's cache.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from benchmarks.support.machine import measure, save
from pipeline.dataset.folder import Dataset
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.schemas import DatasetSpec, clips_schema, ledger_schema, part_name
from transforms.tables import write_table, write_tables

NUM_CLIPS, SIZE = 1_000_000, 512
SHARD_CLIPS = (64, 4096)
# Row groups of 32 MB, as those of compacted files.
GROUP_CLIPS = 1 << 14
CLIP = "clip-0654321"
MODEL = ModelSpec("made", "made.pb", "0" * 64, "x", "a", "e", ("none",), SIZE)
SPEC = DatasetSpec(
    (MODEL,), ("embeddings",), PatchSpec(), {}, (pa.field("split", pa.string()),)
)


Draw = Callable[[np.random.Generator, int], np.ndarray]


def independent(rng: np.random.Generator, num_clips: int) -> np.ndarray:
    """Draws vectors. As in real embeddings no number is negative, and half are 0."""
    return np.maximum(rng.standard_normal((num_clips, SIZE), dtype=np.float32), 0)


def write_dataset(
    root: pathlib.Path,
    shard_clips: int,
    num_clips: int = NUM_CLIPS,
    draw: Draw = independent,
) -> None:
    """Writes a dataset with made embeddings, float32 [num_clips, SIZE]."""
    rng = np.random.default_rng(0)
    schema, ledger = clips_schema(SPEC, MODEL), ledger_schema(SPEC)
    for start in range(0, num_clips, shard_clips):
        numbers = range(start, min(start + shard_clips, num_clips))
        ids = pa.array([f"clip-{number:07d}" for number in numbers])
        vectors = draw(rng, len(ids))
        ones = pa.array(np.ones(len(ids), np.int32))
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.ravel()), type=schema.field("embedding_mean").type
        )
        name = part_name(f"{start:07d}")
        clips = pa.Table.from_arrays([ids, ones, column], schema=schema)
        groups = [clips[i : i + GROUP_CLIPS] for i in range(0, len(ids), GROUP_CLIPS)]
        uri = str(root / "clips" / f"model={MODEL.name}" / name)
        write_tables(uri, schema, groups)
        rows = {
            "clip_id": ids,
            "uri": pa.array([f"/audio/{number:07d}.wav" for number in numbers]),
            "status": pa.array(["ok"] * len(ids)),
            "num_patches": ones,
            "split": pa.array(["train" if number % 5 else "val" for number in numbers]),
        }
        columns = [rows.get(f.name, pa.nulls(len(ids), f.type)) for f in ledger]
        write_table(
            str(root / "ledger" / name), pa.Table.from_arrays(columns, schema=ledger)
        )
    models = [{"name": MODEL.name, "path": "made.pb", "sha256": MODEL.sha256}]
    Dataset(str(root)).write_run({"state": "finished", "models": models})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cases = {
        "all": (),
        "where": ("--where", "split = 'train'"),
    }
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        roots = {
            f"shards of {size}": pathlib.Path(folder) / str(size)
            for size in SHARD_CLIPS
        }
        for size, root in zip(SHARD_CLIPS, roots.values(), strict=True):
            write_dataset(root, size)
        compacted = roots["compacted"] = pathlib.Path(folder) / "compacted"
        shutil.copytree(roots[f"shards of {SHARD_CLIPS[0]}"], compacted)
        measure("compact", str(compacted))
        for _ in range(rounds):
            for kind, root in roots.items():
                for name, options in cases.items():
                    key = f"{name}, {kind}"
                    results.setdefault(key, []).append(
                        measure("search", str(root), "--clip", CLIP, *options)
                    )
                    print(key, json.dumps(results[key][-1]), file=sys.stderr)
    best = {
        key: {name: min(run[name] for run in runs) for name in runs[0]}
        | {"highest_peak_mb": max(run["peak_mb"] for run in runs)}
        for key, runs in results.items()
    }
    save(
        "search-million",
        {"clips": NUM_CLIPS, "size": SIZE, "rounds": rounds, "fastest": best},
    )


if __name__ == "__main__":
    main()
