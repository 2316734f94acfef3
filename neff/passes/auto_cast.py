"""`--auto-cast`: f32 held in a shorter type, in matrix multiplications or everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hlo_frontend.hlo.ops import OPS, Trait
from hlo_frontend.hlo.types import AnyShape, Shape
from neff.builder import Builder, rewrite
from neff.ops import ELEMENTWISE
from neff.passes.retype import Retyping, kind_of, retype_program
from neff.program import Function, Instruction, Program

# `tf32` keeps f32 storage with 8 exponent and 10 mantissa bits (AWS data-types guide).
TF32_BITS = {"exponent_bits": 8, "mantissa_bits": 10}
ELEMENT_TYPES = {"bf16": "bf16", "fp16": "f16", "fp8_e4m3": "f8e4m3"}
CAST_OPS = frozenset({"dot", "convolution"})
# Ops that compute in f32 whatever is cast: their results are rounded when something reads them.
KEPT = frozenset(
    {"bitcast-convert", "cholesky", "custom-call", "fft"}
    | {"rng", "stochastic-convert", "triangular-solve"}
)


@dataclass(frozen=True)
class AutoCast:
    """Round the f32 operands of dots and convolutions to `type`; products accumulate in f32."""

    type: str

    @property
    def __name__(self) -> str:
        return f"auto_cast_{self.type}"

    def __call__(self, program: Program) -> Program:
        return replace(program, functions=tuple(rewrite(f, self.cast) for f in program.functions))

    def cast(self, b: Builder, i: Instruction) -> int | None:
        if i.op not in CAST_OPS:
            return None
        operands = tuple(self.rounded(b, o) for o in i.operands)
        return b.emit(replace(i, operands=operands)) if operands != i.operands else None

    def rounded(self, b: Builder, value: int) -> int:
        shape, metadata = b.instructions[value].array, b.instructions[value].metadata
        if shape.dtype != "f32" or b.instructions[value].op == "reduce-precision":
            return value
        if self.type == "tf32":
            return b.op("reduce-precision", shape, value, metadata=metadata, **TF32_BITS)
        short = Shape(ELEMENT_TYPES[self.type], shape.dims)
        return b.op("convert", short, value, metadata=metadata)


def _keeps(i: Instruction, operands: tuple[AnyShape, ...]) -> bool:
    return i.op in KEPT or any("complex" in kind_of(s) for s in (i.shape, *operands))


@dataclass(frozen=True)
class AutoCastAll:
    """Hold every f32 between inputs and outputs in `type`: a value is rounded when written."""

    type: str

    @property
    def __name__(self) -> str:
        return f"auto_cast_all_{self.type}"

    def __call__(self, program: Program) -> Program:
        if self.type == "tf32":
            return round_to_tf32(program)
        types = {"f32": ELEMENT_TYPES[self.type]}
        return retype_program(program, Retyping(self.__name__, types, _keeps))


# What computes anew; all else picks values that are rounded already.
COMPUTES = (
    frozenset(n for n in ELEMENTWISE if n not in ("select", "clamp", "compare", "reduce-precision"))
    | CAST_OPS
    | {"iota", "reduce", "reduce-window", "scatter", "select-and-scatter"}
    | KEPT
)
assert not any(Trait.MOVEMENT in OPS[n].traits for n in COMPUTES)
# Ops whose bodies run as the program does; the bodies of others are accumulators, kept in f32.
CONTROL = frozenset({"call", "conditional", "while"})
SOURCES = ("parameter", "constant")


def round_to_tf32(program: Program) -> Program:
    """Round what each op computes, and inputs and constants where they are read."""
    functions = {f.name: f for f in program.functions}
    pending, reached = [program.main.name], set[str]()
    while pending:
        name = pending.pop()
        reached.add(name)
        for i in functions[name].instructions:
            pending.extend(b for b in i.bodies if i.op in CONTROL and b not in reached)
    rounded = (_round(f) if f.name in reached else f for f in program.functions)
    return replace(program, functions=tuple(rounded))


def _round(function: Function) -> Function:
    b = Builder()
    values: list[int] = []
    rounded: dict[int, int] = {}

    def round_value(value: int) -> int:
        i = b.instructions[value]
        if value not in rounded:
            same = i.op == "reduce-precision" or not _is_f32(i.shape)
            rounded[value] = value if same else _tf32(b, value)
        return rounded[value]

    for i in function.instructions:
        operands = tuple(values[o] for o in i.operands)
        if _is_tf32(i) and b.instructions[operands[0]].op in ("reduce-precision", *SOURCES):
            values.append(round_value(operands[0]))
            continue
        read = tuple(round_value(o) if b.instructions[o].op in SOURCES else o for o in operands)
        value = b.emit(replace(i, operands=read))
        values.append(round_value(value) if i.op in COMPUTES else value)
    return b.function(function.name, tuple(values[r] for r in function.results))


def _is_f32(shape: AnyShape) -> bool:
    return isinstance(shape, Shape) and shape.dtype == "f32"


def _is_tf32(i: Instruction) -> bool:
    return i.op == "reduce-precision" and dict(i.attrs) == TF32_BITS


def _tf32(b: Builder, value: int) -> int:
    i = b.instructions[value]
    return b.op("reduce-precision", i.array, value, metadata=i.metadata, **TF32_BITS)
