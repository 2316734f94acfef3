"""From the errors of instructions to those of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neff.printing import print_instruction
from neff.program import Instruction, Kind, Program
from torch_neuronx.accuracy.difference import EXACT, Difference
from torch_neuronx.accuracy.programs import layer_path
from torch_neuronx.accuracy.report import InstructionError, LayerError
from torch_neuronx.accuracy.walk import Measured


@dataclass(frozen=True, slots=True)
class Graph:
    """The captured program, as the report speaks of it."""

    program: Program
    layers: tuple[str, ...]  # for every position
    leaving: frozenset[int]  # positions that another layer reads, or the caller
    computed: frozenset[int]  # positions that depend on an input: all else is weights and constants

    @staticmethod
    def of(program: Program) -> Graph:
        main = program.main
        layers = tuple(layer_path(i) for i in main.instructions)
        leaving = set(main.results)
        for position, users in enumerate(main.users()):
            if any(layers[u] != layers[position] for u in users):
                leaving.add(position)
        return Graph(program, layers, frozenset(leaving), _computed(program))

    def __getitem__(self, position: int) -> Instruction:
        return self.program.main.instructions[position]


def _computed(program: Program) -> frozenset[int]:
    computed: set[int] = set()
    for position, i in program.main.numbered():
        is_input = i.op == "parameter" and program.inputs[i["number"]].kind is Kind.INPUT
        if is_input or not computed.isdisjoint(i.operands):
            computed.add(position)
    return frozenset(computed)


class Ledger:
    """The errors of a setting's values, by position in the captured program.

    A weight or constant is off as soon as it is rounded: that error is charged to what reads it.
    """

    def __init__(self, graph: Graph, measured: Iterable[Measured], tolerance: float) -> None:
        self.graph = graph
        self.tolerance = tolerance
        self.measured: Mapping[int, Measured] = {
            m.mark: m for m in measured if m.mark in graph.computed
        }

    def first_drift(self) -> InstructionError | None:
        """The first instruction beyond the tolerance whose operands are not."""
        return self._drift(list(self.measured.values()))

    def layers(self) -> tuple[LayerError, ...]:
        """The layers in the order in which they end."""
        members: dict[str, list[Measured]] = {}
        for m in self.measured.values():
            layer = self.graph.layers[m.mark]
            members.setdefault(layer, []).append(m)
            members[layer] = members.pop(layer)  # last is who ended last
        return tuple(self._layer(layer, found) for layer, found in members.items())

    def _layer(self, layer: str, found: Sequence[Measured]) -> LayerError:
        leaving = [m for m in found if m.mark in self.graph.leaving]
        own = _worst(m.own for m in leaving)
        origin = self._origin(found, own)
        source = origin.source if origin else _source(self.graph[found[-1].mark])
        return LayerError(
            layer,
            source,
            len(found),
            _worst(m.accumulated for m in leaving),
            self._incoming_of_layer(layer, found),
            own,
            origin,
            self._drift(found),
        )

    def _origin(self, found: Sequence[Measured], own: Difference) -> InstructionError | None:
        if own.relative == 0.0:
            return None
        half = own.relative / 2
        first = next(m for m in found if m.own.relative >= half)
        return self._quoted(first.mark, first.own, self._incoming(first.mark, own=True))

    def _drift(self, found: Sequence[Measured]) -> InstructionError | None:
        for m in found:
            incoming = self._incoming(m.mark)
            if m.accumulated.relative > self.tolerance >= incoming:
                return self._quoted(m.mark, m.accumulated, incoming)
        return None

    def _incoming(self, mark: int, own: bool = False) -> float:
        """The largest relative error among the operands; within the layer only, with `own`."""
        errors = [0.0]
        for o in self.graph[mark].operands:
            if o in self.measured and not own:
                errors.append(self.measured[o].accumulated.relative)
            elif o in self.measured and self.graph.layers[o] == self.graph.layers[mark]:
                errors.append(self.measured[o].own.relative)
        return max(errors)

    def _incoming_of_layer(self, layer: str, found: Sequence[Measured]) -> float:
        entering = {
            o for m in found for o in self.graph[m.mark].operands if self.graph.layers[o] != layer
        }
        errors = (self.measured[o].accumulated.relative for o in entering if o in self.measured)
        return max(errors, default=0.0)

    def _quoted(self, position: int, error: Difference, incoming: float) -> InstructionError:
        i = self.graph[position]
        return InstructionError(
            print_instruction(i, position),
            i.metadata.op_type,
            _source(i),
            self.graph.layers[position],
            error,
            incoming,
        )


def _worst(errors: Iterable[Difference]) -> Difference:
    return max(errors, key=lambda e: e.relative, default=EXACT)


def _source(i: Instruction) -> str:
    m = i.metadata
    return f"{m.source_file}:{m.source_line}" if m.source_file else ""
