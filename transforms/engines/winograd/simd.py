"""Vectors of float32 for numba kernels: one vector fills a register of the processor.

With them, kernels are written like formulas, and the compiled code does not depend on
whether LLVM manages to vectorise a loop. Memory addresses are plain numbers, as in C:
nothing checks bounds.
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
    """Whether numba compiles for AVX-512: by its setting, or else by the processor."""
    features: str | None = numba.config.CPU_FEATURES
    if features is not None:
        return "+avx512f" in features.split(",")
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))


LANES = 16 if _has_avx512() else 8
# Sizes in bytes of a float32 and of a vector.
FLOAT = 4
VECTOR = LANES * FLOAT
# Compiler options of every kernel.
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
# LLVM type of addresses and sizes.
NUMBER = ir.IntType(64)
_FLOAT, _INT32 = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
# A value of VectorType in a kernel.
Vector = Any
# Allows LLVM to fuse a product with a sum, which is more exact and twice as fast.
_FUSED = ("contract",)


class VectorType(types.Type):
    """The numba type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, _VECTOR)


def emit_load(builder: ir.IRBuilder, address: Any, kind: ir.Type = _VECTOR) -> Any:
    """Loads a vector (or `kind`) from an address, which need not be aligned."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = FLOAT
    return value


def emit_store(builder: ir.IRBuilder, address: Any, value: Any) -> None:
    stored = builder.store(value, builder.inttoptr(address, _VECTOR.as_pointer()))
    stored.align = FLOAT


def emit_splat(builder: ir.IRBuilder, scalar: Any) -> Any:
    """A vector that repeats one number."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(_INT32, 0))
    lanes = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, lanes)


def emit_number(number: float) -> Any:
    """A vector that repeats a number which is known at compile time."""
    return ir.Constant(_VECTOR, [float(np.float32(number))] * LANES)


def emit_zero() -> Any:
    return emit_number(0)


def emit_offset(builder: ir.IRBuilder, base: Any, step: Any, count: Any) -> Any:
    """base + step * count; `step` and `count` may be Python integers."""
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
    """Stores a vector at an address."""

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
    """The larger value of two vectors, lane by lane."""

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
    """The largest value of the lanes, as float64."""

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
    """An array of float32 zeros that begins at a cache line."""
    size = int(np.prod(shape))
    memory = np.zeros(size + 16, np.float32)
    start = -memory.ctypes.data % 64 // FLOAT
    return memory[start : start + size].reshape(shape)
