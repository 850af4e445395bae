"""Measures what it saves to prepare a shard while a device computes the one before.

Usage: python -m benchmarks.gpu.overlap [--clips N] [--workers N...] [--patch-ms MS...]
    [--starts N...] [--rounds N] [--save]

The device is simulated: its engine waits a stated time for every patch, without
Python's lock, and computes nothing. One simulated device serves all workers, one call
at a time. Decoding, front end and commit are the real ones. `held` are runs in which a
worker prepares its next shard meanwhile; in runs `in turn`, the engine does not say
that it uses a device.

With `in 40 starts`, a call starts 40 kernels for every 128 patches, each with Python's
lock, as PyTorch does; the simulated device computes them in order. The front end may
have the lock just then. With one start, it is one wait for all patches of a call.

Times are from the first shard's begin to the last commit, without the start of the
processes. `idle` is the share of that time in which the simulated device waits.
"""

import argparse
import dataclasses
import fcntl
import json
import logging
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.support.corpora import WAV, make_fsd50k_like
from benchmarks.support.machine import ROOT, save
from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import ModelSpec
from transforms.job_control.child_process import WORKER_ENVIRONMENT
from transforms.job_control.status import STATUS_FOLDER_VARIABLE

_MODEL = ROOT / "tests" / "data" / "random-tiny-tlpf.pb"
_CLIPS_PER_SHARD = 8
_BATCH = 128
_WRITTEN_CLIPS = 100
_SETTINGS = "SIMULATED_DEVICE"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A run.

    Attributes:
        num_workers: Number of worker processes, which share the simulated device.
        patch_ms: Time of the simulated device for a patch.
        is_held: Whether a worker prepares its next shard meanwhile.
        num_starts: Kernels that are started for 128 patches, each with Python's lock;
            with 1, there is one for the whole call.
    """

    num_workers: int
    patch_ms: float
    is_held: bool
    num_starts: int

    @property
    def name(self) -> str:
        starts = f", in {self.num_starts} starts" if self.num_starts > 1 else ""
        return f"{self.patch_ms:g} ms a patch{starts}, workers: {self.num_workers}"


class SimulatedDevice:
    """An engine that waits as if a device computed. It returns zeros."""

    run_patches = 512

    def __init__(self, spec: ModelSpec) -> None:
        self._folder = pathlib.Path(os.environ[_SETTINGS])
        self._setting = Setting(**json.loads((self._folder / "setting").read_text()))
        self._sizes = len(spec.labels), spec.embedding_size

    @property
    def uses_device(self) -> bool:
        return self._setting.is_held

    def run(self, patches: FloatArray) -> Prediction:
        # PyTorch copies patches to memory from which the device reads.
        np.ascontiguousarray(patches)
        with open(self._folder / "device", "a") as device:
            fcntl.flock(device, fcntl.LOCK_EX)
            self._compute(len(patches))
            device.write(f"{len(patches)}\n")
        return Prediction(
            *(np.zeros((len(patches), size), np.float32) for size in self._sizes)
        )

    def _compute(self, num_patches: int) -> None:
        total_s = num_patches * self._setting.patch_ms / 1e3
        num_kernels = self._setting.num_starts
        if num_kernels > 1:
            num_kernels *= -(-num_patches // _BATCH)
        end_s = 0.0
        for _ in range(num_kernels):
            # Gives Python's lock away and asks for it again.
            time.sleep(0)
            end_s = max(time.perf_counter(), end_s) + total_s / num_kernels
        time.sleep(max(0.0, end_s - time.perf_counter()))


def run_one(folder: pathlib.Path) -> None:
    """Runs the main job on `folder`/clips, in this process and its workers."""
    from pipeline.runners.workers.fork_server import start_fork_server
    from pipeline.runners.workers.pool import WorkerPool

    # Before this process has threads.
    server = start_fork_server()
    import pyarrow as pa

    # Workers import the class by this name. In this process it is also `__main__`'s.
    from benchmarks.gpu.overlap import SimulatedDevice as Engine
    from pipeline.extract import ExtractJob
    from pipeline.runners.local import job
    from transforms.engines.registered import ENGINES
    from transforms.front_end.patches import PatchSpec
    from transforms.manifest import write_plan
    from transforms.models.loading import load_model
    from transforms.schemas import DatasetSpec

    logging.getLogger().setLevel(logging.ERROR)
    ENGINES["simulated"] = Engine
    model = dataclasses.replace(load_model(str(_MODEL)), engine="simulated")
    paths = sorted((folder.parent / "clips").iterdir())
    rows = pa.table({"clip_id": [p.stem for p in paths], "uri": list(map(str, paths))})
    starts = range(0, len(paths), _CLIPS_PER_SHARD)
    plan, status, notes = (str(folder / name) for name in ("plan", "status", "notes"))
    write_plan([rows.slice(start, _CLIPS_PER_SHARD) for start in starts], plan)
    spec = DatasetSpec((model,), ("activations", "embeddings"), PatchSpec(), {})
    setting = Setting(**json.loads((folder / "setting").read_text()))
    extract_job = ExtractJob(plan, str(folder / "out"), spec)
    request = job.LocalJob(extract_job, setting.num_workers, (), status, notes)
    job.run(request, WorkerPool(server, status, notes))
    os._exit(0)


def measure(folder: pathlib.Path, setting: Setting) -> dict[str, float]:
    """Wall time, and the share in which the simulated device waits."""
    folder.mkdir()
    (folder / "status").mkdir()
    (folder / "setting").write_text(json.dumps(dataclasses.asdict(setting)))
    environment = {
        **os.environ,
        **WORKER_ENVIRONMENT,
        _SETTINGS: str(folder),
        STATUS_FOLDER_VARIABLE: str(folder / "status"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.overlap", "--one", folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # The module imports pyarrow, which `run_one` may import only after its fork.
    from benchmarks.support.shard_workers import shard_workers

    workers = shard_workers(folder / "out")
    begun_s = min(worker["started_s"] for worker in workers)
    wall_s = max(worker["committed_s"] for worker in workers) - begun_s
    num_patches = sum(map(int, (folder / "device").read_text().split()))
    busy_s = num_patches * setting.patch_ms / 1e3
    return {"s": wall_s, "idle": 1 - busy_s / wall_s, "patches": num_patches}


def compare(
    folder: pathlib.Path, setting: Setting, num_rounds: int
) -> dict[str, float]:
    """Medians of both ways, and of their ratios in the same round.

    `load_average` tells whether other programs had the cores.
    """
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for number in range(num_rounds):
        for is_held in (False, True):
            each = dataclasses.replace(setting, is_held=is_held)
            path = folder / f"{setting.name}-{number}-{is_held}"
            found[is_held].append(measure(path, each))
    result = {}
    for name, runs in (("in_turn", found[False]), ("held", found[True])):
        for value, digits in (("s", 2), ("idle", 3)):
            middle = statistics.median(run[value] for run in runs)
            result[f"{name}_{value}"] = round(middle, digits)
    ratios = (a["s"] / b["s"] for a, b in zip(found[False], found[True], strict=True))
    result["times_as_fast"] = round(statistics.median(ratios), 2)
    return {**result, "load_average": round(os.getloadavg()[0], 1)}


def make_clips(folder: pathlib.Path, num_clips: int) -> None:
    """Writes clips as in FSD50K, most of them as links to others."""
    originals = sorted(make_fsd50k_like(folder, _WRITTEN_CLIPS, WAV).iterdir())
    for index in range(len(originals), num_clips):
        link = folder / f"link-{index:06d}.wav"
        link.hardlink_to(originals[index % len(originals)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--patch-ms", nargs="+", type=float, default=[0.25, 1])
    parser.add_argument("--starts", nargs="+", type=int, default=[1, 40])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--one", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_clips(folder / "clips", arguments.clips)
        for patch_ms in arguments.patch_ms:
            for num_starts in arguments.starts:
                for count in arguments.workers:
                    setting = Setting(count, patch_ms, True, num_starts)
                    found = compare(folder, setting, arguments.rounds)
                    results[setting.name] = found
                    print("simulated device:", setting.name, found, flush=True)
    if arguments.save:
        device = "simulated: it waits, and computes nothing"
        content = {
            "device": device,
            "clips": arguments.clips,
            "rounds": arguments.rounds,
        }
        save("device-overlap", {**content, "runs": results})


if __name__ == "__main__":
    main()
