"""Measures the search index of `fsdsinet search` beside the exact scan.

Usage: python -m benchmarks.search.index [--clips N] [--rounds N] [--folder FOLDER]

The embeddings are made: clusters of unequal size on a curved surface of 24 dimensions,
with noise; no number is negative, and half are 0. They are in large files, as after
`fsdsinet compact`. The whole commands are measured, with start and output. The result
is the fastest of several rounds, because the machine may be shared. Recall is measured
again here, with clips that the build did not ask for.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.search.million import SIZE, write_dataset
from benchmarks.support.machine import ROOT, measure, save
from pipeline.dataset.index_files import index_folder
from pipeline.dataset.snapshot import Snapshot
from pipeline.results.search.indexed import usable_index
from pipeline.results.search.search import clip_embedding, search

NUM_CLUSTERS, NUM_DIMENSIONS, HIDDEN = 500, 24, 256
# About 240 MB, the size of large files after `fsdsinet compact`.
FILE_CLIPS = 1 << 17
BATCH = 1 << 14
TOP = 10


class Surface:
    """Draws vectors near a curved surface."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._centres = rng.standard_normal((NUM_CLUSTERS, NUM_DIMENSIONS))
        shares = 1 / np.arange(1, NUM_CLUSTERS + 1)
        self._shares = shares / shares.sum()
        first = rng.standard_normal((NUM_DIMENSIONS, HIDDEN)) / NUM_DIMENSIONS**0.5
        second = rng.standard_normal((HIDDEN, SIZE)) / HIDDEN**0.5
        self._layers = first.astype(np.float32), second.astype(np.float32)

    def __call__(self, rng: np.random.Generator, num_clips: int) -> np.ndarray:
        """Returns float32 [num_clips, SIZE]."""
        starts = range(0, num_clips, BATCH)
        return np.concatenate(
            [self._draw(rng, min(BATCH, num_clips - start)) for start in starts]
        )

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        chosen = rng.choice(NUM_CLUSTERS, count, p=self._shares)
        places = self._centres[chosen] + 0.5 * rng.standard_normal(
            (count, NUM_DIMENSIONS)
        )
        first, second = self._layers
        values = np.tanh(places.astype(np.float32) @ first) @ second
        values += 0.1 * rng.standard_normal(values.shape, dtype=np.float32)
        return np.maximum(values, 0)


def write(root: pathlib.Path, num_clips: int) -> None:
    """Writes a dataset in a child: the peak memory of commands would count its own."""
    command = [sys.executable, "-m", "benchmarks.search.index", "--write", str(root)]
    subprocess.run([*command, "--clips", str(num_clips)], check=True, cwd=ROOT)


def recall(root: pathlib.Path, num_clips: int, num_queries: int) -> float:
    """Share of the true nearest clips that searches with the index find."""
    snapshot = Snapshot(str(root), None)
    index = usable_index(snapshot, TOP)
    shares = []
    for number in np.random.default_rng(7).choice(num_clips, num_queries, False):
        clip_id, query = clip_embedding(snapshot, f"clip-{number:07d}")
        true, found = (
            {
                clip.clip_id: clip.similarity
                for clip in search(snapshot, query, TOP, clip_id, index=used)
            }
            for used in (None, index)
        )
        both = true.keys() & found.keys()
        assert all(true[name] == found[name] for name in both), "exact similarities"
        shares.append(len(both) / TOP)
    return float(np.mean(shares))


def run(root: pathlib.Path, num_clips: int, rounds: int, queries: int) -> None:
    """Measures one dataset, and saves the results."""
    name = str(root)
    build = measure("search", name, "--build-index")
    print("build", json.dumps(build), file=sys.stderr)
    folder = pathlib.Path(index_folder(name, Snapshot(name, None).model))
    results: dict[str, Any] = {"build": build}
    runs: dict[str, list[dict[str, float]]] = {"index": [], "exact": []}
    # The first clips of a search come from one file; queries come from all of them.
    for number in np.linspace(0, num_clips - 1, rounds).astype(int):
        clip = ("--clip", f"clip-{number:07d}")
        for kind, options in (("index", ()), ("exact", ("--exact",))):
            runs[kind].append(measure("search", name, *clip, *options))
            print(kind, json.dumps(runs[kind][-1]), file=sys.stderr)
    for kind, measured in runs.items():
        results[kind] = {key: min(run[key] for run in measured) for key in measured[0]}
        results[kind]["highest_peak_mb"] = max(run["peak_mb"] for run in measured)
    record = json.loads((folder / "index.json").read_text())
    results |= {
        "recall_at_build": record["recall"],
        "num_probes": record["num_probes"],
        "index_mb": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
        "recall_of_10_of_other_clips": recall(root, num_clips, queries),
        "num_other_clips": queries,
    }
    label = re.sub(r"000000$", "m", str(num_clips))
    about = {
        "faiss": version("faiss-cpu"),
        "data": "made",
        "clips": num_clips,
        "size": SIZE,
        "rounds": rounds,
    }
    save(f"search-index-{label}", about | results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--folder", help="where the dataset is written")
    parser.add_argument("--write", type=pathlib.Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write_dataset(given.write, FILE_CLIPS, given.clips, Surface())
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = pathlib.Path(folder) / "made"
        write(root, given.clips)
        run(root, given.clips, given.rounds, given.queries)


if __name__ == "__main__":
    main()
