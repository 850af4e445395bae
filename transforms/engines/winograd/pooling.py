"""Pooling of feature maps, as numba kernels: maxima, low-pass, polyphase sampling.

A map is float32 [rows, columns, channels] with zeros around it. Its values come from a
ReLU and are not negative, so the zeros around it do not change a maximum.
"""

from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from transforms.engines.winograd.simd import (
    NUMBER,
    OPTIONS,
    VECTOR,
    Vector,
    emit_load,
    emit_offset,
    emit_product,
    emit_store,
    emit_sum,
    emit_zero,
    largest,
    load,
    maximum,
    store,
    total,
    zero,
)

FILTER_SIZE = 5


@njit(**OPTIONS)
def maximum_3x3(
    source: int, row: int, pixel: int, scratch: int, height: int, width: int
) -> None:
    """Replaces every pixel of a map by the maximum of the 3x3 pixels around it.

    Args:
        source: Address of the map's first pixel.
        row: Bytes between rows of the map.
        pixel: Bytes of the channels of a pixel.
        scratch: Address of memory for three rows without borders.
        height: Number of rows.
        width: Number of columns.
    """
    size = width * pixel
    # `scratch` holds the maxima along three rows, row y in place y % 3. The row above
    # the first is zero.
    for at in range(0, size, VECTOR):
        store(scratch + 2 * size + at, zero())
    _maximum_of_row(source, pixel, scratch, size)
    for y in range(height):
        below = scratch + (y + 1) % 3 * size
        _maximum_of_row(source + (y + 1) * row, pixel, below, size)
        for at in range(0, size, VECTOR):
            first, second = load(scratch + at), load(scratch + size + at)
            third = load(scratch + 2 * size + at)
            to = source + y * row + at
            store(to, maximum(maximum(first, second), third))


@njit(**OPTIONS)
def _maximum_of_row(source: int, pixel: int, target: int, size: int) -> None:
    for at in range(source, source + size, VECTOR):
        outer = maximum(load(at - pixel), load(at + pixel))
        store(target + at - source, maximum(outer, load(at)))


@njit(**OPTIONS)
def maximum_2x2(
    source: int,
    row: int,
    pixel: int,
    target: int,
    target_row: int,
    height: int,
    width: int,
    stride: int,
) -> None:
    """Takes the maximum of 2x2 pixels: a pixel, the next one, and the two below.

    Args:
        source: Address of the map's first pixel.
        row: Bytes between rows of the map.
        pixel: Bytes of the channels of a pixel.
        target: Address of the result's first pixel.
        target_row: Bytes between rows of the result.
        height: Rows of the result.
        width: Columns of the result.
        stride: 1, or 2 to halve the map.
    """
    for y in range(height):
        for x in range(width):
            first = source + stride * (y * row + x * pixel)
            to = target + y * target_row + x * pixel
            for channel in range(0, pixel, VECTOR):
                at = first + channel
                upper = maximum(load(at), load(at + pixel))
                lower = maximum(load(at + row), load(at + row + pixel))
                store(to + channel, maximum(upper, lower))


@intrinsic
def _filter_row(
    typing: Any,
    source: Any,
    row: Any,
    pixel: Any,
    taps: Any,
    target: Any,
    width: Any,
    stride: Any,
) -> Any:
    """Filters one row of one vector of channels; its 25 taps stay in registers."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, row, pixel, taps, target, width, stride = arguments
        factors = [
            emit_load(builder, emit_offset(builder, taps, pixel, tap))
            for tap in range(FILTER_SIZE**2)
        ]
        rows = [emit_offset(builder, source, row, y) for y in range(FILTER_SIZE)]
        step = builder.mul(stride, pixel)
        with cgutils.for_range(builder, width, intp=NUMBER) as loop:
            # Two independent chains of sums, so that neither waits for the other.
            chains = [emit_zero(), emit_zero()]
            for index, factor in enumerate(factors):
                y, x = divmod(index, FILTER_SIZE)
                at = emit_offset(builder, rows[y], step, loop.index)
                at = emit_offset(builder, at, pixel, x)
                term = emit_product(builder, factor, emit_load(builder, at))
                chains[index % 2] = emit_sum(builder, chains[index % 2], term)
            to = emit_offset(builder, target, pixel, loop.index)
            emit_store(builder, to, emit_sum(builder, *chains))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), code


@njit(**OPTIONS)
def low_pass(
    source: int,
    row: int,
    pixel: int,
    taps: int,
    target: int,
    target_row: int,
    height: int,
    width: int,
    stride: int,
) -> None:
    """Filters every channel with its own 5x5 filter.

    Args:
        source: Address of the pixel to which the first tap of the first output applies.
        row: Bytes between rows of the map.
        pixel: Bytes of the channels of a pixel.
        taps: Address of [25, channels].
        target: Address of the result's first pixel.
        target_row: Bytes between rows of the result.
        height: Rows of the result.
        width: Columns of the result.
        stride: 1, or 2 to halve the map.
    """
    for y in range(height):
        for channel in range(0, pixel, VECTOR):
            _filter_row(
                source + y * stride * row + channel,
                row,
                pixel,
                taps + channel,
                target + y * target_row + channel,
                width,
                stride,
            )


@njit(**OPTIONS)
def keep_strongest_phase(
    source: int,
    row: int,
    pixel: int,
    target: int,
    target_row: int,
    height: int,
    width: int,
    is_by_channel: bool,
) -> None:
    """Samples a map adaptively: keeps the strongest of its four polyphase grids.

    A grid has every second pixel of every second row. The strongest grid has the
    largest sum, or the channel with the largest sum. Of equal grids the first is kept.

    Args:
        source: Address of the first pixel of a map of 2 height x 2 width.
        row: Bytes between rows of the map.
        pixel: Bytes of the channels of a pixel.
        target: Address of the result's first pixel.
        target_row: Bytes between rows of the result.
        height: Rows of the result.
        width: Columns of the result.
        is_by_channel: Whether the largest sums of a channel are compared, instead of
            the sums of all channels.
    """
    best, strongest = -1.0, source
    for phase in range(4):
        # The order of grids is (t0, f0), (t1, f0), (t0, f1), (t1, f1).
        grid = source + (phase % 2) * row + (phase // 2) * pixel
        strength = 0.0
        for channel in range(0, pixel, VECTOR):
            sums = _channel_sums(grid + channel, row, pixel, height, width)
            if is_by_channel:
                strength = max(strength, largest(sums))
            else:
                strength += total(sums)
        if strength > best:
            best, strongest = strength, grid
    for y in range(height):
        for x in range(width):
            at = strongest + 2 * (y * row + x * pixel)
            to = target + y * target_row + x * pixel
            for channel in range(0, pixel, VECTOR):
                store(to + channel, load(at + channel))


@njit(**OPTIONS)
def _channel_sums(grid: int, row: int, pixel: int, height: int, width: int) -> Vector:
    """Sums a vector of channels over a grid of every second pixel.

    Each row is summed first, so that small numbers are not added to a large sum.
    """
    sums = zero()
    for y in range(height):
        partial = zero()
        for x in range(width):
            partial = partial + load(grid + 2 * (y * row + x * pixel))
        sums = sums + partial
    return sums
