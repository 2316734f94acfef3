"""What an op computes on host values: one numpy rule for each op that may be folded.

An op is here only where numpy's answer is XLA's, to the bit but for the functions of `ROUNDED`. A
rule returns None for operands on which the two differ (a float that does not fit the integer it is
cast to); subnormal numbers, which XLA takes for zeros, are left to XLA in whatever computes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from neff.fold_move import MOVES, Array, Fold, cast, is_float
from neff.program import Instruction

# Functions that numpy and XLA round differently, in the last place.
ROUNDED = frozenset({"exponential", "log", "power", "rsqrt"})
_INTEGER = ("signed", "unsigned")


def _convert(i: Instruction, x: Array) -> Array | None:
    target = i.array.element
    if x.dtype.kind == "c" or target.kind == "complex":
        return x.astype(target.numpy) if x.dtype.kind == target.numpy.kind == "c" else None
    made = cast(x, target)
    if not is_float(x):
        return made
    if target.kind in _INTEGER:
        bounds: Any = ml_dtypes.iinfo(target.numpy)  # type: ignore[no-untyped-call]
        wide = x.astype(np.float64)
        inside = (wide > float(bounds.min)) & (wide < float(bounds.max))
        return made if np.all(inside) else None
    if x.dtype == np.float64 and target.bits < 32:
        # On the way from 64 bits, numpy or XLA rounds twice.
        exact = (made.astype(np.float64) == x) | np.isnan(x)
        return made if np.all(exact) else None
    return made


def _divide(i: Instruction, x: Array, y: Array) -> Array | None:
    """Integers are cut off toward zero; by zero they give all ones, and the least by -1 itself."""
    kind = i.array.element.kind
    if kind == "float":
        return np.divide(x, y)
    if kind not in _INTEGER or i.array.element.bits < 8:
        return None
    zero = y == 0
    safe = np.where(zero, np.ones_like(y), y)
    quotient = np.floor_divide(x, safe)
    cut = quotient + ((np.remainder(x, safe) != 0) & ((x < 0) != (safe < 0)))
    made: Array = np.where(zero, np.invert(np.zeros_like(x)), cut.astype(x.dtype))
    return made


def _remainder(i: Instruction, x: Array, y: Array) -> Array | None:
    """Of the sign of what is divided; by zero, that itself."""
    if i.array.element.kind not in _INTEGER or i.array.element.bits < 8:
        return None
    zero = y == 0
    made: Array = np.where(zero, x, np.fmod(x, np.where(zero, np.ones_like(y), y)))
    return made


def _shift(function: Callable[[Array, Array], Array], logical: bool = False) -> Fold:
    """Shifts; one by as many bits as there are, or more, or by a negative number, moves all out."""

    def rule(i: Instruction, x: Array, count: Array) -> Array | None:
        bits = i.array.element.bits
        if bits < 8:
            return None
        unsigned = np.dtype(f"u{bits // 8}")
        out = count.view(unsigned) >= bits
        within = np.where(out, np.zeros_like(count), count)
        value = x.view(unsigned if logical else f"i{bits // 8}")
        filled = np.zeros_like(value)
        if function is np.right_shift and not logical:
            filled = np.right_shift(value, np.full_like(value, bits - 1))
        shifted = np.where(out, filled, function(value, within.view(value.dtype)))
        return shifted.view(x.dtype)

    return rule


def _extreme(function: Callable[..., Array]) -> Fold:
    """Of zeros of both signs, numpy takes either."""

    def rule(i: Instruction, x: Array, y: Array) -> Array | None:
        element = i.array.element
        if element.kind == "complex" or element.bits < 8:
            return None
        if element.kind == "float" and np.any((x == 0) & (y == 0) & (_sign(x) != _sign(y))):
            return None
        return function(x, y)

    return rule


def _sign(x: Array) -> Array:
    return np.signbit(x.astype(np.float64))


def _bitwise(function: Callable[..., Array]) -> Fold:
    return lambda i, *xs: function(*xs) if i.array.element.bits >= 8 else None


def _compare(i: Instruction, x: Array, y: Array) -> Array | None:
    if i.get("type") == "TOTALORDER":
        return None
    return np.asarray(COMPARISONS[i["direction"]](x, y))


def _clamp(i: Instruction, low: Array, x: Array, high: Array) -> Array | None:
    return np.minimum(np.maximum(x, low), high) if low.dtype.kind in "iu" else None


def _reduce_precision(i: Instruction, x: Array) -> Array | None:
    """f32 to fewer mantissa bits, to nearest even; a number's last bit is never below 2^-149."""
    kept: int = i["mantissa_bits"]
    if x.dtype != np.float32 or i["exponent_bits"] != 8 or not kept:
        return None  # without a mantissa there is no NaN
    wide = x.astype(np.float64)
    last = np.maximum(np.frexp(wide)[1] - 1, -126) - kept
    rounded: Array = np.ldexp(np.rint(np.ldexp(wide, -last)), last)
    return rounded.astype(np.float32)


def _rsqrt(x: Array) -> Array:
    """Rounded once, as a short float is computed in f32."""
    wide = x if x.dtype.itemsize > 2 else x.astype(np.float32)
    inverse: Array = 1 / np.sqrt(wide)
    return inverse.astype(x.dtype)


def _is_finite(i: Instruction, x: Array) -> Array:
    return np.isfinite(x)


def _arithmetic(function: Callable[..., Array]) -> Fold:
    """A rule for floats, for integers of 8 bits and more, and for predicates."""

    def rule(i: Instruction, *xs: Array) -> Array | None:
        element = i.array.element
        return None if element.kind == "complex" or element.bits < 8 else function(*xs)

    return rule


def _floating(function: Callable[..., Array]) -> Fold:
    """A rule for floats only: on integers numpy would change the type."""
    return lambda i, *xs: function(*xs) if i.array.element.kind == "float" else None


def _signed(function: Callable[..., Array]) -> Fold:
    """A rule for floats and signed integers."""

    def rule(i: Instruction, *xs: Array) -> Array | None:
        element = i.array.element
        known = element.kind in ("float", "signed") and element.bits >= 8
        return function(*xs) if known and xs[0].dtype == element.numpy else None

    return rule


COMPARISONS: dict[str, Callable[..., Array]] = {
    "EQ": operator.eq,
    "NE": operator.ne,
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
}

_COMPUTATIONS: dict[str, Fold] = {
    "abs": _signed(np.abs),
    "add": _arithmetic(np.add),
    "and": _bitwise(np.bitwise_and),
    "ceil": _floating(np.ceil),
    "clamp": _clamp,
    "compare": _compare,
    "convert": _convert,
    "divide": _divide,
    "exponential": _floating(np.exp),
    "floor": _floating(np.floor),
    "is-finite": _is_finite,
    "log": _floating(np.log),
    "maximum": _extreme(np.maximum),
    "minimum": _extreme(np.minimum),
    "multiply": _arithmetic(np.multiply),
    "negate": _signed(np.negative),
    "not": _bitwise(np.invert),
    "or": _bitwise(np.bitwise_or),
    "power": _floating(np.power),
    "reduce-precision": _reduce_precision,
    "remainder": _remainder,
    "round-nearest-even": _floating(np.rint),
    "rsqrt": _floating(_rsqrt),
    "shift-left": _shift(np.left_shift),
    "shift-right-arithmetic": _shift(np.right_shift),
    "shift-right-logical": _shift(np.right_shift, logical=True),
    "sqrt": _floating(np.sqrt),
    "subtract": _arithmetic(np.subtract),
    "xor": _bitwise(np.bitwise_xor),
}
FOLDS: dict[str, Fold] = {**MOVES, **_COMPUTATIONS}


def fold(instruction: Instruction, operands: list[Array]) -> Array | None:
    """The value of an instruction on host values, or None where numpy's may not be XLA's."""
    rule = FOLDS.get(instruction.op)
    if rule is None:
        return None
    computes = instruction.op in _COMPUTATIONS
    if computes and any(_is_uncertain(x) for x in operands):
        return None
    with np.errstate(all="ignore"):
        value = rule(instruction, *operands)
    if value is None:
        return None
    shape = instruction.array
    value = np.asarray(value)
    assert value.shape == shape.dims and value.dtype == shape.numpy, (instruction, value.dtype)
    return None if computes and _is_uncertain(value) else value


def _is_uncertain(x: Array) -> bool:
    """Whether an array holds what XLA may take for something else."""
    if not is_float(x):
        return False
    limits: Any = ml_dtypes.finfo(x.dtype)  # type: ignore[no-untyped-call]
    if limits.bits < 8 or float(limits.min) > 0:
        return True
    if x.dtype.itemsize == 1 or x.dtype == np.float16:
        return False
    with np.errstate(all="ignore"):
        return bool(np.any((np.abs(x) < limits.smallest_normal) & (x != 0)))
