"""The HLO data model: frozen modules, computations and instructions.

Instructions of a computation are in dependency order; an operand is the position of the
instruction that makes it. Attributes are a tuple of (name, value) pairs sorted by name. The names
and value types, per opcode, are the `attrs` of the table in `hlo_frontend.hlo.ops`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.types import AnyShape, Signature

Attributes = tuple[tuple[str, Any], ...]


def attributes(**values: Any) -> Attributes:
    """Attributes in their canonical order."""
    return tuple(sorted(values.items()))


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where an instruction comes from: framework operator, layer path and user's source line."""

    op_type: str = ""
    op_name: str = ""
    source_file: str = ""
    source_line: int = 0


NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True)
class HloInstruction:
    """One instruction. `calls` names computations in the order of `called_computation_ids`."""

    name: str
    opcode: str
    shape: AnyShape
    operands: tuple[int, ...] = ()
    attrs: Attributes = ()
    calls: tuple[str, ...] = ()
    metadata: Metadata = NO_METADATA

    def __getitem__(self, name: str) -> Any:
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(f"{self.opcode} {self.name} has no attribute {name}")


@dataclass(frozen=True, slots=True)
class HloComputation:
    """A function: `instructions` in dependency order, the position of its `root`."""

    name: str
    instructions: tuple[HloInstruction, ...]
    root: int

    @property
    def parameters(self) -> tuple[int, ...]:
        """Positions of the parameter instructions, by parameter number."""
        found = [
            (i["number"], p) for p, i in enumerate(self.instructions) if i.opcode == "parameter"
        ]
        return tuple(p for _, p in sorted(found))

    @property
    def signature(self) -> Signature:
        """Shapes of the parameters and of the root."""
        shapes = tuple(self.instructions[p].shape for p in self.parameters)
        return shapes, self.instructions[self.root].shape


@dataclass(frozen=True, slots=True)
class Alias:
    """Output `output_index` of the entry computation shares storage with a parameter."""

    output_index: tuple[int, ...]
    parameter: int
    parameter_index: tuple[int, ...] = ()
    must_alias: bool = False


@dataclass(frozen=True, slots=True)
class HloModule:
    """A module: computations in dependency order (callees first), the entry one last."""

    name: str
    computations: tuple[HloComputation, ...]
    entry_name: str
    aliases: tuple[Alias, ...] = ()
    frontend_attributes: tuple[tuple[str, str], ...] = field(default=())

    @property
    def entry(self) -> HloComputation:
        return self.computation(self.entry_name)

    def computation(self, name: str) -> HloComputation:
        for computation in self.computations:
            if computation.name == name:
                return computation
        raise KeyError(f"module {self.name} has no computation {name}")


def callees_first(
    computations: tuple[HloComputation, ...], entry: str
) -> tuple[HloComputation, ...]:
    """Computations in dependency order, as near to the order given as that allows, the entry last.

    Raises HloError if a computation calls itself, directly or not, or one that is not there.
    """
    by_name = {c.name: c for c in computations}
    done: dict[str, HloComputation] = {}
    names = [c.name for c in computations if c.name != entry]
    for name in (*names, entry):
        _place(name, by_name, done)
    return tuple(done.values())


def _place(name: str, by_name: dict[str, HloComputation], done: dict[str, HloComputation]) -> None:
    """Append a computation to `done` after those it calls; a stack, for call chains may be long."""
    stack, open_names = [name], set[str]()
    while stack:
        current = stack[-1]
        if current not in by_name:
            raise HloError(f"hlo: a called computation must be in the module, got %{current}")
        if current in done:
            open_names.discard(stack.pop())
            continue
        calls = dict.fromkeys(c for i in by_name[current].instructions for c in i.calls)
        waiting = [c for c in calls if c not in done]
        if not waiting:
            done[current] = by_name[current]
            continue
        open_names.add(current)
        if not open_names.isdisjoint(waiting):
            raise HloError(f"hlo: a computation must not call itself, got %{current}")
        stack.extend(reversed(waiting))
