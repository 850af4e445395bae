"""Matrix products of Winograd's convolutions, with all sums in registers."""

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

# Tiles that one product of registers takes: with two vectors of outputs their sums fill
# the registers (32 with 16 lanes, 16 with 8) but for those that hold factors.
ROWS = 12 if LANES == 16 else 6


def pack_filters(kernel: Array) -> Array:
    """Transforms filters and lays them out as the products read them.

    Args:
        kernel: float64 [3, 3, in, out], out a multiple of LANES.

    Returns:
        float32 [64, in * out]: for two vectors of outputs at a time [in, 2 * LANES].
    """
    inputs, outputs = kernel.shape[2:]
    packed = aligned_zeros(NUM_POINTS, inputs * outputs)
    # A part at a time: in float64 all would take half of a worker's memory.
    for start in range(0, outputs, 2 * LANES):
        panel = transform_filters(kernel[..., start : start + 2 * LANES])
        place = slice(inputs * start, inputs * (start + panel.shape[2]))
        packed[:, place] = panel.reshape(NUM_POINTS, -1)
    return packed


def _register_product(vectors: int) -> Any:
    """A product of ROWS tiles with a panel of `vectors` vectors of outputs, all of
    whose sums stay in registers."""

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
    """LLVM code: for every input channel, its factors times every tile's number."""
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
    """A matrix product for every point.

    Args:
        tiles: Address of [points, num_tiles, inputs].
        point: Bytes between points of it.
        tile: Bytes between tiles of it.
        factors: Address of what `pack_filters` gives.
        sums: Address of the result, [points, num_tiles, outputs].
        sum_point: Bytes between points of it.
        sum_tile: Bytes between tiles of it.
        num_points: How many matrices.
        num_tiles: How many; memory must be there for a multiple of ROWS.
        inputs: Channels.
        outputs: Channels, a multiple of LANES.
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
