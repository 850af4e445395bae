"""What the constants of the winograd engine rest on: error by points, speed by sizes.

Usage: python -m benchmarks.winograd_choices
Errors are those of convolutions in float32 against float64, by numpy alone. Speeds are
of a whole network with random weights, one choice changed at a time, on one core.
"""

import itertools
import os
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.machine import MODELS, save
from pipeline.models import load_model
from transforms.engine_check import check_patches
from transforms.winograd import engine
from transforms.winograd.minimal import matrices

Array = np.ndarray

# Points beside infinity, for tiles of 2, 4 and 6 outputs.
POINTS: dict[str, tuple[float, ...]] = {
    "F2: 0, +-1": (0, 1, -1),
    "F4: 0, +-1, +-2": (0, 1, -1, 2, -2),
    "F4: 0, +-1/2, +-1": (0, 0.5, -0.5, 1, -1),
    "F4: 0, +-5/8, +-5/4": (0, 0.625, -0.625, 1.25, -1.25),
    "F4: 0, +-3/4, +-3/2": (0, 0.75, -0.75, 1.5, -1.5),
    "F6: 0, +-1/2, +-1, +-2": (0, 0.5, -0.5, 1, -1, 2, -2),
    "F6: 0, +-1/2, +-1, +-7/4": (0, 0.5, -0.5, 1, -1, 1.75, -1.75),
    "F6: 0, +-9/16, +-1, +-2": (0, 0.5625, -0.5625, 1, -1, 2, -2),
    "F6: 0, +-1/2, +-1, +-3/2": (0, 0.5, -0.5, 1, -1, 1.5, -1.5),
}
NAMES = ("random-vgg41-tlpf", "random-vgg42-tlpf")
TILES = ((12, 24, 48), (12, 24, 48), (12, 24, 48), (24, 48, 96))
PATCHES = ((1, 1, 1, 16), (1, 1, 2, 8), (1, 1, 4, 16), (1, 2, 4, 16), (2, 4, 8, 16))
_CHANNELS, _TRIALS = 128, 50


def relative_error(points: Sequence[float]) -> float:
    """Root mean square of the error of sums over channels, as part of the result's."""
    inputs, filters, outputs = matrices(points)
    size, tile = inputs.shape[0], outputs.shape[0]
    rng = np.random.default_rng(0)
    errors, results = [], []
    for _ in range(_TRIALS):
        x = np.maximum(rng.standard_normal((_CHANNELS, size, size)), 0)
        x = x.astype(np.float32)
        kernel = rng.standard_normal((_CHANNELS, 3, 3))
        factors = (filters @ kernel @ filters.T).astype(np.float32)
        single, last = inputs.astype(np.float32), outputs.astype(np.float32)
        products = (factors * (single @ x @ single.T)).sum(axis=0)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
        exact = np.einsum("cyxij,cij->yx", windows.astype(np.float64), kernel)
        errors.append(last @ products @ last.T - exact[:tile, :tile])
        results.append(exact)
    return float(np.sqrt(np.mean(np.square(errors)) / np.mean(np.square(results))))


def patches_per_s(model: str) -> float:
    """The best of several runs with the choices as they are."""
    runner = engine.WinogradEngine(load_model(str(MODELS / f"{model}.pb")))
    patches = check_patches()[:16]
    times = []
    runner.run(patches)
    for _ in range(4):
        start = time.perf_counter()
        runner.run(patches)
        times.append(time.perf_counter() - start)
    return len(patches) / min(times)


def speeds_by_tiles(model: str) -> dict[str, float]:
    usual = engine._TILES
    found = {}
    for block, choices in enumerate(TILES):
        for number in choices:
            engine._TILES = (*usual[:block], number, *usual[block + 1 :])  # type: ignore[assignment]
            found[f"block {block + 1}: {number} tiles"] = patches_per_s(model)
    engine._TILES = usual
    return found


def speeds_by_patches(model: str) -> dict[str, float]:
    usual = engine._PATCHES
    found = {}
    for choice in PATCHES:
        engine._PATCHES = choice
        found[", ".join(map(str, choice))] = patches_per_s(model)
    engine._PATCHES = usual
    return found


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    errors = {name: relative_error(points) for name, points in POINTS.items()}
    print(errors)
    by_size = {
        f"{model}, {what.__name__}": what(model)
        for model, what in itertools.product(
            NAMES, (speeds_by_tiles, speeds_by_patches)
        )
    }
    save("winograd-choices", {"relative_error": errors, "patches_per_s": by_size})


if __name__ == "__main__":
    main()
