"""Measures a bucket compared with a disk: listing, reading, and a whole run.

Usage: python -m benchmarks.storage_speed [--objects N] [--clips N] [--rounds N]

The bucket is on a MinIO server on this machine (`make minio`), so that there is no
network latency. One comparison, of clips that are fetched ahead or not, adds a latency.
"""

import argparse
import concurrent.futures
import functools
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.support.corpora import make_fsd50k_like
from benchmarks.support.machine import ROOT, save
from tests.support.object_stores import (
    environment,
    make_s3_bucket,
    running_minio,
    s3_environment,
)
from transforms import storage
from transforms.audio import decode_audio
from transforms.decoding.reading import open_audio, openers
from transforms.elements import Clip
from transforms.models.loading import load_model

MODEL = "fsd-sinet-vgg41-tlpf-demo"
BUCKET = "s3://bucket"
# Typical order of magnitude between a machine and a bucket in the same region.
LATENCY_S = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_fsd50k_like(folder / "corpus", arguments.clips)
        with running_minio(folder) as url, environment(**s3_environment(url)):
            make_s3_bucket("bucket")
            results = {
                "list": measure_listing(arguments.objects),
                "decode": measure_decoding(corpus),
                "extract": measure_extract(corpus, arguments.rounds),
            }
    save("storage-speed", results)


def measure_listing(num_objects: int) -> dict[str, float]:
    """Seconds to list a folder of many small objects, the best of three rounds."""
    uris = [f"{BUCKET}/many/{i % 97}/{i}.wav" for i in range(num_objects)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(functools.partial(put, data=b"x" * 100), uris))

    def list_all() -> None:
        assert len(storage.list_files(f"{BUCKET}/many", recursive=True)) == num_objects

    return {"objects": num_objects, "seconds": min(timed(list_all) for _ in range(3))}


def put(uri: str, data: bytes) -> None:
    with storage.publish(uri) as file:
        file.write(data)


def measure_decoding(corpus: pathlib.Path) -> dict[str, float]:
    """Seconds to read and decode all clips in one process, the best of three rounds."""
    paths = sorted(corpus.iterdir())
    for path in paths:
        put(f"{BUCKET}/corpus/{path.name}", path.read_bytes())
    local = [Clip(path.name, str(path)) for path in paths]
    remote = [Clip(path.name, f"{BUCKET}/corpus/{path.name}") for path in paths]

    def slowly(clip: Clip) -> Any:
        time.sleep(LATENCY_S)
        return open_audio(clip)

    ways: dict[str, Callable[[], object]] = {
        "disk": lambda: [decode_audio(clip) for clip in local],
        "bucket": lambda: [decode_audio(clip) for clip in remote],
        "bucket, ahead": lambda: [
            decode_audio(clips[0], opener) for clips, opener in openers(remote)
        ],
        "slow bucket": lambda: [
            decode_audio(clip, functools.partial(slowly, clip)) for clip in remote
        ],
        "slow bucket, ahead": lambda: [
            decode_audio(clips[0], opener) for clips, opener in openers(remote, slowly)
        ],
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(3):
        for name, way in ways.items():
            best[name] = min(best[name], timed(way))
    return {"clips": len(paths), "latency_s": LATENCY_S, **best}


def measure_extract(corpus: pathlib.Path, rounds: int) -> dict[str, Any]:
    """Wall times of the whole command with two workers, on disk and bucket in turn."""
    load_model(MODEL)
    ways = {
        "disk to disk": (str(corpus), None),
        "bucket to bucket": (f"{BUCKET}/corpus", f"{BUCKET}/out"),
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (source, output) in ways.items():
            walls[name].append(run_extract(source, output))
    best = {name: min(values) for name, values in walls.items()}
    ratio = best["bucket to bucket"] / best["disk to disk"]
    return {"model": MODEL, "wall_s": walls, "best_s": best, "ratio": ratio}


def run_extract(source: str, output: str | None) -> float:
    with tempfile.TemporaryDirectory() as folder:
        place = storage.join(output or folder, uuid.uuid4().hex)
        command = [sys.executable, "-m", "pipeline", "extract", source]
        command += ["--model", MODEL, "--output", place, "--workers", "2"]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        wall_s = time.perf_counter() - start
        run = json.loads(storage.read_file(storage.join(place, "run.json")))
        assert not run["totals"]["failed"]
    return wall_s


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
