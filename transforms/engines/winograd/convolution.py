"""3x3 convolutions by Winograd's minimal filtering, as numba kernels.

With many tiles and channels, the products are one matrix product for every point. Most
of the time goes there (`transforms.engines.winograd.products`).
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
    """Transforms one vector of channels of one input tile."""

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
    """Transforms one vector of channels of one tile back, with bias and ReLU."""

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
    """Emits LLVM code that loads the value at the same offset of every row."""
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
    """Transforms tiles of inputs. Tiles are numbered row by row.

    Args:
        source: Address of the first input of tile 0, a row and a column before its
            first output, in [rows, columns, channels].
        row: Bytes between rows of `source`.
        pixel: Bytes of the channels of a pixel of `source`.
        target: Address of the transformed tiles, [points, tiles, channels].
        point: Bytes between points of `target`.
        tile: Bytes between tiles of `target`, at least `pixel`.
        first_tile: Number of the first tile to transform.
        num_tiles: Number of tiles to transform.
        tiles_in_row: Number of tiles in a row of tiles.
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
    """Transforms products back to outputs, adds the bias and applies ReLU.

    Args:
        source: Address of the products, [points, tiles, channels].
        point: Bytes between points of `source`.
        tile: Bytes between tiles of `source`.
        bias: Address of [channels].
        target: Address of the first output of tile 0, in [rows, columns, channels].
        row: Bytes between rows of `target`.
        pixel: Bytes of the channels of a pixel of `target`.
        first_tile: Number of the first tile to transform.
        num_tiles: Number of tiles to transform.
        tiles_in_row: Number of tiles in a row of tiles.
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
    """Computes a convolution, a few tiles at a time so that they stay in the cache.

    Args:
        source: Address of the first input, a row and a column before the first output.
        row: Bytes between rows of the input.
        pixel: Bytes of the channels of an input pixel.
        tiles: Address of memory for `tiles_at_once` transformed tiles.
        point: Bytes between points of `tiles`.
        tile: Bytes between tiles of `tiles`.
        factors: Address of the result of `pack_filters`.
        sums: Address of memory for the products of `tiles_at_once` tiles.
        sum_point: Bytes between points of `sums`.
        sum_tile: Bytes between tiles of `sums`.
        bias: Address of a number for every output channel.
        target: Address of the first output.
        target_row: Bytes between rows of the output.
        target_pixel: Bytes of the channels of an output pixel.
        num_tiles: Number of all tiles.
        tiles_in_row: Number of tiles in a row of tiles.
        tiles_at_once: Number of tiles to transform and multiply at a time.
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
