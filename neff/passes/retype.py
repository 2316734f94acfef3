"""Holding the values of a program in other element types, its inputs and outputs as they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import Attributes, Metadata
from hlo_frontend.hlo.types import ELEMENT_TYPES, AnyShape, Shape, TupleShape
from neff.builder import Builder
from neff.errors import CompileError
from neff.printing import quote
from neff.program import Function, Instruction, Program

Types = Mapping[str, str]
Keeps = Callable[[Instruction, tuple[AnyShape, ...]], bool]
Special = Callable[[Builder, Instruction, Shape], int]


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return array.astype(dtype)


@dataclass(frozen=True, slots=True)
class Retyping:
    """Values of a type in `types` are held in the type it maps to.

    An instruction that `keeps` names computes in its own types, and is converted to and from.
    `special` holds the ops that mean something else in the new type: they get the instruction as
    retyped, and the shape it had. `constant` turns a constant's values into another type.
    Converts of parameters carry `note`; where `refused` is set, what a kept op of that name makes
    may not be converted.
    """

    who: str
    types: Types
    keeps: Keeps = lambda i, operands: False
    special: Mapping[str, Special] = field(default_factory=dict)
    constant: Callable[[np.ndarray, np.dtype], np.ndarray] = _cast
    note: Attributes = ()
    refused: str = ""


def retype_shape(shape: AnyShape, types: Types) -> AnyShape:
    """The shape with its element types mapped, those of a tuple's elements too."""
    if isinstance(shape, TupleShape):
        return TupleShape(tuple(retype_shape(e, types) for e in shape.elements))
    if isinstance(shape, Shape) and shape.dtype in types:
        return Shape(types[shape.dtype], shape.dims)
    return shape


def mentions(program: Program, types: Types) -> bool:
    """Whether an instruction of the program makes a value of one of the types."""
    shapes = (i.shape for f in program.functions for i in f.instructions)
    return any(retype_shape(s, types) != s for s in shapes)


def retype_program(program: Program, how: Retyping) -> Program:
    """The program retyped; functions that only kept instructions call stay as they are."""
    calls = _Calls(program, how)
    functions: list[Function] = []
    for function in program.functions[:-1]:
        if function.name in calls.kept:
            name = calls.kept[function.name]
            functions.append(_renamed(function, name, calls.kept))
        if function.name not in calls.kept or function.name in calls.retyped:
            functions.append(_Sweep(function, how, entry=False, kept=calls.kept).function())
    main = _Sweep(program.main, how, entry=True, kept=calls.kept).function()
    return replace(program, functions=(*functions, main))


def retype_function(function: Function, how: Retyping, name: str = "") -> Function:
    """A function other than the entry: its parameters and results change types as well."""
    made = _Sweep(function, how, entry=False, kept={}).function()
    return replace(made, name=name or function.name)


def _renamed(function: Function, name: str, names: Mapping[str, str]) -> Function:
    instructions = tuple(
        replace(i, bodies=tuple(names[b] for b in i.bodies)) for i in function.instructions
    )
    return Function(name, instructions, function.results)


class _Calls:
    """Which functions kept instructions call, by the name they get, and which the others call."""

    def __init__(self, program: Program, how: Retyping) -> None:
        self.how = how
        self.functions = {f.name: f for f in program.functions}
        self.retyped: set[str] = set()
        self.wide: set[str] = set()
        self._reach(program.main.name, wide=False)
        self.kept = {n: f"{n}.wide" if n in self.retyped else n for n in self.wide}

    def _reach(self, name: str, wide: bool) -> None:
        reached = self.wide if wide else self.retyped
        if name in reached:
            return
        reached.add(name)
        instructions = self.functions[name].instructions
        for i in instructions:
            operands = tuple(instructions[o].shape for o in i.operands)
            kept = wide or (bool(i.bodies) and self.how.keeps(i, operands))
            for body in i.bodies:
                self._reach(body, kept)


class _Sweep:
    """One function being rebuilt; `values` are where the old values are, in either type."""

    def __init__(
        self, source: Function, how: Retyping, *, entry: bool, kept: Mapping[str, str]
    ) -> None:
        self.source, self.how, self.entry, self.kept = source, how, entry, kept
        self.b = Builder()
        self.values: list[int] = []
        self.converted: dict[tuple[int, AnyShape], int] = {}

    def function(self) -> Function:
        for i in self.source.instructions:
            self.values.append(self._emit(i))
        shapes = [self.source.instructions[r].shape for r in self.source.results]
        if not self.entry:
            shapes = [retype_shape(s, self.how.types) for s in shapes]
        results = (self.values[r] for r in self.source.results)
        made = tuple(self._as(v, s) for v, s in zip(results, shapes, strict=True))
        return self.b.function(self.source.name, made)

    def _emit(self, i: Instruction) -> int:
        shape = retype_shape(i.shape, self.how.types)
        operands = tuple(self.values[o] for o in i.operands)
        if i.op == "parameter":
            return self.b.emit(i if self.entry else replace(i, shape=shape))
        wanted = [self.source.instructions[o].shape for o in i.operands]
        if self.how.keeps(i, tuple(wanted)):
            own = tuple(self._as(v, s) for v, s in zip(operands, wanted, strict=True))
            bodies = tuple(self.kept.get(name, name) for name in i.bodies)
            return self.b.emit(replace(i, operands=own, bodies=bodies))
        if i.op == "get-tuple-element":
            return self._element(i, operands[0])
        if i.op == "constant":
            return self._constant(i, shape)
        short = [retype_shape(s, self.how.types) for s in wanted]
        new = tuple(self._as(v, s) for v, s in zip(operands, short, strict=True))
        made = replace(i, shape=shape, operands=new)
        if i.op == "convert" and self.b.instructions[new[0]].shape == shape:
            return new[0]
        special = self.how.special.get(i.op)
        operand = wanted[0] if wanted else None
        if special is not None and operand != short[0] and isinstance(operand, Shape):
            return special(self.b, made, operand)
        return self.b.emit(made)

    def _element(self, i: Instruction, value: int) -> int:
        """An element of a tuple, in whichever type the tuple holds it."""
        whole = self.b.instructions[value].shape
        assert isinstance(whole, TupleShape)
        return self.b.emit(replace(i, shape=whole.elements[i["index"]], operands=(value,)))

    def _constant(self, i: Instruction, shape: AnyShape) -> int:
        if shape == i.shape or not isinstance(shape, Shape):
            return self.b.emit(i)  # a tuple stays as it is, its elements are converted
        literal = Literal.of(self.how.constant(i["literal"].numpy(), shape.numpy))
        attrs = tuple((k, literal if k == "literal" else v) for k, v in i.attrs)
        return self.b.emit(replace(i, shape=shape, attrs=attrs))

    def _as(self, value: int, shape: AnyShape) -> int:
        """The value in a type: itself, or a conversion, made once."""
        source = self.b.instructions[value]
        if source.shape == shape:
            return value
        key = (value, shape)
        if key not in self.converted:
            self.converted[key] = self._conversion(value, source, shape)
        return self.converted[key]

    def _conversion(self, value: int, source: Instruction, shape: AnyShape) -> int:
        if isinstance(shape, TupleShape):
            return self._tuple_as(value, source, shape)
        if source.op == self.how.refused:
            raise CompileError(
                f"{self.how.who}: {source.op} makes the bits of {source.shape}, which cannot be "
                f"held as {shape}{quote(source, value)}\n"
                "  try: --target trn2 --native-int64 enabled"
            )
        note = self.how.note if source.op == "parameter" else ()
        instruction = Instruction("convert", shape, (value,), note, (), source.metadata)
        return self.b.emit(instruction)

    def _tuple_as(self, value: int, source: Instruction, shape: TupleShape) -> int:
        parts = [
            self._as(self._part(value, source, n, source.metadata), element)
            for n, element in enumerate(shape.elements)
        ]
        return self.b.emit(Instruction("tuple", shape, tuple(parts), metadata=source.metadata))

    def _part(self, value: int, source: Instruction, index: int, metadata: Metadata) -> int:
        assert isinstance(source.shape, TupleShape)
        element = source.shape.elements[index]
        attrs: Attributes = (("index", index),)
        return self.b.emit(Instruction("get-tuple-element", element, (value,), attrs, (), metadata))


def kind_of(shape: AnyShape) -> frozenset[str]:
    """The kinds of the element types in a shape: "float", "signed", "complex", …"""
    if isinstance(shape, TupleShape):
        return frozenset[str]().union(*(kind_of(e) for e in shape.elements))
    return frozenset({ELEMENT_TYPES[shape.dtype].kind}) if isinstance(shape, Shape) else frozenset()
