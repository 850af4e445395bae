"""Speed and memory of `fsdsinet extract` beside the reference script, in one run.

The same clips go through the reference script (one process with its own threads, as a
user would run it, activations only) and through `extract --workers 2` (activations and
embeddings). Run twice at two sizes: the difference between them is the steady rate,
free of start-up. Usage: python -m benchmarks.extract_speed [--repeats N] [--memory]
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.corpora import make_corpus
from benchmarks.machine import save

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "build" / "models"
NUM_CLIPS, CLIP_S = (20, 80), 10.0
NUM_WORKERS = 2
STEPS = ("decode", "resample", "log_mel", "inference", "commit")
MEMORY_CLIPS = (1_000, 10_000)


def run_reference(model: pathlib.Path, corpus: pathlib.Path) -> dict[str, float]:
    """Wall time of the reference script over a corpus."""
    with tempfile.TemporaryDirectory() as folder:
        script = [sys.executable, str(ROOT / "benchmarks" / "reference.py"), str(model)]
        output = pathlib.Path(folder) / "out.npz"
        files = sorted(map(str, corpus.iterdir()))
        start = time.perf_counter()
        subprocess.run(
            [*script, str(output), *files, "--outputs", "activations"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return {"wall_s": time.perf_counter() - start}


def run_extract(model: pathlib.Path, corpus: pathlib.Path) -> dict[str, float]:
    """Wall time of a run, the time of its steps, patches, and workers' peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out"
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "extract", str(corpus)]
            + ["--model", str(model), "--output", str(output)]
            + ["--workers", str(NUM_WORKERS)]
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


def compare(
    model: pathlib.Path, small: pathlib.Path, large: pathlib.Path
) -> dict[str, Any]:
    """One round: both sides at both sizes, and what follows from the differences."""
    reference = [run_reference(model, corpus) for corpus in (small, large)]
    extract = [run_extract(model, corpus) for corpus in (small, large)]
    grown = {key: extract[1][key] - extract[0][key] for key in extract[0]}
    reference_s = reference[1]["wall_s"] - reference[0]["wall_s"]
    worker_s = NUM_WORKERS * grown["wall_s"]
    steps_s = {step: grown[f"{step}_s"] for step in STEPS}
    beam_s = worker_s - sum(steps_s.values())
    rest_s = sum(steps_s.values()) - steps_s["commit"]
    return {
        "reference_patches_per_s": grown["patches"] / reference_s,
        "extract_patches_per_s": grown["patches"] / grown["wall_s"],
        "speedup_steady": reference_s / grown["wall_s"],
        "speedup_large_with_startup": reference[1]["wall_s"] / extract[1]["wall_s"],
        "startup_s": extract[0]["wall_s"]
        - grown["wall_s"] * extract[0]["patches"] / grown["patches"],
        "share_of_worker_time": {
            **{step: seconds / worker_s for step, seconds in steps_s.items()},
            "beam_and_idle": beam_s / worker_s,
        },
        "overhead_beam_and_commit_to_rest": (beam_s + steps_s["commit"]) / rest_s,
        "worker_peak_mb": extract[1]["worker_peak_mb"],
    }


def measure_memory(model: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
    """Peak memory of a worker for few and for many clips of just over a second."""
    results = {}
    for num_clips in MEMORY_CLIPS:
        corpus = make_corpus(folder / f"short{num_clips}", num_clips, 1.05)
        results[str(num_clips)] = run_extract(model, corpus)["worker_peak_mb"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="random-vgg41-tlpf")
    parser.add_argument("--memory", action="store_true", help="also 10,000 short clips")
    arguments = parser.parse_args()
    model = MODELS / f"{arguments.model}.pb"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        small, large = (make_corpus(folder / str(n), n, CLIP_S) for n in NUM_CLIPS)
        rounds = [compare(model, small, large) for _ in range(arguments.repeats)]
        rounds.sort(key=lambda result: result["speedup_steady"])
        results: dict[str, Any] = {
            "model": f"{arguments.model} (random weights)",
            "clips": f"{NUM_CLIPS[1]} of {CLIP_S} s: WAV, FLAC, MP3; 44.1 and 48 kHz",
            "workers": NUM_WORKERS,
            "median_round": rounds[len(rounds) // 2],
            "speedup_steady_of_all_rounds": [r["speedup_steady"] for r in rounds],
        }
        if arguments.memory:
            results["worker_peak_mb_by_clips"] = measure_memory(model, folder)
    save(f"extract-speed-{arguments.model}", results)


if __name__ == "__main__":
    main()
