"""What the simulation of `benchmarks.scaling` needs to know, measured on this machine.

Times are the best of several, because others may use the machine too. Needs
`make minio`, and graphs from `python -m training.random_graphs full`.

Usage: python -m benchmarks.scaling_costs [PART...]
Without parts all are measured; those that are named replace what is in the results.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.corpora import WAV, make_corpus, make_fsd50k_like
from benchmarks.machine import MODELS, RESULTS, ROOT, peak_mb, save
from benchmarks.made_shards import (
    FILE_S,
    SPEC,
    planned_shard,
    predicted_shard,
    write_copies,
    write_dataset,
)
from pipeline.dataset import Dataset
from pipeline.engine_choice import choose_engines
from pipeline.models import load_model
from pipeline.summary import dataset_totals, summary_text
from tests.object_stores import (
    environment,
    make_s3_bucket,
    running_minio,
    s3_environment,
)
from transforms import storage
from transforms.audio import decode_audio, decode_shard
from transforms.elements import Clip, FloatArray, Shard
from transforms.features import compute_patches, compute_shard_patches
from transforms.front_end import PatchSpec
from transforms.inference import LoadedModels, ShardModelHandler, run_models
from transforms.parquet import commit_shard
from transforms.schemas import part_name

NAME = "scaling-costs"
FULL = ("random-vgg41-tlpf", "random-vgg42-tlpf")
TINY = ROOT / "tests" / "data" / "random-tiny-tlpf.pb"
BUCKET = "s3://bucket"
SHARD_FILES = (1, 15, 60)
MEMORY_FILES = (1, 15, 60, 120)
NUM_SHARDS = (1_000, 10_000)
# Only listed: to read as many takes minutes.
MANY = 100_000
ROUNDS, CLIP_ROUNDS = 3, 100
# MinIO looks at its counters now and then only.
COUNTERS_S = 12


def best_s(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


@contextlib.contextmanager
def places() -> Iterator[dict[str, str]]:
    """A folder on the local disk and one in a bucket of MinIO, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with contextlib.ExitStack() as stack:
            stack.enter_context(environment(MINIO_PROMETHEUS_AUTH_TYPE="public"))
            url = stack.enter_context(running_minio(folder))
            stack.enter_context(environment(**s3_environment(url)))
            make_s3_bucket("bucket")
            yield {"disk": str(folder / "out"), "minio": f"{BUCKET}/out"}


def load_engines(model: pathlib.Path) -> LoadedModels:
    specs = choose_engines([load_model(str(model))], "winograd")
    return ShardModelHandler(specs).load_model()


def process(shard: Shard, engines: LoadedModels) -> int:
    """Brings a shard as far as its predictions; returns the number of patches.

    Every step keeps its input, as steps that Beam has fused do.
    """
    decoded = decode_shard(shard)
    cut = compute_shard_patches(decoded, PatchSpec())
    predicted = run_models(cut, engines)
    found = [clip.predictions for clip in predicted.clips]
    assert all(found), [clip.failure for clip in predicted.clips]
    return sum(len(p.activations) for each in found if each for p in each.values())


def measure_clips() -> dict[str, float]:
    """Seconds before the network, of a clip and of a patch, for short and long clips.

    One clip at a time, so that the best of many is not disturbed.
    """
    counts, seconds = [], []
    with tempfile.TemporaryDirectory() as name:
        for length_s in (1.05, 30.0):
            folder = make_corpus(pathlib.Path(name) / str(length_s), 1, length_s, WAV)
            clip = Clip("made", str(next(folder.iterdir())))
            counts.append((1, len(patches_of(clip))))
            seconds.append(best_s(partial(patches_of, clip), CLIP_ROUNDS))
    clip_s, patch_s = np.linalg.solve(np.array(counts, float), seconds)
    return {"clip_s": max(0.0, clip_s), "front_end_of_a_patch_s": float(patch_s)}


def patches_of(clip: Clip) -> FloatArray:
    patches = compute_patches(decode_audio(clip), PatchSpec()).patches
    assert patches is not None
    return patches


def start_worker(model: str) -> None:
    """What a worker does before its first clip."""
    from apache_beam.runners.worker import sdk_worker_main

    assert sdk_worker_main
    patches = np.zeros((1, 101, 96), np.float32)
    for engine in load_engines(pathlib.Path(model)).values():
        assert len(engine.run(patches).activations) == 1


def measure_starts() -> dict[str, dict[str, float]]:
    """Seconds of a worker's start, and of a whole run of one clip, by model."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        one_clip = make_fsd50k_like(pathlib.Path(name) / "one", 1)
        for model in FULL:
            path = MODELS / f"{model}.pb"
            # Engines are compiled and compared once for a model.
            run_s(path, one_clip, 1)
            results[model] = {
                "worker_s": best_s(partial(in_child, "worker", str(path))),
                "run_of_one_clip_s": min(run_s(path, one_clip, 1) for _ in range(2)),
            }
    return results


def run_s(model: pathlib.Path, corpus: pathlib.Path, num_workers: int) -> float:
    """Wall time of a run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "extract", str(corpus)]
        command += ["--model", str(model), "--output", f"{folder}/out"]
        command += ["--workers", str(num_workers), "--fail-on-error"]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - start


def in_child(what: str, *arguments: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-m", "benchmarks.scaling_costs", "--child", what]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout


def measure_commits() -> dict[str, Any]:
    """Seconds to commit shards by their audio, with a line through them, by place."""
    results: dict[str, Any] = {}
    shards = {number * FILE_S: predicted_shard(number) for number in SHARD_FILES}
    with places() as roots:
        for place, root in roots.items():
            seconds = [
                best_s(partial(commit_shard, shard, root, SPEC))
                for shard in shards.values()
            ]
            slope, fixed = np.polyfit(list(shards), seconds, 1)
            results[place] = {
                "seconds_by_audio_s": dict(zip(shards, seconds, strict=True)),
                "shard_s": max(0.0, float(fixed)),
                "audio_s": float(slope),
            }
    return results


def measure_files() -> dict[str, Any]:
    """Seconds to list, to read and of the launcher's work, by number of shards."""
    results: dict[str, Any] = {}
    with places() as roots:
        for place, root in roots.items():
            results[place] = [
                measure_dataset(f"{root}-{number}", number) for number in NUM_SHARDS
            ]
            results[place].append(measure_listing(f"{root}-many", MANY))
    return results


def measure_dataset(root: str, num_shards: int) -> dict[str, float]:
    """One dataset whose shards have a file in each of three tables."""
    dataset = write_dataset(root, num_shards)
    rounds = ROUNDS if num_shards < NUM_SHARDS[-1] else 1
    return {
        "shards": num_shards,
        "list_s": best_s(lambda: dataset.parts("ledger")),
        "read_ledger_s": best_s(dataset.read_done, rounds),
        "before_s": best_s(lambda: before(dataset), rounds),
        "after_s": best_s(lambda: after(dataset), rounds),
    }


def before(dataset: Dataset) -> None:
    """What a continued run does with the files before its first shard."""
    state = dataset.state()
    assert dataset.parts("ledger")
    dataset.read_done()
    assert dataset.state() == state
    dataset.remove_uncommitted()
    # When the plan is written, as in a new run.
    dataset.remove_uncommitted()
    dataset.read_ledger(["clip_id", "status"])


def after(dataset: Dataset) -> None:
    """What a run does with the files after its last shard."""
    dataset.remove_temporary()
    dataset_totals(dataset)
    summary_text(dataset, dataset_totals(dataset), 0.0)


def measure_listing(root: str, num_files: int) -> dict[str, float]:
    """Seconds to list a ledger, whatever is in it."""
    dataset = Dataset(root)
    names = [part_name(f"{number:07d}") for number in range(num_files)]
    write_copies([dataset.file("ledger", name) for name in names], b"x")
    return {"shards": num_files, "list_s": best_s(lambda: dataset.parts("ledger"))}


def measure_requests() -> dict[str, dict[str, float]]:
    """Requests that a store gets, by kind, for one of each of these."""
    number = 100
    results = {}
    with places() as roots:
        root = roots["minio"]
        audio = [f"{root}/audio/{index}.wav" for index in range(number)]
        write_copies(audio, bytes(2_000_000))
        dataset = write_dataset(f"{root}/data", number)
        ledger = dataset.parts("ledger")
        quarter, hour = predicted_shard(15), predicted_shard(60)
        actions: dict[str, Callable[[int], object]] = {
            "read a clip": lambda i: storage.read_file(audio[i]),
            "commit a shard of 900 s": lambda i: commit_shard(quarter, root, SPEC),
            "commit a shard of 3600 s": lambda i: commit_shard(hour, root, SPEC),
            "look up a ledger file": lambda i: storage.look_up(ledger[i]),
            "read a hundredth of 100 ledger files": lambda i: i or dataset.read_done(),
        }
        for name, action in actions.items():
            earlier = requests()
            for index in range(number):
                action(index)
            results[name] = {
                kind: (count - earlier.get(kind, 0)) / number
                for kind, count in requests().items()
                if count > earlier.get(kind, 0)
            }
    return results


def requests() -> dict[str, float]:
    """All that MinIO was asked so far, by kind."""
    time.sleep(COUNTERS_S)
    url = f"{os.environ['AWS_ENDPOINT_URL']}/minio/v2/metrics/cluster"
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()
    found = re.findall(r'minio_s3_requests_total\{api="(\w+)".*\} (\S+)', text)
    return {name: float(value) for name, value in found}


def measure_memory() -> dict[str, float]:
    """Peak MB of a process that does one shard, by its audio: a tiny model."""
    return {
        str(number * FILE_S): float(in_child("shard", str(number)))
        for number in MEMORY_FILES
    }


def do_shard(num_files: str) -> None:
    """Prints the peak memory for a shard of files of a minute."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_corpus(folder / "audio", int(num_files), float(FILE_S), WAV)
        paths = sorted(corpus.iterdir())
        # What is compiled once is compiled before.
        in_child("process", str(TINY), str(paths[0]))
        print(in_child("process", str(TINY), *map(str, paths)))


def process_files(model: str, *paths: str) -> None:
    """Does a shard of files, and prints the peak memory."""
    process(planned_shard(list(paths)), load_engines(pathlib.Path(model)))
    print(peak_mb())


def measure_launcher_memory() -> dict[str, float]:
    """Peak MB of the launcher's work with the files, by number of shards; on a disk."""
    return {
        str(number): float(in_child("launcher", str(number)))
        for number in (10, *NUM_SHARDS)
    }


def do_files(num_shards: str) -> None:
    """Prints the peak memory of a launcher that continues and ends."""
    with tempfile.TemporaryDirectory() as name:
        dataset = write_dataset(f"{name}/out", int(num_shards))
        before(dataset)
        after(dataset)
    print(peak_mb())


CHILDREN: dict[str, Callable[..., None]] = {
    "worker": start_worker,
    "shard": do_shard,
    "process": process_files,
    "launcher": do_files,
}
PARTS: dict[str, Callable[[], Any]] = {
    "clips": measure_clips,
    "starts": measure_starts,
    "commits": measure_commits,
    "files": measure_files,
    "requests": measure_requests,
    "memory": measure_memory,
    "launcher_memory": measure_launcher_memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        CHILDREN[arguments.child[0]](*arguments.child[1:])
        return
    path = RESULTS / f"{NAME}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    results = {name: kept[name] for name in PARTS if name in kept}
    for name in arguments.parts or PARTS:
        results[name] = PARTS[name]()
        save(NAME, results)


if __name__ == "__main__":
    main()
