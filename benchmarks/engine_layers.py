"""Measures the time of every layer of the winograd engine, compared with sgemm.

Usage: python -m benchmarks.engine_layers [--models NAME...]

Sgemm is numpy's product of two square matrices, on the same core in the same run.
`of_sgemm` is the speed of a layer divided by the speed of sgemm: it counts the matrix
products of the layer's tiles, and the time of the whole layer with its transforms.
`direct_ms` is the time of the layer as one plain matrix product at the speed of sgemm.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

# numpy's products use one thread, too. numpy reads this when it is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from benchmarks.support.machine import MODELS, save
from transforms.engines.agreement import check_patches
from transforms.engines.winograd import engine
from transforms.engines.winograd.minimal import NUM_POINTS, TILE
from transforms.models.loading import load_model

NAMES = ("random-vgg41-tlpf", "random-vgg42-tlpf")
_NUM_PATCHES, _ROUNDS, _SGEMM_SIZE = 16, 12, 1536


class Stopwatch:
    """Adds up the time of methods for each object that they are called on."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}

    def watch(self, owner: type, name: str) -> Callable[[], None]:
        """Starts to measure a method; the returned function stops it."""
        method = getattr(owner, name)

        def measured(this: object, *arguments: object) -> object:
            start = time.perf_counter()
            result = method(this, *arguments)
            elapsed = time.perf_counter() - start
            self.seconds[id(this)] = self.seconds.get(id(this), 0) + elapsed
            return result

        setattr(owner, name, measured)
        return lambda: setattr(owner, name, method)


def sgemm_flops() -> float:
    """float32 operations per second of numpy's matrix product."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, _SGEMM_SIZE, _SGEMM_SIZE)).astype(np.float32)
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2.0 * _SGEMM_SIZE**3 / min(times)


def seconds_by_part(runner: engine.WinogradEngine) -> list[dict[int, float]]:
    """Seconds of each part of the engine, by its `id`, for every round."""
    patches = check_patches()[:_NUM_PATCHES]
    runner.run(patches)
    found = []
    stopwatch = Stopwatch()
    undo = [
        stopwatch.watch(owner, name)
        for owner, name in (
            (engine._FirstLayer, "run"),
            (engine._ConvolutionLayer, "run"),
            (engine._SubsamplingLayer, "run"),
            (engine._Block, "_pool"),
            (engine.WinogradEngine, "run"),
        )
    ]
    for _ in range(_ROUNDS):
        stopwatch.seconds = {}
        runner.run(patches)
        found.append(stopwatch.seconds)
    for restore in undo:
        restore()
    return found


def layers(model: str, flops: float) -> dict[str, Any]:
    """Milliseconds per patch of every part, each the best of all rounds."""
    runner = engine.WinogradEngine(load_model(str(MODELS / f"{model}.pb")))
    rounds = seconds_by_part(runner)

    def best_ms(part: object) -> float:
        return min(r.get(id(part), 0.0) for r in rounds) / _NUM_PATCHES * 1e3

    result: dict[str, Any] = {"whole network": {"ms": best_ms(runner)}}
    for number, block in enumerate(runner._blocks, 1):
        if isinstance(block.before, engine._FirstLayer):
            result["first convolution"] = {"ms": best_ms(block.before)}
        else:
            result[f"subsampling {number - 1}"] = {"ms": best_ms(block.before[1])}
        for name, layer in (("a", block.first), ("b", block.second)):
            rows, columns = block.input.height + 1, block.input.width
            tiles = -(-block.size * rows // TILE) * (columns // TILE) / block.size
            products = 2 * NUM_POINTS * tiles * layer.inputs * layer.outputs
            direct = 2 * 9 * (rows - 1) * columns * layer.inputs * layer.outputs
            ms = best_ms(layer)
            result[f"convolution {number}{name}"] = {
                "shape": f"{layer.inputs} to {layer.outputs}, {rows - 1} x {columns}",
                "ms": ms,
                "of_sgemm": products / flops * 1e3 / ms,
                "direct_ms": direct / flops * 1e3,
            }
        result[f"3x3 maximum {number}"] = {"ms": best_ms(block)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=NAMES)
    names = parser.parse_args().models
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    flops = sgemm_flops()
    results = {name: layers(name, flops) for name in names}
    save("engine-layers", {"sgemm_gflops": flops / 1e9, "models": results})


if __name__ == "__main__":
    main()
