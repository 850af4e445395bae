"""3x3 convolutions by Winograd's minimal filtering, as numba kernels.

For many tiles and channels the products are matrix products, one for every point, which
is where the time goes (`transforms.engines.winograd.products`).
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from transforms.engines.winograd.minimal import (
    NUM_POINTS,
    POINTS,
    SIZE,
    TILE,
    Values,
    emit_inputs,
    emit_outputs,
    matrices,
)
from transforms.engines.winograd.products import multiply
from transforms.engines.winograd.simd import (
    FLOAT,
    OPTIONS,
    VECTOR,
    emit_load,
    emit_maximum,
    emit_offset,
    emit_store,
    emit_sum,
    emit_zero,
)

_INPUTS, _, _OUTPUTS = matrices(POINTS)


@intrinsic
def _input_tile(
    typing: Any, source: Any, row: Any, pixel: Any, target: Any, product: Any
) -> Any:
    """Transforms one tile, one vector of channels."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, row, pixel, target, product = arguments
        rows = [emit_offset(builder, source, row, y) for y in range(SIZE)]
        columns = [
            emit_inputs(builder, _INPUTS, _emit_loads(builder, rows, pixel, x))
            for x in range(SIZE)
        ]
        for y, values in enumerate(zip(*columns, strict=True)):
            for x, value in enumerate(emit_inputs(builder, _INPUTS, list(values))):
                to = emit_offset(builder, target, product, y * SIZE + x)
                emit_store(builder, to, value)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@intrinsic
def _output_tile(
    typing: Any,
    source: Any,
    product: Any,
    bias: Any,
    target: Any,
    row: Any,
    pixel: Any,
) -> Any:
    """Transforms one tile back, one vector of channels, with bias and ReLU."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, product, bias, target, row, pixel = arguments
        rows = [emit_offset(builder, source, product, y * SIZE) for y in range(SIZE)]
        columns = [
            emit_outputs(builder, _OUTPUTS, _emit_loads(builder, rows, product, x))
            for x in range(SIZE)
        ]
        shift = emit_load(builder, bias)
        for y, values in enumerate(zip(*columns, strict=True)):
            to = emit_offset(builder, target, row, y)
            for x, value in enumerate(emit_outputs(builder, _OUTPUTS, list(values))):
                total = emit_sum(builder, value, shift)
                positive = emit_maximum(builder, total, emit_zero())
                emit_store(builder, emit_offset(builder, to, pixel, x), positive)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), code


def _emit_loads(builder: ir.IRBuilder, rows: Values, step: Any, count: int) -> Values:
    """LLVM code: a column, the same distance into every row."""
    return [emit_load(builder, emit_offset(builder, row, step, count)) for row in rows]


@njit(**OPTIONS)
def transform_input(
    source: int,
    row: int,
    pixel: int,
    target: int,
    point: int,
    tile: int,
    first_tile: int,
    num_tiles: int,
    tiles_in_row: int,
) -> None:
    """Transforms tiles, which are numbered row by row.

    Args:
        source: Address of the first input of tile 0: a row and a column before its
            first output. [rows, columns, channels].
        row: Bytes between rows of it.
        pixel: Bytes of its channels.
        target: Address of [points, tiles, channels].
        point: Bytes between points of it.
        tile: Bytes between its tiles, at least `pixel`.
        first_tile: The number of the first one.
        num_tiles: How many.
        tiles_in_row: How many tiles a row has.
    """
    for index in range(num_tiles):
        y, x = divmod(first_tile + index, tiles_in_row)
        at, to = source + TILE * (y * row + x * pixel), target + index * tile
        for channel in range(0, pixel, VECTOR):
            _input_tile(at + channel, row, pixel, to + channel, point)


@njit(**OPTIONS)
def transform_output(
    source: int,
    point: int,
    tile: int,
    bias: int,
    target: int,
    row: int,
    pixel: int,
    first_tile: int,
    num_tiles: int,
    tiles_in_row: int,
) -> None:
    """Transforms products back, adds the bias and takes what is positive.

    Args:
        source: Address of [points, tiles, channels].
        point: Bytes between points of it.
        tile: Bytes between its tiles.
        bias: Address of [channels].
        target: Address of the first output of tile 0: [rows, columns, channels].
        row: Bytes between rows of it.
        pixel: Bytes of its channels.
        first_tile: The number of the first one.
        num_tiles: How many.
        tiles_in_row: How many tiles a row has.
    """
    for index in range(num_tiles):
        y, x = divmod(first_tile + index, tiles_in_row)
        at, to = source + index * tile, target + TILE * (y * row + x * pixel)
        for channel in range(0, pixel, VECTOR):
            _output_tile(at + channel, point, bias + channel, to + channel, row, pixel)


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
    num_tiles: int,
    tiles_in_row: int,
    tiles_at_once: int,
) -> None:
    """A convolution, some tiles at a time, so that these stay in the cache.

    Args:
        source: Address of the first input, a row and a column before the first output.
        row: Bytes between rows of the input.
        pixel: Bytes of its channels.
        tiles: Address of memory for `tiles_at_once` transformed tiles.
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
        num_tiles: How many in all.
        tiles_in_row: How many tiles a row has.
        tiles_at_once: How many.
    """
    for first in range(0, num_tiles, tiles_at_once):
        count = min(tiles_at_once, num_tiles - first)
        transform_input(
            source, row, pixel, tiles, point, tile, first, count, tiles_in_row
        )
        multiply(
            tiles,
            point,
            tile,
            factors,
            sums,
            sum_point,
            sum_tile,
            NUM_POINTS,
            count,
            pixel // FLOAT,
            target_pixel // FLOAT,
        )
        transform_output(
            sums,
            sum_point,
            sum_tile,
            bias,
            target,
            target_row,
            target_pixel,
            first,
            count,
            tiles_in_row,
        )
