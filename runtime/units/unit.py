"""Instructions of a program that one call of a native kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from runtime.units.contraction import Contraction
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
