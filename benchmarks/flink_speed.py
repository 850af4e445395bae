"""Throughput on a Flink of this machine with one worker process and with two.

The same clips (0.3 to 30 s, as in FSD50K) go through `extract --runner flink` on one
TaskManager and on two, in turn, and through a local run with two workers. The ledger
files say who computed a shard and when (`worker` in their metadata). From that come the
time from the first shard begun to the last one committed, and the throughput: for every
process seconds of audio by the time from its first shard to its last, added up. The
whole command is timed, too.

What the cores can give is measured beside it: the network alone, without files, Beam or
Flink, in one process and in two at the same time.

Usage: python -m benchmarks.flink_speed [--clips N] [--rounds N]
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.support.corpora import make_fsd50k_like
from benchmarks.support.engine_run import ours
from benchmarks.support.machine import MODELS, save
from deploy.flink.local_flink import JOB_SERVER, LocalFlink

MODEL = "vgg41-tlpf"
_ALONE_S = 8.0


def graph() -> pathlib.Path:
    return next(MODELS.glob(f"*{MODEL}*.pb"))


def run(corpus: pathlib.Path, output: pathlib.Path, *options: str) -> dict[str, Any]:
    """Runs extract; returns seconds of the command, and of its workers' work."""
    command = [sys.executable, "-m", "pipeline", "extract", str(corpus)]
    command += ["--model", str(graph()), "--output", str(output), *options]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    parts = sorted((output / "ledger").iterdir())
    workers = [json.loads(pq.read_schema(part).metadata[b"worker"]) for part in parts]
    for worker, part in zip(workers, parts, strict=True):
        table = pq.ParquetFile(part).read(["duration_s"])
        worker["audio_s"] = table["duration_s"].to_numpy().sum()
    by_pid: dict[int, list[dict[str, Any]]] = {}
    for worker in workers:
        by_pid.setdefault(worker["pid"], []).append(worker)
    rates = [sum(w["audio_s"] for w in own) / _span(own) for own in by_pid.values()]
    return {
        "command_s": round(seconds, 1),
        "work_s": round(_span(workers), 1),
        "audio_s_per_s": round(sum(rates), 1),
        "processes": len(by_pid),
    }


def _span(workers: list[dict[str, Any]]) -> float:
    """Seconds from the first shard begun to the last one committed."""
    begun = min(worker["started_s"] for worker in workers)
    return float(max(worker["committed_s"] for worker in workers) - begun)


def on_flink(
    corpus: pathlib.Path, folder: pathlib.Path, num_workers: int
) -> dict[str, Any]:
    """A run on a cluster of its own, with a TaskManager for every worker."""
    with LocalFlink(folder / "flink", num_workers) as flink:
        master = f"--flink_master={flink.address}"
        jar = f"--flink_job_server_jar={JOB_SERVER}"
        flags = ("--runner", "flink", "--", master, jar)
        return run(corpus, folder / "out", *flags)


def network_alone(num_processes: int) -> float:
    """Patches a second of the network in so many processes at once, added up."""
    # As `extract` sets it for its workers.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    all_ready, rates = context.Barrier(num_processes), context.SimpleQueue()
    processes = [
        context.Process(target=_put_network_rate, args=(all_ready, rates))
        for _ in range(num_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return round(sum(rates.get() for _ in processes), 1)


def _put_network_rate(all_ready: Barrier, rates: "SimpleQueue[float]") -> None:
    run = ours("winograd", str(graph()))
    patches = np.random.default_rng(0).normal(size=(64, 101, 96)).astype(np.float32)
    run(patches)
    all_ready.wait()
    num_passes, start = 0, time.perf_counter()
    while time.perf_counter() - start < _ALONE_S:
        run(patches)
        num_passes += 1
    rates.put(num_passes * len(patches) / (time.perf_counter() - start))


def two_by_one(one: list[float], two: list[float]) -> float:
    """How many times as much two processes did as one, all rounds together.

    The best of each would compare minutes in which the cores were not equally fast.
    """
    return round(sum(two) / sum(one), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parsed = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_fsd50k_like(folder / "clips", parsed.clips)
        # Or the disk is busy with it during the first run.
        os.sync()
        for index in range(parsed.rounds):
            rounds.append(
                {
                    "network_1_patches_per_s": network_alone(1),
                    "network_2_patches_per_s": network_alone(2),
                    "flink_1": on_flink(corpus, folder / f"one-{index}", 1),
                    "flink_2": on_flink(corpus, folder / f"two-{index}", 2),
                    "local_2": run(corpus, folder / f"local-{index}", "--workers", "2"),
                }
            )
    flink = [[r[f"flink_{n}"]["audio_s_per_s"] for r in rounds] for n in (1, 2)]
    alone = [[r[f"network_{n}_patches_per_s"] for r in rounds] for n in (1, 2)]
    save(
        "flink-speed",
        {
            "model": f"{MODEL}, random weights",
            "num_clips": parsed.clips,
            "rounds": rounds,
            "two_by_one": two_by_one(*flink),
            "network_alone_two_by_one": two_by_one(*alone),
        },
    )


if __name__ == "__main__":
    main()
