"""Integers as the engines compute them: 64 bits in 32, and some of the arithmetic in f32."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from neff.builder import Builder, rewrite
from neff.errors import CompileError
from neff.passes.bodies import Bodies
from neff.passes.retype import Retyping, mentions, retype_program
from neff.printing import quote
from neff.program import NARROWED, Instruction, Program

logger = logging.getLogger("Neuron")

NARROW = {"s64": "s32", "u64": "u32"}
# Ops whose 64-bit integers are states or foreign: they keep them.
KEPT = frozenset({"custom-call", "rng-bit-generator", "rng-get-and-update-state"})


def narrow_int64(program: Program) -> Program:
    """Compute 64-bit integers in 32 bits; inputs and outputs keep their types.

    A constant that does not fit becomes the nearest number that does, and is announced; one bound
    as a weight loses its upper half, and is announced. Raises CompileError for the upper half of a
    product and for the bits of a 64-bit number, which 32 bits cannot hold.
    """
    if not mentions(program, NARROW):
        return program
    for variable in program.inputs:
        if variable.weight is not None and variable.shape.dtype in NARROW:
            _announce(variable.weight.array, f"{variable.kind} {variable.name}", "are cut off")
    for function in program.functions:
        for position, i in function.numbered():
            if i.op == "mulhi" and i.array.dtype in NARROW:
                raise CompileError(
                    "narrow_int64: the upper half of a 64-bit product cannot be computed in 32 "
                    f"bits{quote(i, position)}\n  try: --target trn2 --native-int64 enabled"
                )
    return retype_program(program, NARROWING)


def _keeps(i: Instruction, operands: tuple[AnyShape, ...]) -> bool:
    if i.op == "bitcast-convert":
        return any(isinstance(s, Shape) and s.dtype in NARROW for s in (i.shape, *operands))
    return i.op in KEPT


def _fitted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers within 32 bits; the extremes of 64 bits, which stand for infinity, map to theirs."""
    wide, bounds = np.iinfo(array.dtype), np.iinfo(dtype)
    ordinary = array[(array != wide.min) & (array != wide.max)]
    _announce(ordinary, "a constant", f"become {bounds.min} or {bounds.max}")
    clipped: np.ndarray = np.clip(array, bounds.min, bounds.max)
    return clipped.astype(dtype)


def _announce(array: np.ndarray, what: str, effect: str) -> None:
    bounds = np.iinfo(NARROW_NUMPY[array.dtype])
    if array.size and (array.min() < bounds.min or array.max() > bounds.max):
        logger.warning(
            "narrow_int64: %s holds numbers that 32 bits cannot (%d to %d); they %s",
            *(what, array.min(), array.max(), effect),
        )


NARROW_NUMPY = {Shape(wide).numpy: Shape(narrow).numpy for wide, narrow in NARROW.items()}


def _leading_zeros(b: Builder, i: Instruction, wide: Shape) -> int:
    """Those of 64 bits: none for a negative number, else 32 more than the lower half has."""
    return _select_negative(b, i, wide, b.emit(i), when_negative=0, otherwise=32)


def _population(b: Builder, i: Instruction, wide: Shape) -> int:
    """The ones of 64 bits: the upper half of a negative number is all ones."""
    return _select_negative(b, i, wide, b.emit(i), when_negative=32, otherwise=0)


def _select_negative(
    b: Builder, i: Instruction, wide: Shape, value: int, *, when_negative: int, otherwise: int
) -> int:
    def number(n: int) -> int:
        literal = Literal.of(np.array(n, i.array.numpy))
        return b.op("broadcast", i.array, b.constant(literal), dimensions=())

    added = number(otherwise)
    if wide.element.kind == "signed":
        mask = Shape("pred", wide.dims)
        negative = b.op("compare", mask, i.operands[0], number(0), direction="LT")
        added = b.op("select", i.array, negative, number(when_negative), added)
    return b.op("add", i.array, value, added, metadata=i.metadata)


NARROWING = Retyping(
    "narrow_int64",
    NARROW,
    _keeps,
    special={"count-leading-zeros": _leading_zeros, "popcnt": _population},
    constant=_fitted,
    note=NARROWED,
    refused="bitcast-convert",
)

# Types too wide for the 24 bits of an f32.
WIDE_INTEGERS = frozenset({"s32", "u32", "s64", "u64"})
ARITHMETIC = frozenset({"add", "multiply", "maximum", "minimum"})
KINDS = {
    "dot": "dot",
    "convolution": "dot",
    "scatter": "scatter",
    "all-reduce": "all_reduce",
    "reduce-scatter": "reduce_scatter",
    "power": "pow",
}


@dataclass(frozen=True)
class DowncastIntegers:
    """Compute integer ops of the allowed `kinds` in f32 (power: 64 bits in 32)."""

    kinds: frozenset[str]

    @property
    def __name__(self) -> str:
        return "downcast_integers"

    def __call__(self, program: Program) -> Program:
        if not any(self._applies(i) for f in program.functions for i in f.instructions):
            return program
        bodies = Bodies(program)

        def cast(b: Builder, i: Instruction) -> int | None:
            return RULES[i.op](b, i, bodies) if self._applies(i) else None

        return bodies.rewrite(lambda f: rewrite(f, cast))

    def _applies(self, i: Instruction) -> bool:
        shapes = i.shape.elements[:1] if isinstance(i.shape, TupleShape) else (i.shape,)
        wide = any(isinstance(s, Shape) and s.dtype in WIDE_INTEGERS for s in shapes)
        if i.op == "power":
            wide = wide and i.array.dtype in NARROW
        return wide and KINDS.get(i.op) in self.kinds


def _convert(b: Builder, value: int, dtype: str, i: Instruction) -> int:
    source = b.instructions[value].array
    if source.dtype == dtype:
        return value
    return b.op("convert", Shape(dtype, source.dims), value, metadata=i.metadata)


def _contraction(b: Builder, i: Instruction, bodies: Bodies) -> int | None:
    if not any(b.instructions[o].array.dtype in WIDE_INTEGERS for o in i.operands):
        return None  # the products of shorter integers are exact
    operands = tuple(_convert(b, o, "f32", i) for o in i.operands)
    made = b.emit(replace(i, shape=Shape("f32", i.array.dims), operands=operands))
    return _convert(b, made, i.array.dtype, i)


def _power(b: Builder, i: Instruction, bodies: Bodies) -> int:
    short = NARROW[i.array.dtype]
    operands = tuple(_convert(b, o, short, i) for o in i.operands)
    made = b.emit(replace(i, shape=Shape(short, i.array.dims), operands=operands))
    return _convert(b, made, i.array.dtype, i)


def _combination(b: Builder, i: Instruction, bodies: Bodies) -> int | None:
    """scatter and the reducing collectives, where they combine by arithmetic."""
    body = bodies.source[i.bodies[0]]
    ops = {n.op for n in body.instructions} - {"parameter"}
    if isinstance(i.shape, TupleShape) or len(ops) != 1 or not ops <= ARITHMETIC:
        return None
    dtype = i.array.dtype
    data = (0, 2) if i.op == "scatter" else range(len(i.operands))
    operands = tuple(_convert(b, o, "f32", i) if n in data else o for n, o in enumerate(i.operands))
    short = Shape("f32", i.array.dims)
    called = bodies.retyped(i.bodies[0], {dtype: "f32"})
    made = b.emit(replace(i, shape=short, operands=operands, bodies=(called, *i.bodies[1:])))
    return _convert(b, made, dtype, i)


RULES: dict[str, Callable[[Builder, Instruction, Bodies], int | None]] = {
    "dot": _contraction,
    "convolution": _contraction,
    "scatter": _combination,
    "all-reduce": _combination,
    "reduce-scatter": _combination,
    "power": _power,
}
