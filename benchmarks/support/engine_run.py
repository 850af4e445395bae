"""Measures speed and memory of one engine on one core, and saves its outputs.

Usage: python -m benchmarks.support.engine_run ENGINE MODEL.pb PATCHES.npy OUTPUTS.npz

ENGINE is an engine of this project or a peer of benchmarks/requirements.txt: openvino,
mnn or onnxruntime. For onnxruntime MODEL.pb is an ONNX graph, which
`examples.onnx_engine` makes of a model. The result is one line of JSON.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.support.machine import peak_mb

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
OUTPUTS = ("model/predictions/Sigmoid", "model/global_max_pooling1d/Max")
_PASSES, _SHORTEST_S = 5, 4.0


def own_engine(name: str, model: str) -> Run:
    """A function that runs an engine of this project."""
    from transforms.engines.registered import ENGINES
    from transforms.models.loading import load_model

    engine = ENGINES[name](load_model(model))

    def run(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prediction = engine.run(patches)
        return prediction.activations, prediction.embeddings

    return run


def openvino(model: str) -> Run:
    import openvino as ov

    core = ov.Core()
    graph = core.read_model(model)
    wanted = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(
        graph, "CPU", wanted | {"PERFORMANCE_HINT": "LATENCY"}
    )
    request = compiled.create_infer_request()
    return in_batches(lambda x: [request.infer({0: x})[0]])


def mnn(model: str) -> Run:
    import MNN.expr as F  # noqa: N812
    import MNN.nn as nn

    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "model.mnn")
        tool = [str(pathlib.Path(sys.executable).with_name("mnnconvert")), "-f", "TF"]
        files = ["--modelFile", model, "--MNNModel", path, "--bizCode", "x"]
        subprocess.run([*tool, *files], check=True, capture_output=True)
        settings = {"precision": "high", "backend": "CPU", "numThread": 1}
        manager = nn.create_runtime_manager((settings | {"memory": "high"},))
        net = nn.load_module_from_file(path, ["x"], [*OUTPUTS], runtime_manager=manager)

    def run(x: np.ndarray) -> list[np.ndarray]:
        placeholder = F.placeholder([*x.shape], F.NHWC)
        placeholder.write(x)
        return [np.array(output.read()) for output in net.forward([placeholder])]

    return in_batches(run)


def onnxruntime(graph: str) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(graph, options, providers=providers)
    names = ["activations", "embeddings"]
    return in_batches(lambda x: session.run(names, {"patches": x[..., 0]}))


def in_batches(run: Callable[[np.ndarray], list[np.ndarray]], size: int = 16) -> Run:
    """Runs batches of 16 patches, with which the peers are fastest."""

    def run_all(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [
            [np.array(part) for part in run(np.ascontiguousarray(x[..., np.newaxis]))]
            for x in np.split(patches, range(size, len(patches), size))
        ]
        joined = [np.concatenate(parts).squeeze() for parts in zip(*found, strict=True)]
        return joined[0], joined[-1]

    return run_all


PEERS: dict[str, Callable[[str], Run]] = {
    "openvino": openvino,
    "mnn": mnn,
    "onnxruntime": onnxruntime,
}


def measure(run: Run, patches: np.ndarray) -> dict[str, Any]:
    """Best and median speed of several passes over the patches, after a first pass."""
    run(patches)
    times: list[float] = []
    while len(times) < _PASSES or sum(times) < _SHORTEST_S:
        start = time.perf_counter()
        run(patches)
        times.append(time.perf_counter() - start)
    return {
        "patches_per_s": len(patches) / min(times),
        "patches_per_s_median": len(patches) / float(np.median(times)),
        "peak_mb": peak_mb(),
    }


def main() -> None:
    name, model, patches_path, output = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    start = time.perf_counter()
    run = PEERS[name](model) if name in PEERS else own_engine(name, model)
    patches = np.load(patches_path)
    activations, embeddings = run(patches[:1])
    ready_s = time.perf_counter() - start
    activations, embeddings = run(patches)
    np.savez(output, activations=activations, embeddings=embeddings)
    print(json.dumps(measure(run, patches) | {"ready_s": ready_s}))


if __name__ == "__main__":
    main()
