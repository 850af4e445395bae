"""The kernels of convolutions and poolings agree with plain numpy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.engines.winograd.convolution import convolve
from transforms.engines.winograd.direct import convolve_first
from transforms.engines.winograd.minimal import (
    NUM_POINTS,
    POINTS,
    SIZE,
    TILE,
    matrices,
    transform_filters,
)
from transforms.engines.winograd.pooling import (
    keep_strongest_phase,
    low_pass,
    maximum_2x2,
    maximum_3x3,
)
from transforms.engines.winograd.products import ROWS, pack_filters
from transforms.engines.winograd.simd import LANES, aligned_zeros

Array = np.ndarray
SIZES = dict(
    height=st.integers(1, 9), width=st.integers(1, 9), vectors=st.integers(1, 3)
)


def positive(*shape: int, seed: int = 0) -> Array:
    """Random float32 values, half of them zero, as after a ReLU."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return np.maximum(values, 0).astype(np.float32)


def with_border(maps: Array, before: int = 1, after: int = 1) -> Array:
    return np.pad(maps, ((before, after), (before, after), (0, 0)))


def plain_convolution(maps: Array, kernel: Array, bias: Array) -> Array:
    padded = with_border(maps).astype(np.float64)
    height, width = maps.shape[:2]
    result = np.zeros((height, width, kernel.shape[3]))
    for y in range(3):
        for x in range(3):
            result += padded[y : y + height, x : x + width] @ kernel[y, x]
    return np.maximum(result + bias, 0)


def winograd_convolution(
    maps: Array, kernel: Array, bias: Array, tiles_at_once: int
) -> Array:
    height, width, inputs = maps.shape
    outputs = kernel.shape[3]
    padded = aligned_zeros(height + 2, width + 2, inputs)
    padded[:] = with_border(maps)
    memory = NUM_POINTS, -(-tiles_at_once // ROWS) * ROWS
    tiles = aligned_zeros(*memory, inputs + 16)
    sums = aligned_zeros(*memory, outputs + 16)
    factors = pack_filters(kernel)
    result = aligned_zeros(height, width, outputs)
    single_bias = bias.astype(np.float32)
    convolve(
        padded.ctypes.data,
        *padded.strides[:2],
        tiles.ctypes.data,
        *tiles.strides[:2],
        factors.ctypes.data,
        sums.ctypes.data,
        *sums.strides[:2],
        single_bias.ctypes.data,
        result.ctypes.data,
        *result.strides[:2],
        (height // TILE) * (width // TILE),
        width // TILE,
        tiles_at_once,
    )
    return result


@settings(max_examples=40)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    tiles_at_once=st.integers(1, 26),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 5),
    level=st.sampled_from([1e-20, 1e-3, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_convolution(
    rows: int,
    columns: int,
    tiles_at_once: int,
    inputs: int,
    outputs: int,
    level: float,
    seed: int,
) -> None:
    maps = positive(TILE * rows, TILE * columns, inputs * LANES, seed=seed)
    maps *= np.float32(level)
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((3, 3, inputs * LANES, outputs * LANES))
    kernel *= np.sqrt(2 / (9 * inputs * LANES))
    bias = rng.standard_normal(outputs * LANES) * level
    expected = plain_convolution(maps, kernel, bias)
    actual = winograd_convolution(maps, kernel, bias, tiles_at_once)
    tolerance = 1e-5 * max(expected.max(), level)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@settings(max_examples=20)
@given(**SIZES)
def test_first_convolution(height: int, width: int, vectors: int) -> None:
    rng = np.random.default_rng(height)
    maps = rng.standard_normal((height, width, 1)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 1, vectors * LANES)).astype(np.float32)
    bias = rng.standard_normal(vectors * LANES).astype(np.float32)
    padded = with_border(maps)
    result = np.zeros((height, width, len(bias)), np.float32)
    convolve_first(
        padded.ctypes.data,
        padded.strides[0],
        kernel.ctypes.data,
        bias.ctypes.data,
        result.ctypes.data,
        *result.strides[:2],
        height,
        width,
    )
    expected = plain_convolution(maps, kernel, bias)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_transforms_of_a_tile_give_its_convolution() -> None:
    rng = np.random.default_rng(2)
    tile, kernel = rng.standard_normal((SIZE, SIZE)), rng.standard_normal((3, 3))
    inputs, _, outputs = matrices(POINTS)
    factors = transform_filters(kernel[..., np.newaxis, np.newaxis])
    products = factors.reshape(SIZE, SIZE) * (inputs @ tile @ inputs.T)
    expected = [
        [(tile[y : y + 3, x : x + 3] * kernel).sum() for x in range(TILE)]
        for y in range(TILE)
    ]
    actual = outputs @ products @ outputs.T
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def windows(maps: Array, size: int, before: int, after: int) -> Array:
    """Windows of a map with zeros around: [rows, columns, channels, size, size]."""
    padded = with_border(maps, before, after)
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), (0, 1))


@settings(max_examples=30)
@given(**SIZES)
def test_maximum_3x3(height: int, width: int, vectors: int) -> None:
    maps = positive(height, width, vectors * LANES)
    source = aligned_zeros(height + 2, width + 2, maps.shape[2])
    source[:] = with_border(maps)
    scratch = aligned_zeros(3, width, maps.shape[2])
    row, pixel = source.strides[:2]
    maximum_3x3(
        source[1:, 1:].ctypes.data,
        row,
        pixel,
        scratch.ctypes.data,
        height,
        width,
    )
    expected = windows(maps, 3, 1, 1).max(axis=(3, 4))
    np.testing.assert_array_equal(source[1:-1, 1:-1], expected)
    source[1:-1, 1:-1] = 0
    assert not source.any()


@settings(max_examples=30)
@given(**SIZES, stride=st.sampled_from([1, 2]))
def test_maximum_2x2(height: int, width: int, vectors: int, stride: int) -> None:
    maps = positive(height, width, vectors * LANES)
    source = with_border(maps, 0, 1)
    expected = windows(maps, 2, 0, 1).max(axis=(3, 4))[::stride, ::stride]
    target = np.zeros_like(expected)
    maximum_2x2(
        source.ctypes.data,
        *source.strides[:2],
        target.ctypes.data,
        target.strides[0],
        *target.shape[:2],
        stride,
    )
    np.testing.assert_array_equal(target, expected)


@settings(max_examples=30)
@given(**SIZES, stride=st.sampled_from([1, 2]), before=st.integers(0, 2))
def test_low_pass(
    height: int, width: int, vectors: int, stride: int, before: int
) -> None:
    maps = positive(height, width, vectors * LANES)
    taps = positive(5, 5, maps.shape[2], seed=1) + np.float32(0.1)
    source = with_border(maps, before, 4 - before)
    strided = windows(maps, 5, before, 4 - before)[::stride, ::stride]
    expected = np.einsum("yxcij,ijc->yxc", strided.astype(np.float64), taps)
    target = np.zeros(expected.shape, np.float32)
    low_pass(
        source.ctypes.data,
        *source.strides[:2],
        taps.ctypes.data,
        target.ctypes.data,
        target.strides[0],
        *target.shape[:2],
        stride,
    )
    np.testing.assert_allclose(target, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("strongest", range(4))
@settings(max_examples=10)
@given(**SIZES, is_by_channel=st.booleans())
def test_the_strongest_phase_is_kept(
    strongest: int, height: int, width: int, vectors: int, is_by_channel: bool
) -> None:
    maps = positive(2 * height, 2 * width, vectors * LANES)
    time, frequency = strongest % 2, strongest // 2
    maps[time::2, frequency::2] += 1
    kept = np.zeros((height, width, maps.shape[2]), np.float32)
    keep_strongest_phase(
        maps.ctypes.data,
        *maps.strides[:2],
        kept.ctypes.data,
        kept.strides[0],
        height,
        width,
        is_by_channel,
    )
    np.testing.assert_array_equal(kept, maps[time::2, frequency::2])


@pytest.mark.parametrize(
    ("is_by_channel", "column"), [(False, 0), (True, 1)], ids=["all", "by channel"]
)
def test_strongest_phase_is_found_by_sum_or_by_channel(
    is_by_channel: bool, column: int
) -> None:
    maps = np.ones((2, 4, LANES), np.float32)
    maps[0, 1, 0] = 3
    kept = np.zeros((1, 2, LANES), np.float32)
    maps[0, 0] += np.float32(0.5)
    keep_strongest_phase(
        maps.ctypes.data,
        *maps.strides[:2],
        kept.ctypes.data,
        kept.strides[0],
        *kept.shape[:2],
        is_by_channel,
    )
    np.testing.assert_array_equal(kept[0], maps[0, column::2])


def test_first_of_equally_strong_phases_is_kept() -> None:
    maps = np.ones((2, 4, LANES), np.float32)
    maps[0, 2] = 3
    maps[1, 0], maps[1, 2] = 2, 2
    kept = np.zeros((1, 2, LANES), np.float32)
    keep_strongest_phase(
        maps.ctypes.data,
        *maps.strides[:2],
        kept.ctypes.data,
        kept.strides[0],
        *kept.shape[:2],
        False,
    )
    np.testing.assert_array_equal(kept[0, :, 0], [1, 3])
