"""Speed and memory of `fsdsinet extract` beside the reference script, in one run.

The same clips (44.1 kHz mono WAV, 0.3 to 30 s, as in FSD50K) go through the reference
script (one process with its own threads, as a user would run it), through two of these
with one thread each and half of the clips, and through `extract` with two workers and
with one. Start-up counts. The reference writes activations only, `extract` embeddings,
too.

Usage: python -m benchmarks.extract_speed [--clips N] [--rounds N] [--model NAME...]
    [--memory]
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.corpora import make_corpus, make_fsd50k_like
from benchmarks.machine import MODELS, ROOT, save

STEPS = ("decode", "resample", "log_mel", "inference", "commit")
MEMORY_CLIPS = (1_000, 10_000)


def run_reference(model: pathlib.Path, files: list[str], num_processes: int) -> float:
    """Wall time of the reference script over files, in one process with threads of its
    own, or in several with one thread each."""
    script = [sys.executable, str(ROOT / "benchmarks" / "reference.py"), str(model)]
    threads = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
    environment = {**os.environ, **(threads if num_processes > 1 else {})}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        processes = [
            subprocess.Popen(
                [*script, f"{folder}/{index}.npz", *files[index::num_processes]]
                + ["--outputs", "activations"],
                stdout=subprocess.DEVNULL,
                env=environment,
            )
            for index in range(num_processes)
        ]
        codes = [process.wait() for process in processes]
        assert not any(codes), codes
        return time.perf_counter() - start


def run_extract(
    model: pathlib.Path, corpus: pathlib.Path, num_workers: int
) -> dict[str, float]:
    """Wall time of a run, the time of its steps, patches, and workers' peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out"
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "extract", str(corpus)]
            + ["--model", str(model), "--output", str(output)]
            + ["--workers", str(num_workers)]
            + ["--last-patch", "discard"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peak_kb = 0
        while process.poll() is None:
            peak_kb = max([peak_kb, *map(_peak_kb, _workers())])
            time.sleep(0.1)
        wall_s = time.perf_counter() - start
        run = json.loads((output / "run.json").read_text())
    assert process.returncode == 0 and not run["totals"]["failed"]
    steps = {f"{step}_s": run["counters"][f"{step}_us"] / 1e6 for step in STEPS}
    patches = run["totals"]["patches"]
    return {
        "wall_s": wall_s,
        "patches": patches,
        "worker_peak_mb": peak_kb / 1e3,
    } | steps


def _workers() -> list[pathlib.Path]:
    """/proc folders of worker processes."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"pipeline.worker" in (folder / "cmdline").read_bytes():
                found.append(folder)
    return found


def _peak_kb(process: pathlib.Path) -> int:
    with contextlib.suppress(OSError):
        for line in (process / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def compare(model: pathlib.Path, corpus: pathlib.Path) -> dict[str, Any]:
    """One round of all four, and the ratios that follow."""
    files = sorted(map(str, corpus.iterdir()))
    reference_s, pool_s = (run_reference(model, files, n) for n in (1, 2))
    two, one = (run_extract(model, corpus, workers) for workers in (2, 1))
    steps_s = {step: two[f"{step}_s"] for step in STEPS}
    return {
        "patches": two["patches"],
        "wall_s": {
            "reference": reference_s,
            "two references with one thread": pool_s,
            "extract, 2 workers": two["wall_s"],
            "extract, 1 worker": one["wall_s"],
        },
        "speedup_to_reference": reference_s / two["wall_s"],
        "speedup_to_two_references": pool_s / two["wall_s"],
        "two_workers_to_one": one["wall_s"] / two["wall_s"],
        "share_of_step_time": {
            step: seconds / sum(steps_s.values()) for step, seconds in steps_s.items()
        },
        "steps_of_all_worker_time": sum(steps_s.values()) / (2 * two["wall_s"]),
        "worker_peak_mb": two["worker_peak_mb"],
    }


def measure_memory(model: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
    """Peak memory of a worker for few and for many clips of just over a second."""
    results = {}
    for num_clips in MEMORY_CLIPS:
        corpus = make_corpus(folder / f"short{num_clips}", num_clips, 1.05)
        results[str(num_clips)] = run_extract(model, corpus, 2)["worker_peak_mb"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", nargs="+", default=["random-vgg41-tlpf"])
    parser.add_argument("--memory", action="store_true", help="also 10,000 short clips")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_fsd50k_like(folder / "corpus", arguments.clips)
        one_clip = make_fsd50k_like(folder / "one", 1)
        for model in arguments.model:
            path = MODELS / f"{model}.pb"
            # Engines are compiled and compared once for a model.
            run_extract(path, one_clip, 1)
            rounds = [compare(path, corpus) for _ in range(arguments.rounds)]
            rounds.sort(key=lambda result: result["speedup_to_reference"])
            results: dict[str, Any] = {
                "model": f"{model} (random weights)",
                "clips": f"{arguments.clips}, 44.1 kHz mono WAV, mean 7.6 s",
                "median_round": rounds[len(rounds) // 2],
                "speedup_to_reference_of_all_rounds": [
                    r["speedup_to_reference"] for r in rounds
                ],
            }
            if arguments.memory:
                results["worker_peak_mb_by_clips"] = measure_memory(path, folder)
            save(f"extract-speed-{model}", results)


if __name__ == "__main__":
    main()
