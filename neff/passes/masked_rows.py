"""Rows of which every element is minus infinity, as attention asks for: their maximum says it."""

from __future__ import annotations

from itertools import product

import numpy as np

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.fold import fold
from neff.passes.maximum import extremum_of
from neff.passes.simplify import splat
from neff.program import Function, Instruction, Program


def ask_row_maxima(program: Program) -> Program:
    """`all(x == -inf)` over dimensions is `max(x) == -inf` where that maximum is computed anyway.

    Exact: a NaN is the maximum of its row, and equal to nothing. It saves a comparison and a
    reduction of the whole of x.
    """
    maxima = frozenset(f.name for f in program.functions if extremum_of(f) == "maximum")
    conjunctions = frozenset(f.name for f in program.functions if _is_conjunction(f))
    found: dict[tuple[int, tuple[int, ...]], int] = {}

    def asked(b: Builder, i: Instruction) -> int | None:
        if i.op != "reduce" or not isinstance(i.shape, Shape):
            return None
        if set(i.bodies) <= maxima and _is_least(b, i.operands[1]):
            found[i.operands[0], i["dimensions"]] = len(b.instructions)
        if not set(i.bodies) <= conjunctions or splat(b, i.operands[1]) != np.True_:
            return None
        test = b.instructions[i.operands[0]]
        if test.op != "compare" or test["direction"] != "EQ" or not _is_least(b, test.operands[1]):
            return None
        largest = found.get((test.operands[0], i["dimensions"]))
        if largest is None or test.get("type") == "TOTALORDER":
            return None
        low = b.instructions[test.operands[1]]
        least = _scalar(b, test.operands[1])
        row = Shape(low.array.dtype, i.array.dims)
        spread = b.op("broadcast", row, least, metadata=i.metadata, dimensions=())
        return b.op("compare", i.array, largest, spread, metadata=i.metadata, direction="EQ")

    return program.with_main(rewrite(program.main, asked))


def _is_least(b: Builder, value: int) -> bool:
    number = splat(b, value)
    return number is not None and bool(number == -np.inf)


def _scalar(b: Builder, value: int) -> int:
    """The constant of which a value is a repetition."""
    i = b.instructions[value]
    while i.op in ("broadcast", "reshape"):
        value = i.operands[0]
        i = b.instructions[value]
    return b.op("reshape", Shape(i.array.dtype), value) if i.array.rank else value


def _is_conjunction(function: Function) -> bool:
    """Whether a function of two predicates is `and`, by its table of truth."""
    shapes = [function.instructions[p].shape for p in function.parameters]
    if shapes != [Shape("pred")] * 2 or len(function.results) != 1:
        return False
    return all(_value(function, pair) == all(pair) for pair in product((False, True), repeat=2))


def _value(function: Function, arguments: tuple[bool, ...]) -> bool | None:
    values: list[np.ndarray] = []
    for i in function.instructions:
        if i.op == "parameter":
            values.append(np.array(arguments[i["number"]]))
            continue
        known = [values[o] for o in i.operands]
        made = i["literal"].numpy() if i.op == "constant" else fold(i, known)
        if made is None:
            return None
        values.append(made)
    return bool(values[function.results[0]])
