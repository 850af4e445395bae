"""Measures throughput on a local Flink with one and with two worker processes.

The same clips (0.3 to 30 s, as in FSD50K) are processed by `extract --runner flink`
with one TaskManager and with two, and by a local run with two workers. The whole
command is timed. The metadata of the ledger files say which process computed a shard,
and when (`worker`). From them the benchmark computes:
- work_s: seconds from the start of the first shard to the commit of the last shard;
- audio_s_per_s: for every process the seconds of audio divided by the seconds from the
  start of its first shard to the commit of its last shard, summed over processes.

For comparison with the limit of the cores, the network alone is measured (without
files, Beam and Flink), in one process and in two processes at the same time.

Usage: python -m benchmarks.flink.speed [--clips N] [--rounds N]
"""

import argparse
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

from benchmarks.support.corpora import make_fsd50k_like
from benchmarks.support.engine_run import own_engine
from benchmarks.support.machine import MODELS, save
from benchmarks.support.shard_workers import shard_workers
from deploy.flink.local_flink import JOB_SERVER, LocalFlink

MODEL = "vgg41-tlpf"
_ALONE_S = 8.0


def graph() -> pathlib.Path:
    return next(MODELS.glob(f"*{MODEL}*.pb"))


def run(corpus: pathlib.Path, output: pathlib.Path, *options: str) -> dict[str, Any]:
    """Runs extract; returns the times and the throughput of the command."""
    command = [sys.executable, "-m", "pipeline", "extract", str(corpus)]
    command += ["--model", str(graph()), "--output", str(output), *options]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    workers = shard_workers(output)
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
    """Seconds from the start of the first shard to the commit of the last shard."""
    begun = min(worker["started_s"] for worker in workers)
    return float(max(worker["committed_s"] for worker in workers) - begun)


def on_flink(
    corpus: pathlib.Path, folder: pathlib.Path, num_workers: int
) -> dict[str, Any]:
    """Runs extract on a new cluster with one TaskManager per worker."""
    with LocalFlink(folder / "flink", num_workers) as flink:
        master = f"--flink_master={flink.address}"
        jar = f"--flink_job_server_jar={JOB_SERVER}"
        flags = ("--runner", "flink", "--", master, jar)
        return run(corpus, folder / "out", *flags)


def network_alone(num_processes: int) -> float:
    """Patches per second of the network, summed over simultaneous processes."""
    # `extract` sets the same for its workers.
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
    run = own_engine("winograd", str(graph()))
    patches = np.random.default_rng(0).normal(size=(64, 101, 96)).astype(np.float32)
    run(patches)
    all_ready.wait()
    num_passes, start = 0, time.perf_counter()
    while time.perf_counter() - start < _ALONE_S:
        run(patches)
        num_passes += 1
    rates.put(num_passes * len(patches) / (time.perf_counter() - start))


def two_by_one(one: list[float], two: list[float]) -> float:
    """Throughput of two processes divided by that of one, over all rounds.

    A comparison of the best rounds would be wrong if the speed of the cores changes
    between rounds.
    """
    return round(sum(two) / sum(one), 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parsed = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_fsd50k_like(folder / "clips", parsed.clips)
        # Otherwise the disk would still write the corpus during the first run.
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
