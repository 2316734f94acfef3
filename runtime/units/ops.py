"""The ops of tile programs, and which of them an HLO instruction is."""

from __future__ import annotations

from neff.program import Instruction
from runtime.rounding import ROUNDED
from runtime.units.idioms import IDIOMS
from runtime.units.space import UnsaidError

# Element types of operands and results, as tile.h numbers them.
TYPES = {"f32": 0, "bf16": 1, "f16": 2, "pred": 3, "s32": 4}
# As what they are read: s64 by its lower half, which is what it is converted to, u32 as its bits.
READ_AS = {**{dtype: dtype for dtype in TYPES}, "s64": "s32", "u32": "s32"}
KINDS = {"f32": "float", "bf16": "float", "f16": "float", "pred": "pred", "s32": "s32"}
# Two ops in one: after each of the first, applied to what that makes, each of the second.
# `subtract-from` subtracts it from its other operand.
_PAIRS: tuple[tuple[str, str], ...] = (
    (
        "add subtract multiply divide",
        """
        add subtract subtract-from multiply maximum minimum exponential tanh erf logistic to-bf16
        reduce-add
        """,
    ),
    ("tanh erf logistic", "add multiply"),
)


def _pairs(firsts: str, seconds: str) -> tuple[str, ...]:
    return tuple(f"{first}.{second}" for first in firsts.split() for second in seconds.split())


_OF_IDIOMS = _pairs("add", " ".join(IDIOMS))
_OF_OPS = tuple(pair for firsts, seconds in _PAIRS for pair in _pairs(firsts, seconds))
PAIRS = frozenset((*_OF_OPS, *_OF_IDIOMS))
# The lines of the table in tile.cc.
OPS = (
    tuple(
        """
    load store reduce-add reduce-maximum reduce-minimum reduce-multiply
    add subtract multiply divide maximum minimum power EQ NE LT LE GT GE
    select clamp and or xor not negate abs exponential exponential-minus-one log log-plus-one
    tanh erf logistic sqrt rsqrt cbrt sign floor ceil round-nearest-even cosine sine is-finite
    to-bf16 to-f16 to-pred from-s32 to-s32 s32-to-pred pred-to-s32
    s32-add s32-subtract s32-multiply s32-maximum s32-minimum
    s32-EQ s32-NE s32-LT s32-LE s32-GT s32-GE
    """.split()  # noqa: SIM905 - a table
    )
    + _OF_OPS
    + tuple(IDIOMS)
    + _OF_IDIOMS
)
CODES = {name: code for code, name in enumerate(OPS)}
_FLOAT = """
    add subtract multiply divide maximum minimum power clamp negate abs exponential
    exponential-minus-one log log-plus-one tanh erf logistic sqrt rsqrt cbrt sign floor ceil
    round-nearest-even cosine sine is-finite
"""
_S32 = "add subtract multiply maximum minimum"
# The ops that one instruction is, by the HLO op and the kind of its first operand.
_NAMED: dict[tuple[str, str], str] = {
    **{(op, "float"): op for op in _FLOAT.split()},
    **{(op, "pred"): op for op in ("and", "or", "xor", "not", "maximum", "minimum")},
    **{(op, "s32"): f"s32-{op}" for op in _S32.split()},
}
_ROUNDINGS: dict[str, tuple[str, ...]] = {"f32": (), "bf16": ("to-bf16",), "f16": ("to-f16",)}
# By the kind of the operand and the type of the result. From s32, one rounding to a short float
# would be two.
_CONVERSIONS: dict[tuple[str, str], tuple[str, ...]] = {
    **{("float", to): ops for to, ops in _ROUNDINGS.items()},
    **{("pred", to): () for to in ("f32", "bf16", "f16", "pred")},
    ("float", "pred"): ("to-pred",),
    ("float", "s32"): ("to-s32",),
    ("pred", "s32"): ("pred-to-s32",),
    ("s32", "f32"): ("from-s32",),
    ("s32", "pred"): ("s32-to-pred",),
    ("s32", "s32"): (),
}
# Exponent and mantissa that reduce-precision leaves of f32.
_PRECISIONS: dict[tuple[int, int], tuple[str, ...]] = {(8, 7): ("to-bf16",), (8, 23): ()}
ELEMENTWISE = frozenset(
    {"compare", "convert", "reduce-precision", "select", *(op for op, _ in _NAMED)}
)


def rounding(dtype: str) -> tuple[str, ...]:
    """What makes a value computed in f32 one of a float type."""
    return _ROUNDINGS.get(dtype, ())


def ops_of(i: Instruction, operand: str) -> tuple[str, ...]:
    """What an elementwise instruction is, by the element type of its first operand.

    The first op takes its operands, each after it what the one before made. UnsaidError if it is
    none.
    """
    if (i.op, operand, i.array.dtype) == ("convert", "s64", "s32"):
        return ()
    found = _ops(i, operand)
    if found is None or i.array.dtype not in KINDS or operand not in KINDS:
        raise UnsaidError(f"{i.op} of {operand} to {i.array.dtype}")
    return found


def _ops(i: Instruction, operand: str) -> tuple[str, ...] | None:
    kind = KINDS.get(operand, "")
    if i.op == "select":
        return ("select",)
    if i.op == "convert":
        if operand == i.array.dtype:
            return ()
        return _CONVERSIONS.get((kind, i.array.dtype))
    if i.op == "compare":
        return _comparison(i, operand)
    if i.op == "reduce-precision":
        return _PRECISIONS.get((i["exponent_bits"], i["mantissa_bits"]))
    name = _NAMED.get((i.op, kind))
    if name is None:
        return None
    return (name, *(rounding(i.array.dtype) if i.op in ROUNDED else ()))


def _comparison(i: Instruction, operand: str) -> tuple[str, ...] | None:
    if i.get("type") is not None:  # none of the type's own, so a total order
        return None
    kind = KINDS.get(operand, "")
    return (f"s32-{i['direction']}" if kind == "s32" else i["direction"],)
