"""The first convolution of a network, as a numba kernel.

It has one input channel, so Winograd's algorithm would not pay.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from transforms.engines.winograd.simd import (
    FLOAT,
    NUMBER,
    OPTIONS,
    VECTOR,
    emit_load,
    emit_maximum,
    emit_offset,
    emit_product,
    emit_splat,
    emit_store,
    emit_sum,
    emit_zero,
)

TAPS = 3


@njit(**OPTIONS)
def convolve_first(
    source: int,
    row: int,
    kernel: int,
    bias: int,
    target: int,
    target_row: int,
    pixel: int,
    height: int,
    width: int,
) -> None:
    """Computes a 3x3 convolution of one input channel, with bias and ReLU.

    Args:
        source: Address of the first input, a row and a column before the first output.
        row: Bytes between rows of the input; an input pixel is one float32.
        kernel: Address of [9, channels].
        bias: Address of [channels].
        target: Address of the first output.
        target_row: Bytes between rows of the output.
        pixel: Bytes of the channels of an output pixel.
        height: Number of rows.
        width: Number of columns.
    """
    for y in range(height):
        for channel in range(0, pixel, VECTOR):
            _first_row(
                source + y * row,
                row,
                kernel + channel,
                pixel,
                bias + channel,
                target + y * target_row + channel,
                width,
            )


@intrinsic
def _first_row(
    typing: Any,
    source: Any,
    row: Any,
    kernel: Any,
    pixel: Any,
    bias: Any,
    target: Any,
    width: Any,
) -> Any:
    """Computes one row of one vector of channels, with all factors in registers."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, row, kernel, pixel, bias, target, width = arguments
        factors = [
            emit_load(builder, emit_offset(builder, kernel, pixel, tap))
            for tap in range(TAPS**2)
        ]
        rows = [emit_offset(builder, source, row, y) for y in range(TAPS)]
        start = emit_load(builder, bias)
        with cgutils.for_range(builder, width, intp=NUMBER) as loop:
            across = builder.mul(loop.index, ir.Constant(NUMBER, FLOAT))
            total = start
            for index, factor in enumerate(factors):
                y, x = divmod(index, TAPS)
                at = builder.add(rows[y], across)
                at = builder.add(at, ir.Constant(NUMBER, x * FLOAT))
                value = emit_splat(builder, emit_load(builder, at, ir.FloatType()))
                total = emit_sum(builder, total, emit_product(builder, factor, value))
            to = builder.add(target, builder.mul(loop.index, pixel))
            emit_store(builder, to, emit_maximum(builder, total, emit_zero()))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), code
