"""Well-formed programs for the tests: written ones, and random ones of hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.program import Function, Instruction, Kind, Program, Variable, Weight

F32 = "f32"
UNARY = ("negate", "tanh", "abs", "copy")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum")
FILLS = (0.0, -0.0, 1.0, 2.5)


def reducer(name: str, op: str, dtype: str = F32) -> Function:
    """The function `(a, b) -> op(a, b)` on scalars."""
    b, scalar = Builder(), Shape(dtype)
    x, y = (b.op("parameter", scalar, number=n) for n in (0, 1))
    return b.function(name, (b.op(op, scalar, x, y),))


def program(
    b: Builder, *results: int, inputs: list[Variable], bodies: tuple[Any, ...] = ()
) -> Program:
    """A program of a builder's instructions; outputs are named as lowering names them."""
    outputs = tuple(Variable(f"output{n}", b.instructions[r].array) for n, r in enumerate(results))
    return Program("test", (*bodies, b.function("main", results)), tuple(inputs), outputs)


def input_variable(name: str, *dims: int, dtype: str = F32) -> Variable:
    return Variable(name, Shape(dtype, dims))


def weight_variable(name: str, array: np.ndarray) -> Variable:
    weight = Weight.of(array)
    return Variable(name, weight.shape, Kind.WEIGHT, weight)


def parameters(b: Builder, inputs: list[Variable]) -> list[int]:
    return [b.op("parameter", v.shape, number=n) for n, v in enumerate(inputs)]


def constant(b: Builder, value: float | np.ndarray) -> int:
    return b.constant(Literal.of(np.asarray(value, np.float32)))


def arguments(p: Program, seed: int = 0) -> tuple[np.ndarray, ...]:
    """A value for every input: random for the caller's, its own for a weight."""
    random = np.random.default_rng(seed)
    return tuple(
        v.weight.array
        if v.weight is not None
        else random.standard_normal(v.shape.dims).astype(v.shape.numpy)
        for v in p.inputs
    )


@st.composite
def random_programs(draw: st.DrawFn) -> Program:
    """Programs of up to 24 instructions on matrices: every rule of `simplify` can meet its case."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    inputs = [
        input_variable("x", n, m),
        weight_variable("w", np.arange(n * m, dtype=np.float32).reshape(n, m) - 1),
    ]
    b = Builder()
    values = parameters(b, inputs)
    for _ in range(draw(st.integers(1, 24))):
        values.append(_step(draw, b, values))
    results = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return program(b, *results, inputs=inputs, bodies=(reducer("sum", "add"),))


def _step(draw: st.DrawFn, b: Builder, values: list[int]) -> int:
    x = draw(st.sampled_from(values))
    shape = b.instructions[x].array
    alike = [v for v in values if b.instructions[v].shape == shape]
    kind = draw(
        st.sampled_from(
            (
                "unary",
                "binary",
                "fill",
                "transpose",
                "reshape",
                "slice",
                "dot",
                "reduce",
                "convert",
                "select",
                "concatenate",
            )
        )
    )
    match kind:
        case "unary":
            return b.op(draw(st.sampled_from(UNARY)), shape, x)
        case "binary":
            return b.op(draw(st.sampled_from(BINARY)), shape, x, draw(st.sampled_from(alike)))
        case "fill":
            fill = constant(b, draw(st.sampled_from(FILLS)))
            spread = b.op("broadcast", shape, fill, dimensions=())
            operands = (x, spread) if draw(st.booleans()) else (spread, x)
            return b.op(draw(st.sampled_from((*BINARY, "divide"))), shape, *operands)
        case "transpose":
            return b.op("transpose", Shape(F32, shape.dims[::-1]), x, dimensions=(1, 0))
        case "reshape":
            line = b.op("reshape", Shape(F32, (shape.size,)), x)
            return b.op(
                "reshape", draw(st.sampled_from((shape, Shape(F32, shape.dims[::-1])))), line
            )
        case "slice":
            rows = draw(st.integers(1, shape.dims[0]))
            bounds = ((0, rows, 1), (0, shape.dims[1], 1))
            return b.op("slice", Shape(F32, (rows, shape.dims[1])), x, slice=bounds)
        case "dot":
            flipped = b.op("transpose", Shape(F32, shape.dims[::-1]), x, dimensions=(1, 0))
            made = Shape(F32, (shape.dims[0], shape.dims[0]))
            numbers = DotDimensionNumbers((1,), (0,))
            return b.op("dot", made, x, flipped, dot_dimension_numbers=numbers)
        case "reduce":
            zero = constant(b, 0.0)
            line = Shape(F32, (shape.dims[0],))
            attrs = (("dimensions", (1,)),)
            summed = b.emit(Instruction("reduce", line, (x, zero), attrs, ("sum",)))
            return b.op("broadcast", shape, summed, dimensions=(0,))
        case "convert":
            wide = b.op("convert", Shape("f64", shape.dims), x)
            return b.op("convert", shape, wide)
        case "select":
            other = draw(st.sampled_from(alike))
            mask = b.op("compare", Shape("pred", shape.dims), x, other, direction="GT")
            return b.op("select", shape, mask, x, other)
        case _:
            return b.op("concatenate", shape, x, dimensions=(0,))
