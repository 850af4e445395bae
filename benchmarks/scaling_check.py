"""Real runs with 1, 2 and 4 workers beside what the simulation says of them.

Clips of 0.3 to 30 s, a full-size graph with random weights, local disk. What a patch
takes is known from the runs with one worker, what a start takes from the costs; runs
with more workers are predicted. More workers than cores are as much slower. The best
of several rounds counts, because others may use the machine.

Usage: python -m benchmarks.scaling_check [--clips N] [--rounds N] [--workers N...]
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.corpora import make_fsd50k_like
from benchmarks.machine import MODELS, ROOT, save
from benchmarks.scaling_model import (
    Corpus,
    Costs,
    default_limits,
    measured_costs,
    read,
    shards_of,
    simulate,
)
from benchmarks.schedule import taken
from pipeline.forecast import predict_audio_s
from transforms import storage

MODEL = "vgg41-tlpf"


def run(corpus: pathlib.Path, num_workers: int) -> dict[str, float]:
    """One run: seconds of the command and of the steps; bytes."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out"
        command = [sys.executable, "-m", "pipeline", "extract", str(corpus)]
        command += ["--model", str(MODELS / f"random-{MODEL}.pb"), "--fail-on-error"]
        command += ["--output", str(output), "--workers", str(num_workers)]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        wall_s = time.perf_counter() - start
        content = json.loads((output / "run.json").read_text())
        sizes = {
            table: sum(p.stat().st_size for p in (output / table).rglob("*.parquet"))
            for table in ("ledger", "clips", "patches")
        }
    counters = content["counters"]
    steps = ("decode", "resample", "log_mel", "inference")
    return {
        "wall_s": wall_s,
        "steps_s": sum(counters[f"{step}_us"] for step in steps) / 1e6,
        "patches": content["totals"]["patches"],
        **{f"{table}_bytes": size for table, size in sizes.items()},
    }


def predict(corpus: Corpus, costs: Costs, num_workers: int) -> float:
    """Seconds of the command by the simulation."""
    cores = len(os.sched_getaffinity(0))
    pace = min(1.0, cores / num_workers)
    # Workers that share cores start as much more slowly.
    costs = dataclasses.replace(costs, worker_s=costs.worker_s / pace)
    shards = shards_of(corpus, default_limits(corpus, num_workers))
    return simulate(shards, costs, taken, np.full(num_workers, pace)).command_s


def as_corpus(folder: pathlib.Path) -> Corpus:
    """The clips with their lengths as the program predicts them, in its order."""
    uris = sorted(str(path) for path in folder.iterdir())
    lengths_s = predict_audio_s(uris, storage.sizes_of(uris))
    return Corpus("made", len(uris), lengths_s)


def earlier(model: str) -> dict[str, float]:
    """Two workers in the runs of `benchmarks.extract_speed`, known from one worker."""
    walls = read(f"extract-speed-random-{model}")["median_round"]["wall_s"]
    lengths_s = np.clip(np.random.default_rng(0).exponential(8.0, 300), 0.3, 30)
    corpus = Corpus(
        "earlier", 300, np.clip(lengths_s * 7.6 / lengths_s.mean(), 0.3, 30)
    )
    costs = measured_costs(model, "disk")
    shards = shards_of(corpus, default_limits(corpus, 2))
    one_s = simulate(shards, costs, taken, np.ones(1)).command_s
    # Last patches were discarded in these runs.
    more_s = (walls["extract, 1 worker"] - one_s) / int(shards.patches.sum())
    costs = dataclasses.replace(costs, patch_s=costs.patch_s + more_s)
    predicted_s = simulate(shards, costs, taken, np.ones(2)).command_s
    return {"measured_s": walls["extract, 2 workers"], "predicted_s": predicted_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = make_fsd50k_like(pathlib.Path(name) / "corpus", arguments.clips)
        corpus = as_corpus(folder)
        # Engines are compiled and compared once for a model.
        run(make_fsd50k_like(pathlib.Path(name) / "one", 1), 1)
        rounds: dict[int, list[dict[str, float]]] = {n: [] for n in arguments.workers}
        for _ in range(arguments.rounds):
            for number, runs in rounds.items():
                runs.append(run(folder, number))
    save("scaling-check", compare(corpus, rounds))


def costs_of(corpus: Corpus, one: dict[str, float]) -> Costs:
    """Costs on the day of a run with one worker: its steps, its start and end."""
    costs = measured_costs(MODEL, "disk")
    spent_s = one["steps_s"] - corpus.num_clips * costs.clip_s
    costs = dataclasses.replace(costs, patch_s=spent_s / one["patches"])
    rest_s = one["wall_s"] - predict(corpus, costs, 1)
    return dataclasses.replace(costs, launcher_s=costs.launcher_s + rest_s)


def compare(
    corpus: Corpus, rounds: dict[int, list[dict[str, float]]]
) -> dict[str, Any]:
    """Measured and predicted seconds by number of workers."""
    quiet = measured_costs(MODEL, "disk")
    one = min(rounds[1], key=lambda run: run["wall_s"])
    best = {n: min(run["wall_s"] for run in runs) for n, runs in rounds.items()}
    today = costs_of(corpus, one)
    predicted = {n: predict(corpus, today, n) for n in rounds}
    audio_h = corpus.total_s / 3600
    tables = [name for name in one if name.endswith("_bytes")]
    return {
        "model": f"random-{MODEL} (random weights)",
        "two_workers_in_earlier_quiet_runs": {
            name: earlier(name) for name in ("vgg41-tlpf", "vgg42-tlpf")
        },
        "clips": corpus.num_clips,
        "audio_s": corpus.total_s,
        "load_at_the_end": os.getloadavg(),
        "patch_s": today.patch_s,
        "patch_s_of_quiet_runs": quiet.patch_s,
        "rest_of_the_run_with_one_worker_s": today.launcher_s - quiet.launcher_s,
        "wall_s": {n: [run["wall_s"] for run in runs] for n, runs in rounds.items()},
        "best_wall_s": best,
        "predicted_s": predicted,
        "predicted_by_measured": {n: predicted[n] / best[n] for n in rounds},
        "predicted_for_a_quiet_machine_s": {
            n: predict(corpus, quiet, n) for n in rounds
        },
        "bytes_an_hour": {name: one[name] / audio_h for name in tables},
        "bytes_a_clip": {name: one[name] / corpus.num_clips for name in tables},
    }


if __name__ == "__main__":
    main()
