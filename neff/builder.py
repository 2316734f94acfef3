"""Building a function instruction by instruction, and rewriting one in a single sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import NO_METADATA, Metadata, attributes
from hlo_frontend.hlo.types import Shape
from neff.program import Function, Instruction


class Builder:
    """A function under construction. Values are positions in `instructions`."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []

    def emit(self, instruction: Instruction) -> int:
        self.instructions.append(instruction)
        return len(self.instructions) - 1

    def op(
        self,
        op: str,
        shape: Shape,
        *operands: int,
        metadata: Metadata = NO_METADATA,
        **attrs: object,
    ) -> int:
        """Emit an instruction that makes an array."""
        return self.emit(Instruction(op, shape, operands, attributes(**attrs), (), metadata))

    def constant(self, literal: Literal) -> int:
        return self.op("constant", literal.shape, literal=literal)

    def function(self, name: str, results: tuple[int, ...]) -> Function:
        return Function(name, tuple(self.instructions), results)


Rule = Callable[[Builder, Instruction], int | None]


def rewrite(function: Function, rule: Rule) -> Function:
    """Rebuild a function, asking `rule` about each instruction with its operands already rebuilt.

    The rule returns the value that stands for the instruction, emitting what it needs, or None to
    keep the instruction. What the rule makes unused stays until dead code is eliminated.
    """
    builder = Builder()
    values: list[int] = []
    for instruction in function.instructions:
        moved = tuple(values[o] for o in instruction.operands)
        if moved != instruction.operands:
            instruction = replace(instruction, operands=moved)
        value = rule(builder, instruction)
        values.append(builder.emit(instruction) if value is None else value)
    return builder.function(function.name, tuple(values[r] for r in function.results))


def renumber_parameters(function: Function, number: Sequence[int] | Mapping[int, int]) -> Function:
    """The function with parameter n called `number[n]`."""

    def renumbered(i: Instruction) -> Instruction:
        if i.op != "parameter":
            return i
        return replace(i, attrs=attributes(number=number[i["number"]]))

    return replace(function, instructions=tuple(map(renumbered, function.instructions)))
