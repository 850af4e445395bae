"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3), as numba kernels.

A tile of 4x4 outputs takes 6x6 inputs. Transformed, both become 36 numbers whose
products, summed over the input channels, transform back to the outputs: 36 products
instead of 144 (A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016, arXiv 1509.09308). For many tiles and channels the products are 36
matrix products, which is where the time goes.

The transforms are those of Cook and Toom with the interpolation points 0, +-A, +-B and
infinity: with 3/4 and 3/2 the error is about half of that of the usual 1 and 2, at the
same cost.
"""

import numpy as np
from numba import njit

from transforms.winograd.products import multiply
from transforms.winograd.simd import (
    FLOAT,
    OPTIONS,
    VECTOR,
    Vector,
    load,
    maximum,
    store,
    zero,
)

Array = np.ndarray

TILE, TAPS = 4, 3
POINTS = (TILE + TAPS - 1) ** 2
A, B = 0.75, 1.5

_A2, _B2 = A * A, B * B
_A3, _B3 = A * A * A, B * B * B


def transform_filters(kernel: Array) -> Array:
    """Filters as factors of the 36 products.

    Args:
        kernel: float64 [3, 3, in, out].

    Returns:
        float64 [36, in, out].
    """
    # A point p with value (1, p, p^2), over the product of its distances to the others.
    rows = [[1 / (_A2 * _B2), 0.0, 0.0]]
    for point, square, other in ((A, _A2, _B2), (B, _B2, _A2)):
        distances = 2 * square * (square - other)
        for p in (point, -point):
            rows.append([1 / distances, p / distances, square / distances])
    rows.append([0.0, 0.0, 1.0])
    matrix = np.array(rows)
    factors = np.einsum("ia,abco,jb->ijco", matrix, kernel, matrix, optimize=True)
    return factors.reshape(POINTS, *kernel.shape[2:])


@njit(**OPTIONS)
def _input_1d(
    d0: Vector, d1: Vector, d2: Vector, d3: Vector, d4: Vector, d5: Vector
) -> tuple[Vector, ...]:
    """Six inputs as polynomials at the points."""
    even_a, odd_a = d4 - _B2 * d2, A * (d3 - _B2 * d1)
    even_b, odd_b = d4 - _A2 * d2, B * (d3 - _A2 * d1)
    return (
        (_A2 * _B2) * d0 - (_A2 + _B2) * d2 + d4,
        even_a + odd_a,
        even_a - odd_a,
        even_b + odd_b,
        even_b - odd_b,
        (_A2 * _B2) * d1 - (_A2 + _B2) * d3 + d5,
    )


@njit(**OPTIONS)
def _output_1d(
    m0: Vector, m1: Vector, m2: Vector, m3: Vector, m4: Vector, m5: Vector
) -> tuple[Vector, ...]:
    """Four outputs from the products at the points."""
    sum_a, difference_a = m1 + m2, m1 - m2
    sum_b, difference_b = m3 + m4, m3 - m4
    return (
        m0 + sum_a + sum_b,
        A * difference_a + B * difference_b,
        _A2 * sum_a + _B2 * sum_b,
        _A3 * difference_a + _B3 * difference_b + m5,
    )


@njit(**OPTIONS)
def _load_six(at: int, step: int) -> tuple[Vector, ...]:
    return (
        load(at),
        load(at + step),
        load(at + 2 * step),
        load(at + 3 * step),
        load(at + 4 * step),
        load(at + 5 * step),
    )


@njit(**OPTIONS)
def _store_points(
    at: int,
    point: int,
    c0: Vector,
    c1: Vector,
    c2: Vector,
    c3: Vector,
    c4: Vector,
    c5: Vector,
) -> None:
    t0, t1, t2, t3, t4, t5 = _input_1d(c0, c1, c2, c3, c4, c5)
    store(at, t0)
    store(at + point, t1)
    store(at + 2 * point, t2)
    store(at + 3 * point, t3)
    store(at + 4 * point, t4)
    store(at + 5 * point, t5)


@njit(**OPTIONS)
def transform_input(
    source: int,
    row: int,
    pixel: int,
    target: int,
    point: int,
    tile: int,
    rows_of_tiles: int,
    tiles_in_row: int,
) -> None:
    """Transforms rows of tiles.

    Args:
        source: Address of the first input of the first tile: a row and a column before
            its first output. [rows, columns, channels].
        row: Bytes between rows of it.
        pixel: Bytes of its channels.
        target: Address of [36, tiles, channels].
        point: Bytes between points of it.
        tile: Bytes between its tiles, at least `pixel`.
        rows_of_tiles: How many rows of tiles.
        tiles_in_row: How many tiles a row has.
    """
    for index in range(rows_of_tiles * tiles_in_row):
        y, x = divmod(index, tiles_in_row)
        first = source + TILE * (y * row + x * pixel)
        for channel in range(0, pixel, VECTOR):
            at = first + channel
            a = _input_1d(*_load_six(at, row))
            b = _input_1d(*_load_six(at + pixel, row))
            c = _input_1d(*_load_six(at + 2 * pixel, row))
            d = _input_1d(*_load_six(at + 3 * pixel, row))
            e = _input_1d(*_load_six(at + 4 * pixel, row))
            f = _input_1d(*_load_six(at + 5 * pixel, row))
            to = target + index * tile + channel
            _store_points(to, point, a[0], b[0], c[0], d[0], e[0], f[0])
            _store_points(to + 6 * point, point, a[1], b[1], c[1], d[1], e[1], f[1])
            _store_points(to + 12 * point, point, a[2], b[2], c[2], d[2], e[2], f[2])
            _store_points(to + 18 * point, point, a[3], b[3], c[3], d[3], e[3], f[3])
            _store_points(to + 24 * point, point, a[4], b[4], c[4], d[4], e[4], f[4])
            _store_points(to + 30 * point, point, a[5], b[5], c[5], d[5], e[5], f[5])


@njit(**OPTIONS)
def _store_outputs(
    at: int,
    pixel: int,
    bias: Vector,
    c0: Vector,
    c1: Vector,
    c2: Vector,
    c3: Vector,
    c4: Vector,
    c5: Vector,
) -> None:
    y0, y1, y2, y3 = _output_1d(c0, c1, c2, c3, c4, c5)
    store(at, maximum(y0 + bias, zero()))
    store(at + pixel, maximum(y1 + bias, zero()))
    store(at + 2 * pixel, maximum(y2 + bias, zero()))
    store(at + 3 * pixel, maximum(y3 + bias, zero()))


@njit(**OPTIONS)
def transform_output(
    source: int,
    point: int,
    tile: int,
    bias: int,
    target: int,
    row: int,
    pixel: int,
    rows_of_tiles: int,
    tiles_in_row: int,
) -> None:
    """Transforms products back, adds the bias and takes what is positive.

    Args:
        source: Address of [36, tiles, channels].
        point: Bytes between points of it.
        tile: Bytes between its tiles.
        bias: Address of [channels].
        target: Address of the first output: [rows, columns, channels].
        row: Bytes between rows of it.
        pixel: Bytes of its channels.
        rows_of_tiles: How many rows of tiles.
        tiles_in_row: How many tiles a row has.
    """
    for index in range(rows_of_tiles * tiles_in_row):
        y, x = divmod(index, tiles_in_row)
        first = target + TILE * (y * row + x * pixel)
        for channel in range(0, pixel, VECTOR):
            at = source + index * tile + channel
            a = _output_1d(*_load_six(at, 6 * point))
            b = _output_1d(*_load_six(at + point, 6 * point))
            c = _output_1d(*_load_six(at + 2 * point, 6 * point))
            d = _output_1d(*_load_six(at + 3 * point, 6 * point))
            e = _output_1d(*_load_six(at + 4 * point, 6 * point))
            f = _output_1d(*_load_six(at + 5 * point, 6 * point))
            z, to = load(bias + channel), first + channel
            _store_outputs(to, pixel, z, a[0], b[0], c[0], d[0], e[0], f[0])
            _store_outputs(to + row, pixel, z, a[1], b[1], c[1], d[1], e[1], f[1])
            _store_outputs(to + 2 * row, pixel, z, a[2], b[2], c[2], d[2], e[2], f[2])
            _store_outputs(to + 3 * row, pixel, z, a[3], b[3], c[3], d[3], e[3], f[3])


@njit(**OPTIONS)
def convolve(
    source: int,
    row: int,
    pixel: int,
    tiles: int,
    point: int,
    tile: int,
    factors: int,
    sums: int,
    sum_point: int,
    sum_tile: int,
    bias: int,
    target: int,
    target_row: int,
    target_pixel: int,
    rows_of_tiles: int,
    tiles_in_row: int,
    rows_at_once: int,
) -> None:
    """A convolution, some rows of tiles at a time, so that these stay in the cache.

    Args:
        source: Address of the first input, a row and a column before the first output.
        row: Bytes between rows of the input.
        pixel: Bytes of its channels.
        tiles: Address of memory for the transformed tiles of `rows_at_once`.
        point: Bytes between points of it.
        tile: Bytes between its tiles.
        factors: Address of what `pack_filters` gives.
        sums: Address of memory for the products of as many tiles.
        sum_point: Bytes between points of it.
        sum_tile: Bytes between its tiles.
        bias: Address of a number for every output channel.
        target: Address of the first output.
        target_row: Bytes between rows of the output.
        target_pixel: Bytes of its channels.
        rows_of_tiles: How many in all.
        tiles_in_row: How many tiles a row has.
        rows_at_once: How many rows of tiles.
    """
    for first in range(0, rows_of_tiles, rows_at_once):
        num_rows = min(rows_at_once, rows_of_tiles - first)
        down = first * TILE
        transform_input(
            source + down * row, row, pixel, tiles, point, tile, num_rows, tiles_in_row
        )
        multiply(
            tiles,
            point,
            tile,
            factors,
            sums,
            sum_point,
            sum_tile,
            POINTS,
            num_rows * tiles_in_row,
            pixel // FLOAT,
            target_pixel // FLOAT,
        )
        transform_output(
            sums,
            sum_point,
            sum_tile,
            bias,
            target + down * target_row,
            target_row,
            target_pixel,
            num_rows,
            tiles_in_row,
        )
