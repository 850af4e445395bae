"""Vectors of float32 for numba: a register of the processor, which kernels can add.

Kernels are then written like formulas, and what LLVM makes of them does not depend on
whether it manages to vectorise a loop. Memory is addressed by numbers, as in C: nothing
checks bounds.
"""

import functools
import operator
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model


def _has_avx512() -> bool:
    """Whether numba compiles for AVX-512: as it is told, or as the processor can."""
    told: str | None = numba.config.CPU_FEATURES
    if told is not None:
        return "+avx512f" in told.split(",")
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))


LANES = 16 if _has_avx512() else 8
# Bytes of a float32, and of a vector.
FLOAT = 4
VECTOR = LANES * FLOAT
# Of every kernel.
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
# Of addresses and sizes.
NUMBER = ir.IntType(64)
_FLOAT, _INT32 = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
# A value of VectorType in a kernel.
Vector = Any
# Products may be fused with sums: more exact, and twice as fast.
_FUSED = ("contract",)


class VectorType(types.Type):
    """numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, _VECTOR)


def emit_load(builder: ir.IRBuilder, address: Any, kind: ir.Type = _VECTOR) -> Any:
    """Reads a vector (or `kind`) at an address, which need not be aligned."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = FLOAT
    return value


def emit_store(builder: ir.IRBuilder, address: Any, value: Any) -> None:
    stored = builder.store(value, builder.inttoptr(address, _VECTOR.as_pointer()))
    stored.align = FLOAT


def emit_splat(builder: ir.IRBuilder, scalar: Any) -> Any:
    """A vector of one number."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(_INT32, 0))
    lanes = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, lanes)


def emit_number(number: float) -> Any:
    """A vector of one number that is known beforehand."""
    return ir.Constant(_VECTOR, [float(np.float32(number))] * LANES)


def emit_zero() -> Any:
    return emit_number(0)


def emit_offset(builder: ir.IRBuilder, base: Any, step: Any, count: Any) -> Any:
    """base + step * count; all but the base may be Python's numbers."""
    factors = [
        ir.Constant(NUMBER, x) if isinstance(x, int) else x for x in (step, count)
    ]
    return builder.add(base, builder.mul(*factors))


def emit_sum(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.fadd(a, b, flags=_FUSED)


def emit_difference(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.fsub(a, b, flags=_FUSED)


def emit_product(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.fmul(a, b, flags=_FUSED)


def emit_maximum(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """The vector at an address."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_load(builder, arguments[0])

    return vector(types.int64), code


@intrinsic
def store(typing: Any, address: Any, value: Any) -> Any:
    """Writes a vector to an address."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_store(builder, *arguments)
        return context.get_dummy_value()

    return types.void(types.int64, vector), code


@intrinsic
def zero(typing: Any) -> Any:
    """A vector of zeros."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_zero()

    return vector(), code


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """The larger of two vectors, lane by lane."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_maximum(builder, *arguments)

    return vector(vector, vector), code


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """The sum of the lanes, in float64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return functools.reduce(builder.fadd, _emit_lanes(builder, *arguments))

    return types.float64(vector), code


@intrinsic
def largest(typing: Any, a: Any) -> Any:
    """The largest lane, as float64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _emit_lanes(builder, *arguments)
        return functools.reduce(functools.partial(emit_maximum, builder), lanes)

    return types.float64(vector), code


def _emit_lanes(builder: ir.IRBuilder, value: Any) -> list[Any]:
    """The lanes as float64."""
    places = [ir.Constant(_INT32, lane) for lane in range(LANES)]
    lanes = [builder.extract_element(value, place) for place in places]
    return [builder.fpext(lane, ir.DoubleType()) for lane in lanes]


@intrinsic
def _add(typing: Any, a: Any, b: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_sum(builder, *arguments)

    return vector(vector, vector), code


@overload(operator.add, strict=False)
def _overload_add(a: Any, b: Any) -> Any:
    are_vectors = isinstance(a, VectorType) and isinstance(b, VectorType)
    return (lambda a, b: _add(a, b)) if are_vectors else None


def aligned_zeros(*shape: int) -> np.ndarray:
    """float32 zeros that begin at a cache line."""
    size = int(np.prod(shape))
    memory = np.zeros(size + 16, np.float32)
    start = -memory.ctypes.data % 64 // FLOAT
    return memory[start : start + size].reshape(shape)
