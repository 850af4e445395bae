"""Compares the layers with slow loops that follow the text of the paper."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from training.graphs.export import taps
from training.network.layers import (
    AdaptivePolyphase,
    Convolution,
    FusedBatchNorm,
    MaxPool,
    Padding,
    TrainableLowPass,
)

SIZES = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(1, 3))
PADDINGS = st.sampled_from(["same", "circular"])
SEEDS = st.integers(0, 2**32 - 1)


def window_start(output: int, size: int, window: int, stride: int) -> int:
    """First input position of an output, with TensorFlow's SAME padding."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return output * stride - total // 2


def slow_low_pass(
    x: np.ndarray, filters: np.ndarray, stride: int, padding: str
) -> np.ndarray:
    num_t, num_f, num_channels = x.shape
    out = np.zeros((-(-num_t // stride), -(-num_f // stride), num_channels))
    for i, j in np.ndindex(*out.shape[:2]):
        for a, b in np.ndindex(5, 5):
            t = window_start(i, num_t, 5, stride) + a
            f = window_start(j, num_f, 5, stride) + b
            if padding == "circular":
                out[i, j] += filters[a, b] * x[t % num_t, f % num_f]
            elif 0 <= t < num_t and 0 <= f < num_f:
                out[i, j] += filters[a, b] * x[t, f]
    return out


def slow_polyphase(x: np.ndarray, padding: str) -> np.ndarray:
    num_t, num_f, _ = x.shape
    if num_t % 2:
        x = np.concatenate([x, x[-2:-1] if padding == "same" else x[:1]])
    if num_f % 2:
        end = x[:, -2:-1] if padding == "same" else x[:, :1]
        x = np.concatenate([x, end], axis=1)
    best, best_norm = np.empty(0), -1.0
    for start_t, start_f in ((0, 0), (1, 0), (0, 1), (1, 1)):
        grid = x[start_t::2, start_f::2]
        norm = sum(abs(float(value)) for value in grid.ravel())
        if norm > best_norm:
            best, best_norm = grid, norm
    return best


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, stride=st.sampled_from([1, 2]), padding=PADDINGS, seed=SEEDS)
def test_low_pass_equals_the_loop(
    sizes: tuple[int, int, int], stride: int, padding: Padding, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, *sizes)).astype(np.float32)
    layer = TrainableLowPass(stride, padding=padding)
    layer.build(x.shape)
    layer.logits.assign(rng.standard_normal((25, sizes[2])))
    filters = taps(np.asarray(layer.logits))
    expected = [slow_low_pass(example, filters, stride, padding) for example in x]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, padding=PADDINGS, seed=SEEDS, largest=st.sampled_from([1, 100]))
def test_polyphase_equals_the_loop(
    sizes: tuple[int, int, int], padding: Padding, seed: int, largest: int
) -> None:
    # Norms of whole numbers are exact, and norms of small numbers are often equal.
    x = np.random.default_rng(seed).integers(-largest, largest + 1, (2, *sizes))
    x = x.astype(np.float32)
    expected = [slow_polyphase(example, padding) for example in x]
    np.testing.assert_array_equal(AdaptivePolyphase(padding)(x), expected)


@pytest.mark.parametrize(
    ("grids", "kept"),
    [([1, 1, 1, 1], 0), ([1, 2, 2, 2], 1), ([1, 1, 2, 2], 2), ([1, 1, 1, -2], 3)],
)
def test_polyphase_keeps_the_first_of_equal_grids(grids: list[int], kept: int) -> None:
    x = np.zeros((1, 4, 4, 1), np.float32)
    for (t, f), value in zip(((0, 0), (1, 0), (0, 1), (1, 1)), grids, strict=True):
        x[:, t::2, f::2] = value
    np.testing.assert_array_equal(
        AdaptivePolyphase()(x), np.full((1, 2, 2, 1), grids[kept])
    )


@pytest.mark.parametrize("start", ["paper", "binomial"])
def test_taps_are_positive_with_sum_one_and_the_chosen_start(start: Any) -> None:
    layer = TrainableLowPass(start=start, seed=3)
    layer.build((None, 8, 8, 50))
    filters = taps(np.asarray(layer.logits))
    assert (filters > 0).all()
    np.testing.assert_allclose(filters.sum(axis=(0, 1)), 1, rtol=1e-6)
    row = np.array([1, 4, 6, 4, 1]) / 16 if start == "binomial" else np.full(5, 0.2)
    expected = np.broadcast_to(np.outer(row, row)[..., np.newaxis], filters.shape)
    np.testing.assert_allclose(filters, expected, rtol=0.1)
    assert np.ptp(filters[0, 0]) > 0


@pytest.mark.parametrize("sizes", [(6, 8), (5, 7)])
@pytest.mark.parametrize(
    "layer",
    [
        MaxPool(3, 1, "circular"),
        MaxPool(2, 1, "circular"),
        Convolution(2, "circular", 0, "c"),
    ],
)
def test_circular_layers_of_stride_1_shift_with_their_input(
    layer: Any, sizes: tuple[int, int]
) -> None:
    x = np.random.default_rng(0).standard_normal((1, *sizes, 2)).astype(np.float32)
    shifted = layer(np.roll(x, (1, 3), axis=(1, 2)))
    np.testing.assert_allclose(
        shifted, np.roll(layer(x), (1, 3), axis=(1, 2)), atol=1e-6
    )


def test_batch_norm_normalises_and_keeps_statistics() -> None:
    x = np.random.default_rng(0).normal(3, 2, (64, 4, 4, 2)).astype(np.float32)
    layer = FusedBatchNorm(momentum=0.5, epsilon=1e-3)
    y = layer(x, training=True)
    assert abs(float(tf.reduce_mean(y))) < 1e-5
    np.testing.assert_allclose(layer.mean, x.mean(axis=(0, 1, 2)) / 2, rtol=1e-4)
    for _ in range(30):
        layer(x, training=True)
    np.testing.assert_allclose(layer(x, training=False), y, atol=0.01)
