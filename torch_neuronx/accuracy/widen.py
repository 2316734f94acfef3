"""The same program in float64: the yardstick that shows what float32 itself loses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hlo_frontend.hlo.literal import Literal, TupleLiteral
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from neff.errors import CompileError
from neff.ops import RANDOM
from neff.printing import quote
from neff.program import Function, Instruction, Kind, Program, Variable
from neff.verify import verify_program

WIDE = {"float": "f64", "complex": "c128"}
# What depends on the bits of a value, not on the value.
BITWISE = frozenset({"bitcast-convert"})


def widen(program: Program) -> Program:
    """The program with f64 for every float and c128 for every complex type.

    Its inputs are the caller's, weights too. Roundings that the user's program asks for by
    converting to a shorter type are gone with the rest.
    Raises CompileError for an instruction that has no meaning in f64.
    """
    functions = tuple(_function(f) for f in program.functions)
    inputs = tuple(_variable(v) for v in program.inputs)
    outputs = tuple(replace(v, shape=_array(v.shape)) for v in program.outputs)
    made = replace(program, functions=functions, inputs=inputs, outputs=outputs, aliases=())
    verify_program(made, "widen")
    return made


def _variable(v: Variable) -> Variable:
    return Variable(v.name, _array(v.shape), Kind.INPUT)


def _function(function: Function) -> Function:
    made = tuple(_instruction(i, p) for p, i in function.numbered())
    return replace(function, instructions=made)


def _instruction(i: Instruction, position: int) -> Instruction:
    if i.op in BITWISE | RANDOM:
        raise CompileError(
            f"accuracy_report: reference='fp64' needs ops whose meaning does not depend on the "
            f"element type, got {i.op}{quote(i, position)}\n  try: reference='fp32'"
        )
    attrs = tuple((name, _attribute(value)) for name, value in i.attrs)
    return replace(i, shape=widened(i.shape), attrs=attrs)


def _attribute(value: Any) -> Any:
    if isinstance(value, TupleLiteral):
        return TupleLiteral(tuple(_attribute(e) for e in value.elements))
    if not isinstance(value, Literal):
        return value
    shape = _array(value.shape)
    with np.errstate(invalid="ignore"):
        return Literal.of(value.numpy().astype(shape.numpy))


def widened(shape: AnyShape) -> AnyShape:
    if isinstance(shape, TupleShape):
        return TupleShape(tuple(widened(e) for e in shape.elements))
    return _array(shape) if isinstance(shape, Shape) else shape


def _array(shape: Shape) -> Shape:
    return Shape(WIDE.get(shape.element.kind, shape.dtype), shape.dims)
