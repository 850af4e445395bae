"""The matrix products of Winograd's convolutions, as numba kernels.

All sums of a product stay in registers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from transforms.engines.winograd.minimal import NUM_POINTS, transform_filters
from transforms.engines.winograd.simd import (
    FLOAT,
    LANES,
    NUMBER,
    OPTIONS,
    VECTOR,
    aligned_zeros,
    emit_load,
    emit_offset,
    emit_product,
    emit_splat,
    emit_store,
    emit_sum,
    emit_zero,
)

Array = np.ndarray

# Number of tiles in one product that stays in registers. With two vectors of outputs,
# their sums fill the registers (32 with 16 lanes, 16 with 8), except for the registers
# that hold factors.
ROWS = 12 if LANES == 16 else 6


def pack_filters(kernel: Array) -> Array:
    """Transforms filters and lays them out as the products read them.

    Args:
        kernel: float64 [3, 3, in, out]; `out` is a multiple of LANES.

    Returns:
        float32 [64, in * out], in panels of two vectors of outputs: [in, 2 * LANES].
    """
    inputs, outputs = kernel.shape[2:]
    packed = aligned_zeros(NUM_POINTS, inputs * outputs)
    # One panel at a time: all panels in float64 would take half of a worker's memory.
    for start in range(0, outputs, 2 * LANES):
        panel = transform_filters(kernel[..., start : start + 2 * LANES])
        place = slice(inputs * start, inputs * (start + panel.shape[2]))
        packed[:, place] = panel.reshape(NUM_POINTS, -1)
    return packed


def _register_product(vectors: int) -> Any:
    """Makes a kernel that multiplies ROWS tiles by a panel of `vectors` vectors."""

    @intrinsic
    def product(
        typing: Any,
        tiles: Any,
        tile: Any,
        factors: Any,
        sums: Any,
        sum_tile: Any,
        depth: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _emit_register_product(builder, vectors, *arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), code

    return product


def _emit_register_product(
    builder: ir.IRBuilder,
    vectors: int,
    tiles: Any,
    tile: Any,
    factors: Any,
    sums: Any,
    sum_tile: Any,
    depth: Any,
) -> None:
    """Emits LLVM code that adds, for every input channel, factors times tile values."""
    places = [
        [cgutils.alloca_once_value(builder, emit_zero()) for _ in range(vectors)]
        for _ in range(ROWS)
    ]
    for row in places:
        for place in row:
            builder.store(emit_zero(), place)
    rows = [emit_offset(builder, tiles, tile, row) for row in range(ROWS)]
    with cgutils.for_range(builder, depth, intp=NUMBER) as loop:
        panel = emit_offset(builder, factors, loop.index, vectors * VECTOR)
        columns = [
            emit_load(builder, builder.add(panel, ir.Constant(NUMBER, v * VECTOR)))
            for v in range(vectors)
        ]
        for row, row_places in zip(rows, places, strict=True):
            at = emit_offset(builder, row, loop.index, FLOAT)
            value = emit_splat(builder, emit_load(builder, at, ir.FloatType()))
            for column, place in zip(columns, row_places, strict=True):
                term = emit_product(builder, value, column)
                total = emit_sum(builder, builder.load(place), term)
                builder.store(total, place)
    for index, row_places in enumerate(places):
        start = emit_offset(builder, sums, sum_tile, index)
        for v, place in enumerate(row_places):
            at = builder.add(start, ir.Constant(NUMBER, v * VECTOR))
            emit_store(builder, at, builder.load(place))


_product_1 = _register_product(1)
_product_2 = _register_product(2)


@njit(**OPTIONS)
def multiply(
    tiles: int,
    point: int,
    tile: int,
    factors: int,
    sums: int,
    sum_point: int,
    sum_tile: int,
    num_points: int,
    num_tiles: int,
    inputs: int,
    outputs: int,
) -> None:
    """Computes a matrix product for every point.

    Args:
        tiles: Address of [points, num_tiles, inputs].
        point: Bytes between points of `tiles`.
        tile: Bytes between tiles of `tiles`.
        factors: Address of the result of `pack_filters`.
        sums: Address of the result, [points, num_tiles, outputs].
        sum_point: Bytes between points of `sums`.
        sum_tile: Bytes between tiles of `sums`.
        num_points: Number of matrix products.
        num_tiles: Number of tiles. `tiles` and `sums` must have memory for the next
            multiple of ROWS.
        inputs: Number of input channels.
        outputs: Number of output channels, a multiple of LANES.
    """
    width = 2 * VECTOR
    for index in range(num_points):
        left, result = tiles + index * point, sums + index * sum_point
        right = factors + index * inputs * outputs * FLOAT
        for start in range(0, outputs * FLOAT, width):
            panel = right + start * inputs
            is_wide = start + width <= outputs * FLOAT
            for first in range(0, num_tiles, ROWS):
                a, c = left + first * tile, result + first * sum_tile + start
                if is_wide:
                    _product_2(a, tile, panel, c, sum_tile, inputs)
                else:
                    _product_1(a, tile, panel, c, sum_tile, inputs)
