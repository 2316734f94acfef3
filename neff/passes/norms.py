"""Normalization over whole rows, as layer norm is captured, in the steps that a kernel runs."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Function, Instruction, Program

SUM = "neuron.sum.f32"


def expand_row_norms(program: Program) -> Program:
    """batch-norm-training over the dimensions after its feature: one row for each feature.

    mean = sum(x) / n, variance = sum((x - mean)²) / n, and the rows that these make of x. Only
    f32, and only where the statistics themselves are not asked for beyond reading them.
    """
    main = program.main
    found = {p for p, i in main.numbered() if _normalizes_rows(main, i)}
    read = {p for p, i in main.numbered() if i.op == "get-tuple-element" and i.operands[0] in found}
    users = main.users()
    found = {p for p in found if all(u in read for u in users[p]) and p not in main.results}
    if not found:
        return program
    positions = iter(range(len(main.instructions)))
    made: dict[int, tuple[int, int, int]] = {}

    def expanded(b: Builder, i: Instruction) -> int | None:
        position = next(positions)
        if position in found:
            parts = _Rows(b, i).emit()
            made[parts[0]] = parts
            return parts[0]
        if i.op == "get-tuple-element" and main.instructions[position].operands[0] in found:
            return made[i.operands[0]][i["index"]]
        return None

    rewritten = program.with_main(rewrite(main, expanded))
    if any(f.name == SUM for f in program.functions):
        return rewritten
    return replace(rewritten, functions=(_sum(), *rewritten.functions))


def _sum() -> Function:
    b, scalar = Builder(), Shape("f32", ())
    x, y = (b.op("parameter", scalar, number=n) for n in range(2))
    return b.function(SUM, (b.op("add", scalar, x, y),))


def _normalizes_rows(main: Function, i: Instruction) -> bool:
    if i.op != "batch-norm-training":
        return False
    shape, feature = main.instructions[i.operands[0]].array, i["feature_index"]
    before, row = shape.dims[:feature], shape.dims[feature + 1 :]
    return shape.dtype == "f32" and prod(before) == 1 and prod(row) > 1 and shape.size > 0


class _Rows:
    def __init__(self, b: Builder, i: Instruction) -> None:
        self.b, self.i = b, i
        self.x, self.scale, self.offset = i.operands
        self.shape = b.instructions[self.x].array
        self.line = b.instructions[self.scale].array
        self.rows = Shape("f32", (self.line.dims[0], self.shape.size // self.line.dims[0]))

    def op(self, op: str, shape: Shape, *operands: int, **attrs: object) -> int:
        return self.b.op(op, shape, *operands, metadata=self.i.metadata, **attrs)

    def number(self, value: float) -> int:
        constant = self.b.constant(Literal.of(np.array(value, np.float32)))
        return self.op("broadcast", self.line, constant, dimensions=())

    def spread(self, value: int) -> int:
        return self.op("broadcast", self.rows, value, dimensions=(0,))

    def mean(self, value: int) -> int:
        zero = self.b.constant(Literal.of(np.array(0, np.float32)))
        total = self.b.emit(
            Instruction(
                "reduce",
                self.line,
                (value, zero),
                (("dimensions", (1,)),),
                (SUM,),
                self.i.metadata,
            )
        )
        return self.op("divide", self.line, total, self.number(self.rows.dims[1]))

    def emit(self) -> tuple[int, int, int]:
        """The normalized rows, their mean and their variance."""
        x = self.op("reshape", self.rows, self.x)
        mean = self.mean(x)
        centred = self.op("subtract", self.rows, x, self.spread(mean))
        variance = self.mean(self.op("multiply", self.rows, centred, centred))
        shifted = self.op("add", self.line, variance, self.number(self.i["epsilon"]))
        factor = self.op("rsqrt", self.line, shifted)
        # A layer norm is captured with a scale of ones and an offset of zeros: its own come after.
        if not self.repeats(self.scale, 1):
            factor = self.op("multiply", self.line, factor, self.scale)
        made = self.op("multiply", self.rows, centred, self.spread(factor))
        if not self.repeats(self.offset, 0):
            made = self.op("add", self.rows, made, self.spread(self.offset))
        return self.op("reshape", self.shape, made), mean, variance

    def repeats(self, value: int, number: float) -> bool:
        """Whether a value is known to be one number throughout."""
        i = self.b.instructions[value]
        if i.op == "broadcast":
            return self.repeats(i.operands[0], number)
        return i.op == "constant" and bool((i["literal"].numpy() == number).all())
