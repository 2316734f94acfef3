"""What an op computes on host values: one numpy rule for each op that may be folded.

An op is here only where numpy's answer is XLA's: a rule returns None for operands on which the two
differ (integer division by zero, a float that does not fit the integer it is cast to).
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np

from neff.program import Instruction

Fold = Callable[..., "np.ndarray | None"]


def _convert(i: Instruction, x: np.ndarray) -> np.ndarray | None:
    target = i.array.element
    to_integer = target.kind in ("signed", "unsigned")
    if to_integer and x.dtype.kind not in "iub":
        wide = x.astype(np.float64)
        bounds = np.iinfo(target.numpy) if target.bits >= 8 else None
        if bounds is None or not np.all((wide > bounds.min) & (wide < bounds.max)):
            return None
    if x.dtype.kind == "c" and target.kind != "complex":
        return None
    return x.astype(target.numpy)


def _divide(i: Instruction, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    return np.divide(x, y) if i.array.element.kind == "float" else None


def _compare(i: Instruction, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    if i.get("type") == "TOTALORDER":
        return None
    return np.asarray(COMPARISONS[i["direction"]](x, y))


def _slice(i: Instruction, x: np.ndarray) -> np.ndarray:
    return x[tuple(slice(*bounds) for bounds in i["slice"])]


def _reduce_precision(i: Instruction, x: np.ndarray) -> np.ndarray | None:
    """f32 to fewer mantissa bits, to nearest even; a number's last bit is never below 2^-149."""
    kept: int = i["mantissa_bits"]
    if x.dtype != np.float32 or i["exponent_bits"] != 8:
        return None
    wide = x.astype(np.float64)
    last = np.maximum(np.frexp(wide)[1] - 1, -126) - kept
    return np.ldexp(np.rint(np.ldexp(wide, -last)), last).astype(np.float32)


def _rsqrt(x: np.ndarray) -> np.ndarray:
    """Rounded once, as a short float is computed in f32."""
    wide = x if x.dtype.itemsize > 2 else x.astype(np.float32)
    return (1 / np.sqrt(wide)).astype(x.dtype)


def _broadcast(i: Instruction, x: np.ndarray) -> np.ndarray:
    dims = [1] * i.array.rank
    for size, d in zip(x.shape, i["dimensions"], strict=True):
        dims[d] = size
    in_order = x.transpose(np.argsort(i["dimensions"]))
    return np.broadcast_to(in_order.reshape(dims), i.array.dims)


def _iota(i: Instruction) -> np.ndarray:
    shape = i.array
    dims = [1] * shape.rank
    dims[i["iota_dimension"]] = -1
    line = np.arange(shape.dims[i["iota_dimension"]]).astype(shape.numpy)
    return np.broadcast_to(line.reshape(dims), shape.dims)


def _pad(i: Instruction, x: np.ndarray, fill: np.ndarray) -> np.ndarray | None:
    if any(low < 0 or high < 0 or interior for low, high, interior in i["padding"]):
        return None
    return np.pad(x, [(low, high) for low, high, _ in i["padding"]], constant_values=fill)


def _select(i: Instruction, p: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(p, x, y)


def _plain(function: Callable[..., np.ndarray]) -> Fold:
    return lambda i, *operands: function(*operands)


def _floating(function: Callable[..., np.ndarray]) -> Fold:
    """A rule for floats only: on integers numpy would change the type."""
    return lambda i, *xs: function(*xs) if i.array.element.kind == "float" else None


COMPARISONS: dict[str, Callable[..., np.ndarray]] = {
    "EQ": operator.eq,
    "NE": operator.ne,
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
}

FOLDS: dict[str, Fold] = {
    "abs": _floating(np.abs),
    "add": _plain(np.add),
    "and": _plain(np.bitwise_and),
    "broadcast": _broadcast,
    "compare": _compare,
    "concatenate": lambda i, *xs: np.concatenate(xs, i["dimensions"][0]),
    "convert": _convert,
    "copy": _plain(np.asarray),
    "divide": _divide,
    "exponential": _floating(np.exp),
    "iota": _iota,
    "log": _floating(np.log),
    "maximum": _floating(np.maximum),
    "minimum": _floating(np.minimum),
    "multiply": _plain(np.multiply),
    "negate": _floating(np.negative),
    "not": _plain(np.invert),
    "or": _plain(np.bitwise_or),
    "pad": _pad,
    "power": _floating(np.power),
    "reduce-precision": _reduce_precision,
    "reshape": lambda i, x: x.reshape(i.array.dims),
    "reverse": lambda i, x: np.flip(x, i["dimensions"]),
    "rsqrt": _floating(_rsqrt),
    "select": _select,
    "slice": _slice,
    "sqrt": _floating(np.sqrt),
    "subtract": _plain(np.subtract),
    "transpose": lambda i, x: x.transpose(i["dimensions"]),
    "xor": _plain(np.bitwise_xor),
}


def fold(instruction: Instruction, operands: list[np.ndarray]) -> np.ndarray | None:
    """The value of an instruction on host values, or None where numpy's may not be XLA's."""
    rule = FOLDS.get(instruction.op)
    if rule is None:
        return None
    with np.errstate(all="ignore"):
        value = rule(instruction, *operands)
    if value is None:
        return None
    shape = instruction.array
    value = np.asarray(value)
    assert value.shape == shape.dims and value.dtype == shape.numpy, (instruction, value.dtype)
    return value
