"""Instructions of a program that one call of a native kernel computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from neff.program import Function
from runtime.kernels.kind import Value
from runtime.units.contraction import Contraction
from runtime.units.native import Place, call
from runtime.units.tile import TileCode


class Slot(NamedTuple):
    """A weight that is held for kernels, by its number among those of the plan."""

    number: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Instructions that one call of a kernel computes; the last makes the only value read."""

    result: int
    kernel: str
    words: tuple[int, ...]
    operands: tuple[int | Slot, ...]
    code: TileCode | None = None  # what it does last
    contraction: Contraction | None = None  # what it does before, where that is one

    @property
    def reads(self) -> tuple[int, ...]:
        """The values that it needs."""
        return tuple(o for o in self.operands if not isinstance(o, Slot))

    def run(
        self, function: Function, values: Sequence[Value], places: Sequence[Place], memory: Value
    ) -> Value:
        """The value of the unit's last instruction; the weights held lie in the memory."""
        given = [places[o.number] if isinstance(o, Slot) else values[o] for o in self.operands]
        shape = function.instructions[self.result].array
        return call(self.kernel, shape, self.words, given, memory)
