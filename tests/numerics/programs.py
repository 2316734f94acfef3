"""Random programs whose rounding errors can be bounded, and random programs of integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.program import Function, Instruction, Program
from tests.neff.programs import input_variable, parameters, program, reducer, weight_variable


@dataclass(frozen=True, slots=True)
class Bounded:
    """A program of f32, and for each output how far it may be from float64 when every value on
    the way is rounded by at most `unit` of its size: a function of `unit`.
    """

    program: Program
    drift: tuple[tuple[float, float], ...]  # of each output: units of drift, largest size

    def tolerance(self, output: int, unit: float) -> float:
        units, size = self.drift[output]
        return units * unit + 1e-5 * size


class _Growing:
    """A program under construction; of each value, its drift in units and its largest size."""

    def __init__(self, rows: int, columns: int) -> None:
        random = np.random.default_rng(0)
        weight = random.uniform(-1, 1, (rows, columns)).astype(np.float32)
        self.inputs = [input_variable("x", rows, columns), weight_variable("w", weight)]
        self.b = Builder()
        self.values = parameters(self.b, self.inputs)
        self.known = dict.fromkeys(self.values, (1.0, 1.0))  # inputs are read rounded

    def add(self, value: int, drift: float, size: float) -> int:
        self.known[value] = (drift + size, size)  # its own rounding comes on top
        self.values.append(value)
        return value

    def tame(self, value: int) -> None:
        """A tanh, of slope one at most, keeps what follows small."""
        drift, _ = self.known[value]
        made = self.b.op("tanh", self.b.instructions[value].array, value)
        self.add(made, drift, 1.0)


@st.composite
def bounded_programs(draw: st.DrawFn) -> Bounded:
    """Up to eight operations on matrices with values between -1 and 1, each followed by tanh."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    g = _Growing(rows, columns)
    for _ in range(draw(st.integers(1, 8))):
        _grow(draw, g)
    results = draw(st.lists(st.sampled_from(g.values), min_size=1, max_size=3))
    made = program(g.b, *results, inputs=g.inputs, bodies=(reducer("sum", "add"),))
    return Bounded(made, tuple(g.known[r] for r in results))


def _grow(draw: st.DrawFn, g: _Growing) -> None:
    b = g.b
    small = [v for v in g.values if g.known[v][1] <= 1]
    x = draw(st.sampled_from(small))
    shape, (dx, _) = b.instructions[x].array, g.known[x]
    y = draw(st.sampled_from([v for v in small if b.instructions[v].array == shape]))
    dy = g.known[y][0]
    match draw(st.sampled_from(("add", "multiply", "maximum", "turn", "dot", "reduce", "copy"))):
        case "dot":
            k = shape.dims[1]
            turned = g.add(
                b.op("transpose", Shape("f32", shape.dims[::-1]), y, dimensions=(1, 0)), dy, 1.0
            )
            square = Shape("f32", (shape.dims[0], shape.dims[0]))
            numbers = DotDimensionNumbers((1,), (0,))
            made = b.op("dot", square, x, turned, dot_dimension_numbers=numbers)
            # Operands may be rounded once more for the product.
            g.tame(g.add(made, k * (dx + dy + 4), k))
        case "reduce":
            zero = b.constant(Literal.of(np.float32(0)))
            n = shape.dims[1]
            attrs = (("dimensions", (1,)),)
            line = Instruction("reduce", Shape("f32", shape.dims[:1]), (x, zero), attrs, ("sum",))
            summed = b.emit(line)
            spread = b.op("broadcast", shape, summed, dimensions=(0,))
            g.tame(g.add(spread, n * dx + n * n, n))  # each partial sum may be rounded
        case "turn":
            g.add(b.op("transpose", Shape("f32", shape.dims[::-1]), x, dimensions=(1, 0)), dx, 1.0)
        case "copy":
            g.add(b.op("copy", shape, x), dx, 1.0)
        case "maximum":
            g.add(b.op("maximum", shape, x, y), max(dx, dy), 1.0)
        case op:
            g.tame(g.add(b.op(op, shape, x, y), dx + dy, 2.0))


@st.composite
def integer_programs(draw: st.DrawFn) -> Program:
    """Up to ten operations on s64 matrices, clamped so that nothing leaves 32 bits."""
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    inputs = [
        input_variable("x", rows, columns, dtype="s64"),
        weight_variable("w", np.arange(rows * columns).reshape(rows, columns) - 2),
    ]
    b = Builder()
    values = parameters(b, inputs)
    for _ in range(draw(st.integers(1, 10))):
        values.append(_integer_step(draw, b, values))
    results = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    bodies: tuple[Function, ...] = (reducer("sum", "add", "s64"),)
    return program(b, *results, inputs=inputs, bodies=bodies)


INTEGER_OPS = ("add", "subtract", "multiply", "maximum", "and", "xor", "negate", "not", "abs")
OTHERS = ("count-leading-zeros", "popcnt", "f32", "s32", "turn", "reduce", "select", "iota")


def _integer_step(draw: st.DrawFn, b: Builder, values: list[int]) -> int:
    x = draw(st.sampled_from(values))
    shape = b.instructions[x].array
    y = draw(st.sampled_from([v for v in values if b.instructions[v].array == shape]))
    match draw(st.sampled_from((*INTEGER_OPS, *OTHERS))):
        case "f32" | "s32" as dtype:
            other = b.op("convert", Shape(dtype, shape.dims), x)
            return b.op("convert", shape, other)
        case "turn":
            return b.op("transpose", Shape("s64", shape.dims[::-1]), x, dimensions=(1, 0))
        case "iota":
            return b.op("iota", shape, iota_dimension=1)
        case "select":
            mask = b.op("compare", Shape("pred", shape.dims), x, y, direction="LT")
            return b.op("select", shape, mask, x, y)
        case "reduce":
            attrs = (("dimensions", (1,)),)
            zero = b.constant(Literal.of(np.int64(0)))
            line = Shape("s64", shape.dims[:1])
            summed = b.emit(Instruction("reduce", line, (x, zero), attrs, ("sum",)))
            made = b.op("broadcast", shape, summed, dimensions=(0,))
        case "negate" | "not" | "abs" | "count-leading-zeros" | "popcnt" as op:
            made = b.op(op, shape, x)
        case op:
            made = b.op(op, shape, x, y)
    low, high = (b.constant(Literal.of(np.int64(limit))) for limit in (-1000, 1000))
    return b.op("clamp", shape, low, made, high)
