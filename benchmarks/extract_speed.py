"""Measures speed and memory of `fsdsinet extract`, compared with the reference script.

One run measures the same clips in four ways:
- the reference script in one process with its own threads, as a user would run it;
- the reference script in two processes, with one thread and half of the clips each;
- `extract` with two workers;
- `extract` with one worker.
Clips have 0.3 to 30 s as in FSD50K. They are 44.1 kHz mono WAV, or with --compressed
48 kHz stereo in turn as FLAC, MP3 and Ogg Vorbis. All times include the start-up. The
reference writes only activations; `extract` writes embeddings, too.

Usage: python -m benchmarks.extract_speed [--clips N] [--rounds N] [--model NAME...]
    [--compressed] [--memory] [--many N]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.support.corpora import (
    COMPRESSED,
    MEAN_CLIP_S,
    WAV,
    make_corpus,
    make_fsd50k_like,
)
from benchmarks.support.machine import MODELS, ROOT, save
from benchmarks.support.watch import Watch

STEPS = ("decode", "resample", "log_mel", "inference", "commit")
MEMORY_CLIPS = (1_000, 10_000)


def run_reference(model: pathlib.Path, files: list[str], num_processes: int) -> float:
    """Wall time of the reference script for some files.

    One process uses as many threads as it likes; several processes use one thread each.
    """
    script = [
        sys.executable,
        str(ROOT / "benchmarks" / "support" / "reference.py"),
        str(model),
    ]
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
    """Runs `extract`; returns wall time, times of steps, and the values of `Watch`."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out"
        watch = Watch()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "extract", str(corpus)]
            + ["--model", str(model), "--output", str(output)]
            + ["--workers", str(num_workers)]
            + ["--last-patch", "discard"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wall_s = watch.until_end(process)
        run = json.loads((output / "run.json").read_text())
    assert process.returncode == 0 and not run["totals"]["failed"]
    steps = {f"{step}_s": run["counters"][f"{step}_us"] / 1e6 for step in STEPS}
    return {
        "wall_s": wall_s,
        "first_patch_s": watch.first_patch_s,
        "worker_s": watch.worker_s,
        "worker_peak_mb": watch.peak_mb,
        "patches": run["totals"]["patches"],
    } | steps


def compare(model: pathlib.Path, corpus: pathlib.Path) -> dict[str, Any]:
    """One round of all four ways, and ratios of their times."""
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
        "front_end_and_engine_of_worker_time": (
            sum(steps_s.values()) - steps_s["commit"]
        )
        / two["worker_s"],
        "first_patch_s": two["first_patch_s"],
        "worker_peak_mb": max(two["worker_peak_mb"], one["worker_peak_mb"]),
    }


def measure_memory(model: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
    """Peak memory of a worker for few and for many clips of 1.05 s."""
    results = {}
    for num_clips in MEMORY_CLIPS:
        corpus = make_corpus(folder / f"short{num_clips}", num_clips, 1.05)
        results[str(num_clips)] = run_extract(model, corpus, 2)["worker_peak_mb"]
    return results


def compare_workers(model: pathlib.Path, corpus: pathlib.Path) -> dict[str, float]:
    """Wall times with one and with two workers, and their ratio, for a large corpus."""
    one, two = (run_extract(model, corpus, n)["wall_s"] for n in (1, 2))
    return {"1_worker_s": one, "2_workers_s": two, "two_workers_to_one": one / two}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", nargs="+", default=["random-vgg41-tlpf"])
    parser.add_argument("--compressed", action="store_true", help="FLAC, MP3 and Ogg")
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also measure 1,000 and 10,000 short clips",
    )
    parser.add_argument(
        "--many", type=int, help="also compare one and two workers on N clips"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        formats = COMPRESSED if arguments.compressed else WAV
        corpus = make_fsd50k_like(folder / "corpus", arguments.clips, formats)
        one_clip = make_fsd50k_like(folder / "one", 1)
        if arguments.many:
            many = make_fsd50k_like(folder / "many", arguments.many, formats)
        for model in arguments.model:
            path = MODELS / f"{model}.pb"
            # The first run compiles and checks the engine, which is not measured.
            run_extract(path, one_clip, 1)
            rounds = [compare(path, corpus) for _ in range(arguments.rounds)]
            rounds.sort(key=lambda result: result["speedup_to_reference"])
            results: dict[str, Any] = {
                "model": f"{model} (random weights)",
                "clips": f"{arguments.clips}, mean {MEAN_CLIP_S} s",
                "formats": [f"{c}, {hz} Hz, {n} channels" for _, c, hz, n in formats],
                "median_round": rounds[len(rounds) // 2],
                "speedup_to_reference_of_all_rounds": [
                    r["speedup_to_reference"] for r in rounds
                ],
            }
            if arguments.memory:
                results["worker_peak_mb_by_clips"] = measure_memory(path, folder)
            if arguments.many:
                results[f"of_{arguments.many}_clips"] = compare_workers(path, many)
            kind = "compressed-" if arguments.compressed else ""
            save(f"extract-speed-{kind}{model}", results)


if __name__ == "__main__":
    main()
