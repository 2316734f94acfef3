"""`--enable-mixed-precision-accumulation`: a softmax or a norm is one operator, f32 inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from hlo_frontend.hlo.types import SHORT_FLOATS, Shape
from neff.builder import Builder
from neff.ops import ELEMENTWISE
from neff.passes.accumulate import REDUCTIONS
from neff.program import Function, Instruction, Program

# What stands for a rounding that the program asks for stays one.
ROUNDINGS = frozenset({"convert", "reduce-precision", "stochastic-convert"})
INSIDE = (ELEMENTWISE - ROUNDINGS) | {"broadcast", "reshape"}


def compute_operators_in_f32(program: Program) -> Program:
    """Leave values in f32 between the reductions of an operator and what reads them.

    After `accumulate_in_f32`, short floats go to f32 into a reduction, and back. Where what is made
    of the reduction meets, element by element, what went into it, the two and all between are one
    operator: intermediate results are not rounded, its results are, once. Values that only it
    reads are part of it.
    """
    return replace(program, functions=tuple(_widened(f) for f in program.functions))


def _widened(function: Function) -> Function:
    inside = _Operators(function).inside
    return _Widening(function, inside).made() if inside else function


class _Operators:
    """Which values of a function are computed in f32 because they are inside an operator."""

    def __init__(self, function: Function) -> None:
        self.instructions = function.instructions
        self.users = function.users()
        self.results = frozenset(function.results)
        self.inside: set[int] = set()
        entering: set[int] = set()
        for position, i in function.numbered():
            if i.op in REDUCTIONS and isinstance(i.shape, Shape):
                entering |= self._reduction(position, i)
        if entering:
            self._absorb(entering)

    def _reduction(self, position: int, i: Instruction) -> set[int]:
        """Add the operator around a reduction; the conversion into it, if there is one."""
        entry = i.operands[0]
        if not self._converts(entry, to_short=False):
            return set()
        leaving = [u for u in self.users[position] if self._converts(u, to_short=True)]
        source = self.instructions[entry].operands[0]
        before = self._reach([source], lambda n: self.instructions[n].operands) | {source}
        after = self._reach(leaving, self.users.__getitem__)
        ends = {
            n
            for n in after
            if any(o in before and o not in after for o in self.instructions[n].operands)
        }
        self.inside |= ends
        self.inside |= after & self._reach(ends, lambda n: self.instructions[n].operands)
        return {entry}

    def _converts(self, position: int, *, to_short: bool) -> bool:
        i = self.instructions[position]
        if i.op != "convert":
            return False
        pair = (self.instructions[i.operands[0]].array.dtype, i.array.dtype)
        short, wide = pair[::-1] if to_short else pair
        return short in SHORT_FLOATS and wide == "f32"

    def _reach(self, start: Iterable[int], neighbours: Callable[[int], Iterable[int]]) -> set[int]:
        """Values inside operators that are reached from some by way of such values."""
        found: set[int] = set()
        pending = [n for s in start for n in neighbours(s)]
        while pending:
            n = pending.pop()
            if n not in found and self._may_be_inside(n):
                found.add(n)
                pending.extend(neighbours(n))
        return found

    def _may_be_inside(self, position: int) -> bool:
        i = self.instructions[position]
        return i.op in INSIDE and isinstance(i.shape, Shape) and i.shape.dtype in SHORT_FLOATS

    def _absorb(self, entering: set[int]) -> None:
        """Add the values that only operators read, users first."""
        for position in range(len(self.instructions) - 1, -1, -1):
            users = self.users[position]
            read_inside = users and all(u in self.inside or u in entering for u in users)
            if read_inside and position not in self.results and self._may_be_inside(position):
                self.inside.add(position)


class _Widening:
    """A function rebuilt with the values inside operators in f32."""

    def __init__(self, function: Function, inside: set[int]) -> None:
        self.function, self.inside = function, inside
        self.b = Builder()
        self.values: list[int] = []  # as the function had them, or in f32 if inside
        self.short: dict[int, int] = {}
        self.wide: dict[int, int] = {}

    def made(self) -> Function:
        for position, i in self.function.numbered():
            self.values.append(self._emit(position, i))
        results = tuple(self._short(r) for r in self.function.results)
        return self.b.function(self.function.name, results)

    def _emit(self, position: int, i: Instruction) -> int:
        if position in self.inside:
            operands = tuple(self._wide(o) for o in i.operands)
            return self.b.emit(replace(i, shape=Shape("f32", i.array.dims), operands=operands))
        if i.op == "convert" and i.array.dtype == "f32" and self._is_short(i.operands[0]):
            return self._wide(i.operands[0])
        return self.b.emit(replace(i, operands=tuple(self._short(o) for o in i.operands)))

    def _is_short(self, old: int) -> bool:
        shape = self.function.instructions[old].shape
        return isinstance(shape, Shape) and shape.dtype in SHORT_FLOATS

    def _short(self, old: int) -> int:
        """A value in the type it had."""
        if old not in self.inside:
            return self.values[old]
        if old not in self.short:
            i = self.function.instructions[old]
            self.short[old] = self.b.op("convert", i.array, self.values[old], metadata=i.metadata)
        return self.short[old]

    def _wide(self, old: int) -> int:
        """A value in f32: before it was rounded, where an operator or a reduction made it."""
        if old in self.inside or not self._is_short(old):
            return self.values[old]
        i = self.function.instructions[old]
        if i.op == "convert" and self.function.instructions[i.operands[0]].op in REDUCTIONS:
            source = self.function.instructions[i.operands[0]].shape
            if isinstance(source, Shape) and source.dtype == "f32":
                return self.values[i.operands[0]]
        if old not in self.wide:
            wide = Shape("f32", i.array.dims)
            value = self.values[old]
            self.wide[old] = self.b.op("convert", wide, value, metadata=i.metadata)
        return self.wide[old]
