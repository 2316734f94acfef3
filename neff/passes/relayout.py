"""`--fast-math fast-relayout`: the PE array turns f32 tensors, in a shorter type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hlo_frontend.hlo.types import AnyShape, Shape
from neff.builder import Builder
from neff.passes.auto_cast import ELEMENT_TYPES
from neff.program import Function, Instruction, Kind, Program


@dataclass(frozen=True)
class Relayout:
    """Round what a transpose of f32 moves to `type`.

    Weights are turned when compiling, without loss; what is only read in a shorter type is rounded
    there.
    """

    type: str

    @property
    def __name__(self) -> str:
        return f"relayout_{self.type}"

    def __call__(self, program: Program) -> Program:
        weights = {n for n, v in enumerate(program.inputs) if v.kind is Kind.WEIGHT}
        main = program.main
        held = {p for p, i in main.numbered() if i.op == "parameter" and i["number"] in weights}
        functions = [self.rewrite(f, held if f is main else frozenset()) for f in program.functions]
        return replace(program, functions=tuple(functions))

    def rewrite(self, function: Function, held: set[int] | frozenset[int]) -> Function:
        users = function.users()
        b = Builder()
        values: list[int] = []
        for position, i in function.numbered():
            moved = replace(i, operands=tuple(values[o] for o in i.operands))
            readers = [function.instructions[u] for u in users[position]]
            lossy = i.op == "transpose" and _is_f32(i.shape) and i.operands[0] not in held
            if lossy and not _is_read_short(readers, position in function.results):
                values.append(self.rounded(b, moved))
            else:
                values.append(b.emit(moved))
        return b.function(function.name, tuple(values[r] for r in function.results))

    def rounded(self, b: Builder, i: Instruction) -> int:
        """The transpose in the short type, and what it makes as f32 again."""
        operand, metadata = i.operands[0], i.metadata
        short = ELEMENT_TYPES[self.type]
        narrow = b.op(
            "convert", Shape(short, b.instructions[operand].array.dims), operand, metadata=metadata
        )
        turned = b.emit(replace(i, shape=Shape(short, i.array.dims), operands=(narrow,)))
        return b.op("convert", i.array, turned, metadata=metadata)


def _is_f32(shape: AnyShape) -> bool:
    return isinstance(shape, Shape) and shape.dtype == "f32"


def _is_read_short(readers: Sequence[Instruction], is_result: bool) -> bool:
    """Whether every reader converts what it reads to 16 bits or fewer."""
    return not is_result and all(r.op == "convert" and r.array.element.bits <= 16 for r in readers)
