"""`--enable-saturate-infinity`: no infinity goes through a transpose by the PE array."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.literal import Literal
from neff.builder import Builder, rewrite
from neff.passes.simplify import splat
from neff.program import Instruction, Program


def saturate_transposed(program: Program) -> Program:
    """Replace ±infinity by the largest finite numbers in operands that a dot must transpose.

    The PE array reads operands with the contracted dimension on the partition axis. One whose
    contracted dimension is not its first, batch dimensions aside, is turned by a product with the
    identity, where infinity times zero is NaN.
    """
    return replace(program, functions=tuple(rewrite(f, _saturated) for f in program.functions))


def _saturated(b: Builder, i: Instruction) -> int | None:
    if i.op != "dot":
        return None
    numbers: DotDimensionNumbers = i["dot_dimension_numbers"]
    sides = (
        (numbers.lhs_contracting, numbers.lhs_batch),
        (numbers.rhs_contracting, numbers.rhs_batch),
    )
    operands = tuple(
        _finite(b, o) if _is_transposed(b.instructions[o], *side) else o
        for o, side in zip(i.operands, sides, strict=True)
    )
    return b.emit(replace(i, operands=operands)) if operands != i.operands else None


def _is_transposed(i: Instruction, contracting: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    if i.array.element.kind != "float":
        return False
    free = [d for d in range(i.array.rank) if d not in batch]
    return sorted(contracting) != free[: len(contracting)]


def _finite(b: Builder, value: int) -> int:
    shape = b.instructions[value].array
    limit = float(ml_dtypes.finfo(shape.numpy).max)  # type: ignore[no-untyped-call]
    if _bounded(b, value, "minimum", limit):
        inner = b.instructions[value].operands[0]
        if _bounded(b, inner, "maximum", -limit):
            return value
    for op, number in (("maximum", -limit), ("minimum", limit)):
        constant = b.constant(Literal.of(np.array(number, shape.numpy)))
        spread = b.op("broadcast", shape, constant, dimensions=())
        value = b.op(op, shape, value, spread, metadata=b.instructions[value].metadata)
    return value


def _bounded(b: Builder, value: int, op: str, limit: float) -> bool:
    i = b.instructions[value]
    return i.op == op and splat(b, i.operands[1]) == limit
