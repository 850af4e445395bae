"""Winograd's minimal filtering F(6x6, 3x3): its matrices, and code that applies them.

A tile of 6x6 outputs needs 8x8 inputs. The inputs and the filter are each transformed
to 64 numbers, and the products of these are transformed back to the outputs. This takes
64 products instead of 324 (A. Lavin and S. Gray, "Fast Algorithms for Convolutional
Neural Networks", CVPR 2016, arXiv 1509.09308). F(4x4, 3x3) takes a quarter more
products, but has a third of the rounding error in a convolution, and about half in a
whole network.

The matrices are those of Cook and Toom: the numbers are values of polynomials at some
points and at infinity. The points come in pairs, +p and -p, which share computations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from transforms.engines.winograd.simd import (
    emit_difference,
    emit_number,
    emit_product,
    emit_sum,
)

Array = np.ndarray
# Vectors in the LLVM code of a kernel.
Values = list[Any]

TILE, TAPS = 6, 3
SIZE = TILE + TAPS - 1
# Points of a tile in two dimensions, each with one product.
NUM_POINTS = SIZE**2
# Points in one dimension, apart from infinity. They are exact in binary, and so are the
# matrices. Of the other points that were compared, none has a notably smaller error:
# relative float32 errors of sums over 128 channels are 3.6e-6 with these points, 3.7e-6
# with 7/4 for 2 and 4.8e-6 with 3/2 for 2. Tiles of 4 outputs have 1.0e-6 at best, but
# need more products.
POINTS = (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0)


def matrices(points: Sequence[float]) -> tuple[Array, Array, Array]:
    """Matrices of the transforms in one dimension.

    Args:
        points: n - 1 different numbers; infinity is added as the last point.

    Returns:
        float64 matrices that transform inputs [n, n], filters [n, 3] and outputs
        [n - 2, n].
    """
    size = len(points) + 1
    inputs, filters = np.zeros((size, size)), np.zeros((size, TAPS))
    for index, point in enumerate(points):
        others = np.delete(points, index)
        inputs[index, : size - 1] = np.poly(others)[::-1]
        filters[index] = point ** np.arange(TAPS) / np.prod(point - others)
    inputs[-1] = np.poly(points)[::-1]
    filters[-1, -1] = 1
    outputs = np.zeros((size - TAPS + 1, size))
    outputs[:, :-1] = np.vander(points, size - TAPS + 1, increasing=True).T
    outputs[-1, -1] = 1
    return inputs, filters, outputs


def transform_filters(kernel: Array) -> Array:
    """Transforms filters to factors of the products.

    Args:
        kernel: float64 [3, 3, in, out].

    Returns:
        float64 [64, in, out].
    """
    _, matrix, _ = matrices(POINTS)
    factors = np.einsum("ia,abco,jb->ijco", matrix, kernel, matrix, optimize=True)
    return factors.reshape(NUM_POINTS, *kernel.shape[2:])


def emit_inputs(builder: ir.IRBuilder, matrix: Array, values: Values) -> Values:
    """Emits LLVM code that transforms inputs along one dimension."""
    result = [_emit_combination(builder, matrix[0], values)]
    for plus, minus in zip(matrix[1:-1:2], matrix[2:-1:2], strict=True):
        even = _emit_combination(builder, (plus + minus) / 2, values)
        odd = _emit_combination(builder, (plus - minus) / 2, values)
        result += [emit_sum(builder, even, odd), emit_difference(builder, even, odd)]
    return [*result, _emit_combination(builder, matrix[-1], values)]


def emit_outputs(builder: ir.IRBuilder, matrix: Array, values: Values) -> Values:
    """Emits LLVM code that transforms products back to outputs along one dimension."""
    columns, terms = [matrix[:, 0]], [values[0]]
    for index in range(1, len(values) - 1, 2):
        plus, minus = matrix[:, index], matrix[:, index + 1]
        columns += [(plus + minus) / 2, (plus - minus) / 2]
        a, b = values[index : index + 2]
        terms += [emit_sum(builder, a, b), emit_difference(builder, a, b)]
    rows = np.stack([*columns, matrix[:, -1]], axis=1)
    return [_emit_combination(builder, row, [*terms, values[-1]]) for row in rows]


def _emit_combination(builder: ir.IRBuilder, factors: Array, values: Values) -> Any:
    """Emits LLVM code for the sum of factors times values, without factors of 0."""
    total = None
    for factor, value in zip(factors, values, strict=True):
        if factor == 0:
            continue
        term = value
        if factor != 1:
            term = emit_product(builder, emit_number(factor), value)
        total = term if total is None else emit_sum(builder, total, term)
    return total
