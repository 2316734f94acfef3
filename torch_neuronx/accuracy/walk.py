"""Runs the reference and a setting's program side by side, one instruction at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hlo_frontend.hlo.types import Shape
from neff.program import Function, Program
from runtime.probe import Probe, canonical
from torch_neuronx.accuracy.difference import EXACT, Difference, difference
from torch_neuronx.accuracy.programs import marked_position

Value = Any  # a value of the runtime


@dataclass(frozen=True, slots=True)
class Measured:
    """A value of the reference, by its mark, and how far the setting's value is from it.

    `accumulated` is the error that arrives here; `own` is the error where every input of the
    layer is the reference's, rounded to the type in which the layer takes it.
    """

    mark: int
    accumulated: Difference
    own: Difference


class Execution:
    """A program run instruction by instruction. A value is dropped when nothing reads it again."""

    def __init__(self, probe: Probe, program: Program, arguments: Sequence[np.ndarray]) -> None:
        self.probe = probe
        self.program = program
        self.instructions = program.main.instructions
        self.arguments = arguments
        self.functions = {f.name: _unplaced(f) for f in program.functions[:-1]}
        self._unread = [len(users) for users in program.main.users()]
        for result in program.main.results:
            self._unread[result] += 1  # results stay

    def parameter(self, position: int) -> Value:
        """A parameter's value: placed when read, for weights together may take much memory."""
        i = self.instructions[position]
        return self.probe.convert(self.probe.place(self.arguments[i["number"]]), i.shape)

    def run(self, position: int, operands: Sequence[Value]) -> Value:
        return self.probe.run(self.functions, self.instructions[position], position, operands)

    def keep(self, position: int) -> None:
        """Count one more reader of a value."""
        self._unread[position] += 1

    def release(self, position: int) -> bool:
        """Count a reading; whether it was the last."""
        self._unread[position] -= 1
        return self._unread[position] == 0

    def read(self, position: int) -> bool:
        """Whether anything reads a value."""
        return self._unread[position] > 0

    def holds(self, position: int) -> np.ndarray | None:
        """The host's array that a parameter is, where its value is that array."""
        i = self.instructions[position]
        if i.op != "parameter":
            return None
        array = self.arguments[i["number"]]
        return array if isinstance(i.shape, Shape) and array.dtype == i.shape.numpy else None


def _unplaced(function: Function) -> Function:
    """The function as no engine runs it, so that it equals itself before placement."""
    made = tuple(replace(i, engine=None) for i in function.instructions)
    return replace(function, instructions=made)


class Reference(Execution):
    """The reference, which runs as far as it is asked to."""

    def __init__(
        self,
        probe: Probe,
        program: Program,
        arguments: Sequence[np.ndarray],
        watched: frozenset[int] = frozenset(),
    ) -> None:
        """`watched` are the marks whose values will be asked for, each once."""
        super().__init__(probe, program, arguments)
        self.position: dict[int, int] = {}
        for position, i in program.main.numbered():
            mark = marked_position(i)
            assert mark is not None
            self.position[mark] = position
            if mark in watched:
                self.keep(position)
        self._values: dict[int, Value] = {}
        self._next = 0

    def value(self, mark: int) -> Value:
        """The value of a watched mark."""
        position = self.position[mark]
        while self._next <= position:
            self._step()
        value = self._values[position]
        self._release(position)
        return value

    def results(self) -> list[np.ndarray]:
        """The program's results, in order."""
        while self._next < len(self.instructions):
            self._step()
        return [np.asarray(self._read(r)) for r in self.program.main.results]

    def _step(self) -> None:
        position, i = self._next, self.instructions[self._next]
        self._next += 1
        if i.op == "parameter":
            return
        value = self.run(position, [self._read(o) for o in i.operands])
        if self.read(position):
            self._values[position] = value
        for operand in i.operands:
            self._release(operand)

    def _read(self, position: int) -> Value:
        if self.instructions[position].op == "parameter":
            return self.parameter(position)
        return self._values[position]

    def _release(self, position: int) -> None:
        if self.release(position):
            self._values.pop(position, None)


@dataclass(frozen=True, slots=True)
class _Values:
    """One value of the setting's program, three times."""

    drifted: Value  # all that was cast so far
    own: Value  # this layer cast, its inputs exact
    exact: Value  # the reference's, in the type of this program
    same: bool  # drifted is the very value of the reference
    layer: str


def compare(
    reference: Reference, cast: Execution, marks: dict[int, int], layers: Sequence[str]
) -> Iterator[Measured]:
    """Measure every value of the cast program that has a counterpart, in program order.

    `marks` has the mark of each such value, `layers` the layer's path for every mark.
    """
    walk = _Walk(reference, cast, marks, layers)
    for position, i in cast.program.main.numbered():
        if i.op != "parameter":
            measured = walk.step(position)
            if measured is not None:
                yield measured


class _Walk:
    def __init__(
        self, reference: Reference, cast: Execution, marks: dict[int, int], layers: Sequence[str]
    ) -> None:
        self.reference = reference
        self.cast = cast
        self.marks = marks
        self.layers = layers
        self.values: dict[int, _Values] = {}
        self._same_functions = cast.functions == reference.functions

    def step(self, position: int) -> Measured | None:
        operands = self.cast.instructions[position].operands
        inputs = [self._read(o) for o in operands]
        mark = self.marks.get(position)
        layer = self._layer(position, inputs)
        drifted_in = [v.drifted for v in inputs]
        own_in = [v.own if v.layer == layer else v.exact for v in inputs]
        measured = None
        if mark is None:
            drifted = self.cast.run(position, drifted_in)
            own = self._again(position, own_in, drifted_in, drifted)
            exact = self._again(position, [v.exact for v in inputs], drifted_in, drifted)
            made = _Values(drifted, own, exact, False, layer)
        else:
            expected = self.reference.value(mark)
            same = all(v.same for v in inputs) and self._computes_the_same(position, mark)
            drifted = expected if same else self.cast.run(position, drifted_in)
            own = self._again(position, own_in, drifted_in, drifted)
            exact = self.cast.probe.convert(expected, self.cast.instructions[position].shape)
            made = _Values(drifted, own, exact, same, layer)
            measured = self._measure(mark, made, expected)
        if self.cast.read(position):
            self.values[position] = made
        for operand in operands:
            if self.cast.release(operand):
                self.values.pop(operand, None)
        return measured

    def _measure(self, mark: int, made: _Values, expected: Value) -> Measured | None:
        if expected is None or isinstance(expected, tuple):  # its elements are measured
            return None
        if made.same:
            return Measured(mark, EXACT, EXACT)
        array = np.asarray(expected)
        accumulated = difference(np.asarray(made.drifted), array)
        alone = made.own is made.drifted
        own = accumulated if alone else difference(np.asarray(made.own), array)
        return Measured(mark, accumulated, own)

    def _again(
        self, position: int, operands: list[Value], known: list[Value], result: Value
    ) -> Value:
        """The value for other operands, or the known result where they are the same."""
        if all(o is k for o, k in zip(operands, known, strict=True)):
            return result
        return self.cast.run(position, operands)

    def _read(self, position: int) -> _Values:
        if self.cast.instructions[position].op != "parameter":
            return self.values[position]
        value = self.cast.parameter(position)
        return _Values(value, value, value, self._same_parameter(position), "")

    def _same_parameter(self, position: int) -> bool:
        mark = self.marks.get(position)
        if mark is None:
            return False
        held = self.reference.holds(self.reference.position[mark])
        return held is not None and held is self.cast.holds(position)

    def _computes_the_same(self, position: int, mark: int) -> bool:
        ours = self.cast.instructions[position]
        theirs = self.reference.instructions[self.reference.position[mark]]
        alike = self._same_functions or not ours.bodies
        return alike and canonical(ours) == canonical(theirs)

    def _layer(self, position: int, inputs: list[_Values]) -> str:
        """Of an instruction without a mark: the layer of what it reads."""
        mark = marked_position(self.cast.instructions[position])
        if mark is not None:
            return self.layers[mark]
        return next((v.layer for v in inputs if v.layer), "")
