"""The winograd engine agrees with Essentia for all variants, batches and levels."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import BUNDLED_MODELS, ROOT
from tests.support.predictions import POOLINGS, assert_close, random_model
from training.graphs.random_graphs import random_weights
from training.graphs.sinet_graph import Pooling, build_graph
from transforms.elements import FloatArray, Prediction
from transforms.engines.agreement import check_patches
from transforms.engines.contract import ModelSpec
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.network import UnknownLayerError
from transforms.engines.winograd.engine import WinogradEngine
from transforms.models.loading import load_model


def log_mels(num_patches: int, seed: int = 0) -> FloatArray:
    """Patches with levels that change over time and frequency, as in real sounds."""
    rng = np.random.default_rng(seed)
    slow = rng.standard_normal((num_patches, 11, 13)).cumsum(axis=1) / 2
    smooth = np.repeat(np.repeat(slow, 10, axis=1), 8, axis=2)[:, :101, :96]
    noise = rng.standard_normal((num_patches, 101, 96)) * 0.25
    return (smooth + noise - 2).astype(np.float32)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("width", [0.125, 0.5, 0.75, 1, 2])
def test_agrees_for_all_variants(
    pooling: Pooling, width: float, tmp_path: pathlib.Path
) -> None:
    spec = random_model(tmp_path, width, pooling)
    patches = log_mels(3)
    assert_close(WinogradEngine(spec).run(patches), EssentiaEngine(spec).run(patches))


@pytest.fixture(scope="module")
def demo() -> ModelSpec:
    return load_model("fsd-sinet-vgg41-tlpf-demo")


@pytest.fixture(scope="module")
def engine(demo: ModelSpec) -> WinogradEngine:
    return WinogradEngine(demo)


def test_agrees_for_any_batch_size(demo: ModelSpec) -> None:
    tiny = load_model("tests/data/random-tiny-tlpf_aps.pb")
    engine, essentia = WinogradEngine(tiny), EssentiaEngine(tiny)
    patches = log_mels(33)
    expected = essentia.run(patches)
    for size in range(1, 34):
        actual = engine.run(patches[:size])
        assert_close(
            actual, Prediction(expected.activations[:size], expected.embeddings[:size])
        )
    # Values of a large batch must not affect a small batch after it.
    assert_close(engine.run(patches[:1]), essentia.run(patches[:1]))


def test_batch_without_patches(demo: ModelSpec, engine: WinogradEngine) -> None:
    actual = engine.run(np.empty((0, 101, 96), np.float32))
    assert actual.activations.shape == (0, len(demo.labels))
    assert actual.embeddings.shape == (0, demo.embedding_size)


@pytest.mark.parametrize("name", BUNDLED_MODELS)
def test_bundled_models_agree_on_sounds(name: str) -> None:
    spec, patches = load_model(name), check_patches()
    assert_close(WinogradEngine(spec).run(patches), EssentiaEngine(spec).run(patches))


@pytest.mark.parametrize("level", [-30.0, -9.0, 0.0, 5.0, 30.0])
def test_agrees_at_extreme_levels(
    demo: ModelSpec, engine: WinogradEngine, level: float
) -> None:
    flat = np.full((2, 101, 96), level, np.float32)
    flat[1, 50] += 3
    assert_close(engine.run(flat), EssentiaEngine(demo).run(flat))


@pytest.mark.parametrize("num_patches", [1, 2, 3, 5, 7, 17])
def test_earlier_batches_change_no_bit(
    engine: WinogradEngine, demo: ModelSpec, num_patches: int
) -> None:
    """The tiles of the last patch also cover rows left by an earlier batch."""
    patches = log_mels(num_patches)
    expected = WinogradEngine(demo).run(patches)
    for before in (log_mels(32, seed=1), log_mels(3, seed=2)):
        engine.run(before)
        actual = engine.run(patches)
        np.testing.assert_array_equal(actual.activations, expected.activations)
        np.testing.assert_array_equal(actual.embeddings, expected.embeddings)


@pytest.mark.parametrize("pooling", ["tlpf", "tlpf_aps"])
def test_agrees_without_avx512(pooling: Pooling, tmp_path: pathlib.Path) -> None:
    """Runs with vectors of 8 lanes, in a process whose numba compiles for AVX2 only."""
    path = tmp_path / "model.pb"
    path.write_bytes(build_graph(random_weights(0.75, 5), pooling))
    code = (
        "import sys, numpy as np\n"
        "from transforms.models.loading import load_model\n"
        "from transforms.engines.winograd import engine, simd\n"
        "assert simd.LANES == 8, simd.LANES\n"
        "runner = engine.WinogradEngine(load_model(sys.argv[1]))\n"
        "found = runner.run(np.load(sys.argv[2]))\n"
        "np.savez(sys.argv[3], a=found.activations, e=found.embeddings)\n"
    )
    patches = log_mels(5)
    np.save(tmp_path / "patches.npy", patches)
    narrow = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    files = [str(tmp_path / name) for name in ("model.pb", "patches.npy", "out.npz")]
    environment = {**os.environ, **narrow, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, *files], check=True, env=environment)
    with np.load(files[2]) as arrays:
        actual = Prediction(arrays["a"], arrays["e"])
    assert_close(actual, EssentiaEngine(load_model(files[0])).run(patches))


def test_strided_patches(engine: WinogradEngine) -> None:
    mels = log_mels(1)[0].repeat(3, axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(mels, 101, 0)[::50]
    strided = windows.transpose(0, 2, 1)
    actual = engine.run(strided)
    expected = engine.run(np.ascontiguousarray(strided))
    np.testing.assert_array_equal(actual.activations, expected.activations)


def test_patches_of_another_shape_are_refused(engine: WinogradEngine) -> None:
    with pytest.raises(ValueError, match=r"got patches of shape \(96, 101\)"):
        engine.run(np.zeros((1, 96, 101), np.float32))


def test_embeddings_of_another_node_are_refused(demo: ModelSpec) -> None:
    other = dataclasses.replace(demo, embeddings_node="model/frequency_mean")
    with pytest.raises(UnknownLayerError, match="model/frequency_mean"):
        WinogradEngine(other)
