"""Kernels that compute each element of the result from the same element of the operands."""

from __future__ import annotations

import jax

from hlo_frontend.hlo.types import Shape
from runtime.kernels.emit import emit, integer
from runtime.kernels.kind import Kernel, Value

# StableHLO has these by HLO's names, with underscores.
_STABLE = """
    abs add atan2 cbrt ceil clamp complex convert cosine count-leading-zeros divide exponential
    exponential-minus-one floor imag is-finite log log-plus-one logistic maximum minimum multiply
    negate not popcnt power real remainder round-nearest-afz round-nearest-even rsqrt select
    shift-left shift-right-arithmetic shift-right-logical sign sine sqrt subtract tan tanh xor
"""
# XLA makes these of the others: CHLO says how.
_COMPOSED = "acos acosh asin asinh atanh cosh erf sinh"


def _operation(name: str) -> Kernel:
    def kernel(*operands: jax.Array, shape: Shape) -> Value:
        return emit(name, operands, shape, packed=True)

    return kernel


def _bitwise(name: str) -> Kernel:
    """XLA's compiler for the CPU overflows its stack on convert(and(convert(x), convert(y))).

    Seen as integers of the other sign, the operands are no conversions any more.
    """
    plain = _operation(name)
    other = {"signed": "u", "unsigned": "s"}

    def kernel(*operands: jax.Array, shape: Shape) -> Value:
        element = shape.element
        if element.kind not in other or element.bits < 8:
            return plain(*operands, shape=shape)
        turned = Shape(f"{other[element.kind]}{element.bits}", shape.dims)
        seen = [jax.lax.bitcast_convert_type(x, turned.numpy) for x in operands]
        made = plain(*seen, shape=turned)
        return jax.lax.bitcast_convert_type(made, shape.numpy)

    return kernel


def _mulhi(x: jax.Array, y: jax.Array, *, shape: Shape) -> Value:
    """The upper half of the product of two integers."""
    bits = shape.element.bits
    if bits >= 8:
        return emit("chlo.mulhi", (x, y), shape)
    wide = jax.numpy.int8 if shape.element.kind == "signed" else jax.numpy.uint8
    return ((x.astype(wide) * y.astype(wide)) >> bits).astype(shape.numpy)


def _compare(x: jax.Array, y: jax.Array, *, shape: Shape, direction: str, type: str = "") -> Value:
    return emit(
        "stablehlo.compare",
        (x, y),
        shape,
        packed=True,
        comparison_direction=f"#stablehlo<comparison_direction {direction}>",
        compare_type=f"#stablehlo<comparison_type {type or 'NOTYPE'}>",
    )


def _reduce_precision(
    x: jax.Array, *, shape: Shape, exponent_bits: int, mantissa_bits: int
) -> Value:
    return emit(
        "stablehlo.reduce_precision",
        (x,),
        shape,
        exponent_bits=integer(exponent_bits, 32),
        mantissa_bits=integer(mantissa_bits, 32),
    )


KERNELS: dict[str, Kernel] = {
    **{op: _operation(f"stablehlo.{op.replace('-', '_')}") for op in _STABLE.split()},
    **{op: _operation(f"chlo.{op}") for op in _COMPOSED.split()},
    "and": _bitwise("stablehlo.and"),
    "or": _bitwise("stablehlo.or"),
    "compare": _compare,
    "mulhi": _mulhi,
    "reduce-precision": _reduce_precision,
}
