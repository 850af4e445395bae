"""Measures engine `torch` on a CUDA device, alone and in the whole command.

Usage: python -m benchmarks.gpu.speed [--models NAME...] [--batches N...]
    [--clips N] [--workers N...]

1. The network alone: patches a second for every model, precision and size of batch, and
   the share of the device's peak. Patches and results stay on the device.
2. Files to predictions: `extract` on clips of 0.3 to 30 s, with several numbers of
   workers that share the device, beside `winograd` on all cores. Start-up is included,
   also in `idle`, the share of time in which the device waits, as nvidia-smi sees it.

With 16 cores and a fast device, all of this should take about seven minutes.

The models have random weights; `python -m training.graphs.random_graphs full` writes
them. Results are kept only if there is a CUDA device.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.support.corpora import MEAN_CLIP_S, WAV, make_fsd50k_like
from benchmarks.support.machine import MODELS, ROOT, save
from transforms.engines.contract import PRECISIONS
from transforms.engines.network import Network, read_network_of
from transforms.engines.torch.engine import DTYPES, choose_device, prepare_process
from transforms.engines.torch.layers import SinetModule
from transforms.models.loading import load_model

NAMES = ("vgg41-tlpf", "vgg41-aps", "vgg42-aps", "vgg42-tlpf", "vgg42-tlpf_aps")
# Dense products, from NVIDIA's data sheets of the H100 SXM and the H200: TFLOP/s.
_PEAK_TFLOPS = {"float32": 67, "tf32": 494, "bfloat16": 989}
_PEAK_DEVICES = ("H100", "H200")
# Clips that are written; the others are links to them.
_WRITTEN_CLIPS = 400
# Time that a measurement takes at least, after one batch that is not counted.
_MEASURED_S = 1.0
# Prints every 0.2 s in how many percent of the time before a kernel ran.
_DEVICE_USE = (
    "nvidia-smi --id=0 --query-gpu=utilization.gpu --format=csv,noheader,nounits "
    "--loop-ms=200"
)


def flops_of(network: Network) -> int:
    """Operations of convolutions and filters for a patch; two for each product."""
    sizes = [(101, 96), (51, 48), (26, 24), (13, 12)]
    total = 0
    for index, layer in enumerate(network.convolutions):
        height, width = sizes[max(0, index - 1) // 2]
        total += 2 * height * width * layer.weights.size
    for index, subsampling in enumerate(network.subsamplings):
        if subsampling.taps is not None:
            # Before adaptive sampling, the filter has a stride of 1.
            height, width = sizes[index if subsampling.is_adaptive else index + 1]
            total += 2 * height * width * subsampling.taps.size
    return total


def network_speed(network: Network, precision: str, batch: int) -> float:
    """Patches a second of the network alone."""
    device = choose_device()
    prepare_process(precision)
    module = SinetModule(network, DTYPES[precision]).to(device).eval()
    rng = np.random.default_rng(0)
    values = rng.standard_normal((batch, 101, 96)).astype(np.float32)
    patches = torch.from_numpy(values).to(device)
    count, start = 0, 0.0
    with torch.inference_mode():
        while not count or time.perf_counter() - start < _MEASURED_S:
            module(patches)
            _wait(device)
            start = start or time.perf_counter()
            count += 1
    return (count - 1) * batch / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def networks(models: list[str], batches: list[int]) -> dict[str, Any]:
    """Speed of every model, by precision and batch, and shares of the peak."""
    name = _device_name()
    has_peak = any(known in name for known in _PEAK_DEVICES)
    results: dict[str, Any] = {}
    for model in models:
        network = read_network_of(load_model(str(MODELS / f"random-{model}.pb")))
        flops = flops_of(network)
        found: dict[str, Any] = {"gflop_per_patch": round(flops / 1e9, 3)}
        for precision in PRECISIONS:
            speeds = {b: network_speed(network, precision, b) for b in batches}
            best = max(speeds.values())
            found[precision] = {
                "patches_per_s": {b: round(s) for b, s in speeds.items()}
            }
            if has_peak:
                share = best * flops / (_PEAK_TFLOPS[precision] * 1e12)
                found[precision]["share_of_peak"] = round(share, 3)
            print(model, precision, found[precision], flush=True)
        results[model] = found
    return results


def _device_name() -> str:
    is_cuda = choose_device().type == "cuda"
    return torch.cuda.get_device_name() if is_cuda else "cpu"


def make_corpus(folder: pathlib.Path, num_clips: int) -> pathlib.Path:
    """Writes clips as in FSD50K, most of them as links to others."""
    written = make_fsd50k_like(folder, min(num_clips, _WRITTEN_CLIPS), WAV)
    originals = sorted(written.iterdir())
    for index in range(len(originals), num_clips):
        original = originals[index % len(originals)]
        (folder / f"link-{index:06d}.wav").hardlink_to(original)
    return folder


def extract_s(corpus: pathlib.Path, model: str, *options: str) -> float:
    """Wall time of the command."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "pipeline", "extract", str(corpus), "--model"]
            + [
                str(MODELS / f"random-{model}.pb"),
                "--output",
                f"{folder}/out",
                *options,
            ],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start


@contextlib.contextmanager
def device_use() -> Iterator[list[float]]:
    """After the block, the list has shares of time in which the device computed.

    It stays empty without nvidia-smi, or if nvidia-smi does not know.
    """
    found: list[float] = []
    try:
        process = subprocess.Popen(
            _DEVICE_USE.split(), stdout=subprocess.PIPE, text=True
        )
    except FileNotFoundError:
        yield found
        return
    try:
        yield found
    finally:
        process.terminate()
        lines = process.communicate()[0].split()
        found.extend(int(line) / 100 for line in lines if line.isdigit())


def commands(
    corpus: pathlib.Path, num_clips: int, workers: list[int]
) -> dict[str, Any]:
    """How many times real time the command is, by engine, precision and workers."""
    audio_s = MEAN_CLIP_S * num_clips
    cores = len(os.sched_getaffinity(0))
    options: tuple[str, ...]
    runs: dict[str, tuple[str, ...]] = {f"winograd, {cores} workers": ()}
    for precision in ("float32", "bfloat16"):
        for count in workers:
            options = ("--engine", "torch", "--precision", precision)
            runs[f"torch {precision}, {count} workers"] = (
                *options,
                "--workers",
                str(count),
            )
    results: dict[str, Any] = {}
    for name, options in runs.items():
        # The first run compiles, and compares the engine with the reference.
        extract_s(corpus, "vgg41-tlpf", "--dry-run", *options)
        with device_use() as shares:
            seconds = extract_s(corpus, "vgg41-tlpf", *options)
        results[name] = {
            "s": round(seconds, 1),
            "times_real_time": round(audio_s / seconds),
            "idle": round(1 - statistics.mean(shares), 3) if shares else None,
        }
        print(name, results[name], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=NAMES)
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument("--clips", type=int, default=4_000)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 4, 16, 24])
    arguments = parser.parse_args()
    results: dict[str, Any] = {"device": _device_name(), "torch": torch.__version__}
    results["network"] = networks(arguments.models, arguments.batches)
    if arguments.clips:
        with tempfile.TemporaryDirectory() as folder:
            corpus = make_corpus(pathlib.Path(folder) / "clips", arguments.clips)
            found = commands(corpus, arguments.clips, arguments.workers)
            results["command"] = {"clips": arguments.clips, "runs": found}
    if results["device"] != "cpu":
        save("gpu-speed", results)


if __name__ == "__main__":
    main()
