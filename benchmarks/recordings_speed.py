"""Compares a long recording, and excerpts of it, with the same audio as short clips.

Usage: python -m benchmarks.recordings_speed [--hours H] [--rounds N]

Writes noise with a slow tone as one WAV, as one FLAC and one MP3 file, and as WAV clips
of ten seconds, runs the command on each in turn, and on excerpts of one second of the
FLAC file. Times are of whole processes, start-up included. The largest memory is that
of a worker process: anonymous memory, without files that are mapped.
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

import numpy as np

from benchmarks.support.machine import save
from training.synthesis.encode import encode
from transforms.elements import FloatArray

RATE_HZ = 44100
CLIP_S = 10
MODEL = "fsd-sinet-vgg41-tlpf-demo"
_LOOK_S = 0.5


def noise(seconds: int) -> FloatArray:
    """Noise with a tone that rises and falls: float32 [1, num_samples]."""
    samples = np.random.default_rng(0).normal(0, 0.05, seconds * RATE_HZ)
    times = np.arange(len(samples)) / RATE_HZ
    samples += 0.2 * np.sin(2 * np.pi * (300 + 100 * np.sin(times / 9)) * times)
    return samples.astype(np.float32)[np.newaxis]


def write_inputs(folder: pathlib.Path, seconds: int) -> dict[str, pathlib.Path]:
    """Writes the inputs; returns them by name."""
    samples = noise(seconds)
    kinds = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame"}
    inputs = {
        kind: encode(folder / f"recording.{kind}", samples, RATE_HZ, codec)
        for kind, codec in kinds.items()
    }
    inputs["clips"] = folder / "clips"
    inputs["clips"].mkdir()
    for start in range(0, seconds, CLIP_S):
        part = samples[:, start * RATE_HZ : (start + CLIP_S) * RATE_HZ]
        path = inputs["clips"] / f"{start:06d}.wav"
        encode(path, part, RATE_HZ, "pcm_s16le")
    inputs["excerpts"] = folder / "excerpts.csv"
    rows = [f"recording.flac,{start},{start + 1}\n" for start in range(seconds)]
    inputs["excerpts"].write_text("uri,start_s,end_s\n" + "".join(rows))
    return inputs


def run(path: pathlib.Path, output: pathlib.Path) -> dict[str, float]:
    """Runs the command; returns its time, its patches and the memory of a worker."""
    command = [sys.executable, "-m", "pipeline", "extract", str(path), "--model", MODEL]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--output", str(output), "--overwrite"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    largest_mb = 0.0
    while process.poll() is None:
        largest_mb = max(largest_mb, largest_child_mb(process.pid))
        time.sleep(_LOOK_S)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"extract ended with code {process.returncode}")
    totals = json.loads((output / "run.json").read_text())["totals"]
    return {"s": seconds, "patches": totals["patches"], "worker_mb": largest_mb}


def largest_child_mb(pid: int) -> float:
    """Anonymous memory of the largest process below a process, in MB."""
    sizes = [0.0]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            sizes.append(largest_child_mb(int(child)))
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        sizes.append(int(status.partition("RssAnon:")[2].split()[0]) / 1000)
    except (FileNotFoundError, IndexError):
        pass
    return max(sizes)


def measure(seconds: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        inputs = write_inputs(folder, seconds)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in inputs}
        for _ in range(rounds):
            for name, path in inputs.items():
                found[name].append(run(path, folder / "out"))
                print(name, found[name][-1], flush=True)
    total_s = {name: sum(one["s"] for one in runs) for name, runs in found.items()}
    return {
        "audio_s": seconds,
        "workers": len(os.sched_getaffinity(0)),
        "runs": found,
        "throughput_of_clips": {
            name: round(total_s["clips"] / total_s[name], 3) for name in inputs
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = measure(round(3600 * arguments.hours), arguments.rounds)
    save("recordings-speed", result)


if __name__ == "__main__":
    main()
