"""`--enable-mixed-precision-accumulation`: sums of short floats, in f32 or as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import SHORT_FLOATS as SHORT
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from neff.builder import Builder, rewrite
from neff.passes.bodies import Bodies
from neff.program import Function, Instruction, Program

WIDE = dict.fromkeys(sorted(SHORT), "f32")
REDUCTIONS = frozenset({"reduce", "reduce-window"})
BATCH_NORMS = frozenset({"batch-norm-training", "batch-norm-grad", "batch-norm-inference"})
# A body made of these picks one of its operands: nothing is rounded, whatever the type.
SELECTING = frozenset(
    {"parameter", "maximum", "minimum", "select", "compare", "and", "or", "tuple"}
)


def accumulate_in_f32(program: Program) -> Program:
    """Let reductions and batch normalizations of short floats compute in f32 and round once."""
    bodies = Bodies(program)

    def widened(b: Builder, i: Instruction) -> int | None:
        if not _accumulates(b, i, bodies):
            return None
        operands = tuple(_wide(b, o) for o in i.operands)
        called = tuple(bodies.retyped(name, WIDE) for name in i.bodies)
        made = replace(i, shape=_widened(i.shape), operands=operands, bodies=called)
        return _rounded(b, b.emit(made), i)

    return bodies.rewrite(lambda f: rewrite(f, widened))


def _accumulates(b: Builder, i: Instruction, bodies: Bodies) -> bool:
    if i.op not in REDUCTIONS | BATCH_NORMS:
        return False
    if not any(b.instructions[o].array.dtype in SHORT for o in i.operands):
        return False
    ops = {n.op for name in i.bodies for n in bodies.source[name].instructions}
    return i.op in BATCH_NORMS or not ops <= SELECTING


def _widened(shape: AnyShape) -> AnyShape:
    if isinstance(shape, TupleShape):
        return TupleShape(tuple(_widened(e) for e in shape.elements))
    if isinstance(shape, Shape) and shape.dtype in SHORT:
        return Shape("f32", shape.dims)
    return shape


def _wide(b: Builder, value: int) -> int:
    shape = b.instructions[value].array
    if shape.dtype not in SHORT:
        return value
    return b.op("convert", Shape("f32", shape.dims), value, metadata=b.instructions[value].metadata)


def _rounded(b: Builder, value: int, i: Instruction) -> int:
    """The wide result in the types of the instruction it stands for."""
    if isinstance(i.shape, Shape):
        return _convert(b, value, i.shape, i)
    assert isinstance(i.shape, TupleShape)
    parts = []
    for n, element in enumerate(i.shape.elements):
        assert isinstance(element, Shape)
        part = Instruction(
            "get-tuple-element", _widened(element), (value,), (("index", n),), (), i.metadata
        )
        parts.append(_convert(b, b.emit(part), element, i))
    return b.emit(Instruction("tuple", i.shape, tuple(parts), metadata=i.metadata))


def _convert(b: Builder, value: int, shape: Shape, i: Instruction) -> int:
    if b.instructions[value].shape == shape:
        return value
    return b.op("convert", shape, value, metadata=i.metadata)


def accumulate_as_typed(program: Program) -> Program:
    """Write batch normalizations of short floats as the reductions they are, in their own type.

    Reductions need no change: each step of one rounds to the type of its operands.
    """
    adders: dict[str, Function] = {}

    def expanded(b: Builder, i: Instruction) -> int | None:
        if i.op != "batch-norm-training" or b.instructions[i.operands[0]].array.dtype not in SHORT:
            return None
        return _Statistics(b, i, adders).emit()

    functions = tuple(rewrite(f, expanded) for f in program.functions)
    known = {f.name for f in functions}
    added = tuple(f for name, f in adders.items() if name not in known)
    return replace(program, functions=(*added, *functions))


class _Statistics:
    """batch-norm-training as reductions: mean, mean square of the difference, scale and shift."""

    def __init__(self, b: Builder, i: Instruction, adders: dict[str, Function]) -> None:
        self.b, self.i = b, i
        self.x, self.scale, self.offset = i.operands
        self.shape = b.instructions[self.x].array
        self.line = b.instructions[self.scale].array
        self.feature: int = i["feature_index"]
        self.adder = f"add.{self.shape.dtype}"
        adders.setdefault(self.adder, _adder(self.adder, Shape(self.shape.dtype)))

    def op(self, op: str, *operands: int, shape: Shape | None = None, **attrs: object) -> int:
        made = self.b.instructions[operands[0]].array if shape is None else shape
        return self.b.op(op, made, *operands, metadata=self.i.metadata, **attrs)

    def number(self, value: float, shape: Shape) -> int:
        literal = Literal.of(np.array(value, shape.numpy))
        return self.op("broadcast", self.b.constant(literal), shape=shape, dimensions=())

    def spread(self, line: int) -> int:
        return self.op("broadcast", line, shape=self.shape, dimensions=(self.feature,))

    def mean(self, value: int) -> int:
        others = tuple(d for d in range(self.shape.rank) if d != self.feature)
        zero = self.b.constant(Literal.of(np.zeros((), self.shape.numpy)))
        attrs = (("dimensions", others),)
        total = self.b.emit(
            Instruction("reduce", self.line, (value, zero), attrs, (self.adder,), self.i.metadata)
        )
        count = self.shape.size // max(self.line.size, 1)
        return self.op("divide", total, self.number(count, self.line))

    def emit(self) -> int:
        mean = self.mean(self.x)
        centred = self.op("subtract", self.x, self.spread(mean))
        variance = self.mean(self.op("multiply", centred, centred))
        epsilon = self.number(self.i["epsilon"], self.line)
        deviation = self.op("rsqrt", self.op("add", variance, epsilon))
        factor = self.spread(self.op("multiply", self.scale, deviation))
        scaled = self.op("multiply", centred, factor)
        normal = self.op("add", scaled, self.spread(self.offset))
        parts = (normal, mean, variance)
        return self.b.emit(Instruction("tuple", self.i.shape, parts, metadata=self.i.metadata))


def _adder(name: str, scalar: Shape) -> Function:
    b = Builder()
    x, y = (b.op("parameter", scalar, number=n) for n in (0, 1))
    return b.function(name, (b.op("add", scalar, x, y),))
