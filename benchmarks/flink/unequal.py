"""Measures how two workers of unequal speed share a job on a local Flink.

One of the two worker processes is suspended half of the time, in slices of 20 ms. The
metadata of the ledger files say which process computed a shard, and when (`worker`).
From them the benchmark computes, from the start of the first shard:
- end_s: seconds to the last commit of each worker, the slow worker first;
- apart: difference of these times, divided by the later one;
- audio_s_per_s: seconds of audio per second, of each worker until its last commit.

Usage: python -m benchmarks.flink.unequal [--clips N] [--rounds N]
"""

import argparse
import contextlib
import glob
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.support.corpora import make_fsd50k_like
from benchmarks.support.machine import save
from benchmarks.support.shard_workers import shard_workers
from deploy.flink.local_flink import JOB_SERVER, LocalFlink
from transforms.job_control.status import read_statuses

MODEL = "fsd-sinet-vgg41-tlpf-demo"
_SLICE_S = 0.02


def run(corpus: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    """Runs extract on a new cluster of two TaskManagers, one worker slowed down."""
    output, temporary = folder / "out", folder / "tmp"
    temporary.mkdir(parents=True)
    # The cluster hands its environment on to the workers.
    os.environ["TMPDIR"] = str(temporary)
    with LocalFlink(folder / "flink") as flink:
        command = [sys.executable, "-m", "pipeline", "extract", str(corpus)]
        command += ["--model", MODEL, "--output", str(output)]
        command += ["--runner", "flink", "--"]
        command += [f"--flink_master={flink.address}"]
        command += [f"--flink_job_server_jar={JOB_SERVER}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            slow = slow_down(process, temporary)
        assert process.returncode == 0
    return measured(output, slow)


def slow_down(job: subprocess.Popen[bytes], temporary: pathlib.Path) -> int:
    """Suspends one worker half of the time until the job ends; returns its id."""
    workers: set[int] = set()
    while job.poll() is None and len(workers) < 2:
        time.sleep(_SLICE_S)
        folders = glob.glob(f"{temporary}/fsdsinet-*")
        statuses = [item for name in folders for item in read_statuses(name).items()]
        workers = {pid for pid, status in statuses if status.clip_id is not None}
    slow = min(workers)
    with contextlib.suppress(ProcessLookupError):
        while job.poll() is None:
            for number in (signal.SIGSTOP, signal.SIGCONT):
                os.kill(slow, number)
                time.sleep(_SLICE_S)
    return slow


def measured(output: pathlib.Path, slow: int) -> dict[str, Any]:
    """The times and the throughput of both workers."""
    audio_s: dict[int, float] = {}
    ends: dict[int, float] = {}
    workers = shard_workers(output)
    begun = min(worker["started_s"] for worker in workers)
    for worker in workers:
        pid = worker["pid"]
        audio_s[pid] = audio_s.get(pid, 0.0) + worker["audio_s"]
        ends[pid] = max(ends.get(pid, 0.0), worker["committed_s"])
    pids = sorted(ends, key=lambda pid: pid != slow)
    end_s = [ends[pid] - begun for pid in pids]
    return {
        "num_shards": len(workers),
        "end_s": [round(end, 2) for end in end_s],
        "apart": round((max(end_s) - min(end_s)) / max(end_s), 4),
        "audio_s_per_s": [
            round(audio_s[pid] / end, 1) for pid, end in zip(pids, end_s, strict=True)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_fsd50k_like(folder / "clips", parsed.clips)
        rounds = [run(corpus, folder / str(i)) for i in range(parsed.rounds)]
    results = {"model": MODEL, "num_clips": parsed.clips, "rounds": rounds}
    save("flink-unequal", results)


if __name__ == "__main__":
    main()
