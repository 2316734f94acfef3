"""Kernels that compute each element of the result from the same element of the operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from hlo_frontend.hlo.types import Shape
from runtime.kernels.kind import Kernel


def _plain(function: Callable[..., Any]) -> Kernel:
    return lambda *operands, shape: function(*operands)


def _compare(x: jax.Array, y: jax.Array, *, shape: Shape, direction: str, type: str = "") -> Any:
    if type == "TOTALORDER":
        x, y = (_total_order(v) for v in (x, y))
    return COMPARISONS[direction](x, y)


def _total_order(x: jax.Array) -> jax.Array:
    """Integers that order as floats do in IEEE totalOrder: -NaN < -inf < … < -0 < +0 < … < NaN."""
    if not jax.numpy.issubdtype(x.dtype, jax.numpy.floating):
        return x
    bits = lax.bitcast_convert_type(x, f"int{x.dtype.itemsize * 8}")
    greatest = jax.numpy.iinfo(bits.dtype).max
    return jax.numpy.where(bits < 0, bits ^ greatest, bits)


def _convert(x: jax.Array, *, shape: Shape) -> jax.Array:
    return lax.convert_element_type(x, shape.numpy)


def _reduce_precision(
    x: jax.Array, *, shape: Shape, exponent_bits: int, mantissa_bits: int
) -> jax.Array:
    return lax.reduce_precision(x, exponent_bits, mantissa_bits)


def _round_away(x: jax.Array) -> jax.Array:
    return lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO)


def _round_even(x: jax.Array) -> jax.Array:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


COMPARISONS: dict[str, Callable[..., Any]] = {
    "EQ": lax.eq,
    "NE": lax.ne,
    "LT": lax.lt,
    "LE": lax.le,
    "GT": lax.gt,
    "GE": lax.ge,
}

KERNELS: dict[str, Kernel] = {
    "abs": _plain(lax.abs),
    "acos": _plain(lax.acos),
    "acosh": _plain(lax.acosh),
    "add": _plain(lax.add),
    "and": _plain(lax.bitwise_and),
    "asin": _plain(lax.asin),
    "asinh": _plain(lax.asinh),
    "atan2": _plain(lax.atan2),
    "atanh": _plain(lax.atanh),
    "cbrt": _plain(lax.cbrt),
    "ceil": _plain(lax.ceil),
    "clamp": _plain(lax.clamp),
    "compare": _compare,
    "complex": _plain(lax.complex),
    "convert": _convert,
    "cosh": _plain(lax.cosh),
    "cosine": _plain(lax.cos),
    "count-leading-zeros": _plain(lax.clz),
    "divide": _plain(lax.div),
    "erf": _plain(lax.erf),
    "exponential": _plain(lax.exp),
    "exponential-minus-one": _plain(lax.expm1),
    "floor": _plain(lax.floor),
    "imag": _plain(lax.imag),
    "is-finite": _plain(lax.is_finite),
    "log": _plain(lax.log),
    "log-plus-one": _plain(lax.log1p),
    "logistic": _plain(lax.logistic),
    "maximum": _plain(lax.max),
    "minimum": _plain(lax.min),
    "multiply": _plain(lax.mul),
    "negate": _plain(lax.neg),
    "not": _plain(lax.bitwise_not),
    "or": _plain(lax.bitwise_or),
    "popcnt": _plain(lax.population_count),
    "power": _plain(lax.pow),
    "real": _plain(lax.real),
    "reduce-precision": _reduce_precision,
    "remainder": _plain(lax.rem),
    "round-nearest-afz": _plain(_round_away),
    "round-nearest-even": _plain(_round_even),
    "rsqrt": _plain(lax.rsqrt),
    "select": _plain(lax.select),
    "shift-left": _plain(lax.shift_left),
    "shift-right-arithmetic": _plain(lax.shift_right_arithmetic),
    "shift-right-logical": _plain(lax.shift_right_logical),
    "sign": _plain(lax.sign),
    "sine": _plain(lax.sin),
    "sinh": _plain(lax.sinh),
    "sqrt": _plain(lax.sqrt),
    "subtract": _plain(lax.sub),
    "tan": _plain(lax.tan),
    "tanh": _plain(lax.tanh),
    "xor": _plain(lax.bitwise_xor),
}
