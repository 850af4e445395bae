"""Measures the speed of the engines alone, on one core, in alternating rounds.

Usage: python -m benchmarks.engine_speed [--rounds N] [--models NAME...]

Every engine runs in its own process on the same patches. Other inference engines
("peers": OpenVINO, MNN and, for models without adaptive sampling, ONNX Runtime) are
measured if .venv-bench exists (`make .venv-bench/ready`). The models have random
weights; `python -m training.graphs.random_graphs full` writes them.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.support.machine import MODELS, ROOT, save
from examples.onnx_engine import onnx_graph
from transforms.engines.agreement import check_patches
from transforms.engines.network import read_network_of
from transforms.models.loading import load_model

NAMES = tuple(
    f"random-{name}"
    for name in ("vgg41-tlpf", "vgg42-aps", "vgg42-tlpf", "vgg42-tlpf_aps")
)
# Engines of this project. The last runs as on a processor without AVX-512.
OURS = ("essentia", "winograd", "winograd-avx2")
PEERS = ("openvino", "mnn", "onnxruntime")
_AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
PEER_PYTHON = ROOT / ".venv-bench/bin/python"
_NUM_PATCHES = 48
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def run_engine(engine: str, model: str, folder: pathlib.Path) -> dict[str, Any]:
    """Runs an engine in a process; returns its speed and difference from Essentia."""
    python = str(PEER_PYTHON) if engine in PEERS else sys.executable
    path = MODELS / f"{model}.pb"
    if engine == "onnxruntime":
        path = folder / "model.onnx"
    output = folder / f"{engine}.npz"
    kind, _, simd = engine.partition("-")
    done = subprocess.run(
        [python, "-m", "benchmarks.support.engine_run", kind]
        + [str(p) for p in (path, folder / "patches.npy", output)],
        cwd=ROOT,
        env=os.environ
        | _ONE_THREAD
        | (_AVX2 if simd else {})
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    with np.load(output) as actual, np.load(folder / "essentia.npz") as expected:
        difference = np.abs(actual["activations"] - expected["activations"]).max()
    return result | {"largest_difference_of_activations": float(difference)}


def compare(model: str, rounds: int, folder: pathlib.Path) -> dict[str, Any]:
    """The best round of every engine, and ratios of their speeds."""
    peers: tuple[str, ...] = PEERS if PEER_PYTHON.exists() else ()
    network = read_network_of(load_model(str(MODELS / f"{model}.pb")))
    if any(layer.is_adaptive for layer in network.subsamplings):
        peers = tuple(name for name in peers if name != "onnxruntime")
    else:
        (folder / "model.onnx").write_bytes(onnx_graph(network))
    engines = (*OURS, *peers)
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for engine in engines:
            result = run_engine(engine, model, folder)
            before = best.get(engine, result)
            best[engine] = max(before, result, key=lambda r: r.get("patches_per_s", 0))
    speed = {name: result.get("patches_per_s", 0.0) for name, result in best.items()}
    ratios = {"winograd_to_essentia": speed["winograd"] / speed["essentia"]}
    best_peer = max((speed[name] for name in peers), default=0.0)
    if best_peer:
        ratios["winograd_to_best_peer"] = speed["winograd"] / best_peer
    return {"engines": best, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=NAMES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        patches = np.resize(check_patches(), (_NUM_PATCHES, *check_patches().shape[1:]))
        np.save(folder / "patches.npy", patches)
        models = {m: compare(m, arguments.rounds, folder) for m in arguments.models}
    save("engine-speed", {"cores": 1, "models": models})


if __name__ == "__main__":
    main()
