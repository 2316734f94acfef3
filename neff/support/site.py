"""One instruction in its surroundings: what a rule of support looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hlo_frontend.hlo.module import HloComputation, HloInstruction, HloModule
from hlo_frontend.hlo.ops import OPS, Trait
from hlo_frontend.hlo.types import AnyShape, ElementType, Shape, TupleShape
from neff.options import CompileOptions
from neff.targets import TARGETS, Target


@dataclass(frozen=True, slots=True)
class Site:
    """An instruction of a verified module, and the options it is compiled with."""

    module: HloModule
    computation: HloComputation
    position: int
    options: CompileOptions

    @property
    def instruction(self) -> HloInstruction:
        return self.computation.instructions[self.position]

    @property
    def target(self) -> Target:
        return TARGETS[self.options.target]

    @property
    def operands(self) -> tuple[AnyShape, ...]:
        """The shapes of the operands."""
        known = self.computation.instructions
        return tuple(known[o].shape for o in self.instruction.operands)

    def array(self, number: int) -> Shape:
        """The shape of an operand that must be an array."""
        shape = self.operands[number]
        assert isinstance(shape, Shape)  # the verifier holds the ops that ask for it to arrays
        return shape

    def element(self, number: int) -> ElementType:
        """The element type of an operand that must be an array."""
        return self.array(number).element


def leaves(shape: AnyShape) -> Iterator[Shape]:
    """The arrays of a shape, in order."""
    if isinstance(shape, Shape):
        yield shape
    elif isinstance(shape, TupleShape):
        for element in shape.elements:
            yield from leaves(element)


def live_sites(module: HloModule, options: CompileOptions) -> Iterator[Site]:
    """Every instruction that a result or an effect of the module depends on, callees first.

    The rest is removed before anything is made of it: PyTorch's max_pool2d brings along how to
    find the indices that nobody asked for.
    """
    reached = {module.entry_name}
    sites: list[Site] = []
    for computation in reversed(module.computations):
        if computation.name not in reached:
            continue
        live = _live(computation)
        sites += [Site(module, computation, p, options) for p in sorted(live, reverse=True)]
        for position in live:
            reached.update(computation.instructions[position].calls)
    yield from reversed(sites)


def _live(computation: HloComputation) -> set[int]:
    waiting = [computation.root]
    waiting += [p for p, i in enumerate(computation.instructions) if _has_effect(i)]
    live: set[int] = set()
    while waiting:
        position = waiting.pop()
        if position not in live:
            live.add(position)
            waiting += computation.instructions[position].operands
    return live


def _has_effect(i: HloInstruction) -> bool:
    if i.opcode == "custom-call":
        return bool(dict(i.attrs).get("custom_call_has_side_effect", False))
    return Trait.SIDE_EFFECT in OPS[i.opcode].traits
