"""Instructions of a region as steps of a tile program, from the result upwards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from neff.program import Function, Instruction
from runtime.units.ops import ELEMENTWISE, READ_AS, TYPES, ops_of, rounding
from runtime.units.registers import Immediate, Source, Step
from runtime.units.space import MOVEMENT, Index, Map, Space, SplitError, UnsaidError, step_back

# Instructions that lie between the result and what it is made of, as deep as Python's stack allows.
MOST_MEMBERS = 160
# A value that is needed at several indices is made for each; this many steps are too many.
MOST_STEPS = 1000
# The elements of a constant that are looked at, to see whether they are one value.
SMALL = 4096
_READ_THROUGH = frozenset({"broadcast", "reshape", "slice"})
# What a reduction starts with where it adds nothing to it. Sums of short floats would be rounded
# one by one.
NEUTRAL: dict[tuple[str, str], float] = {
    ("reduce-add", "f32"): 0.0,
    ("reduce-multiply", "f32"): 1.0,
    **{("reduce-maximum", dtype): -np.inf for dtype in ("f32", "bf16", "f16")},
    **{("reduce-minimum", dtype): np.inf for dtype in ("f32", "bf16", "f16")},
    ("reduce-maximum", "pred"): 0.0,
    ("reduce-minimum", "pred"): 1.0,
}


class Use(NamedTuple):
    """Where in a buffer the element of an index is; a stride for each atom of the space."""

    dtype: str
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lowered:
    """Steps, the values that their operands are, how these and then the result lie."""

    steps: tuple[Step, ...]
    operands: tuple[int, ...]
    uses: tuple[Use, ...]
    anchor: Map = ()
    anchor_read: bool = False


class Reductions(NamedTuple):
    """What the reductions of a region have in common: the atoms they reduce, in order.

    `ops` are the steps that the bodies are, by function.
    """

    columns: tuple[int, ...]
    ops: dict[str, str]


@dataclass(slots=True)
class Lowering:
    """The making of one tile program, for one space."""

    function: Function
    members: Sequence[int]
    space: Space
    anchor: int | None = None
    reductions: Reductions | None = None
    visible: Collection[int] = frozenset()  # values outside that are there in any case
    steps: list[Step] = field(default_factory=list)
    operands: list[int] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    seen: dict[int, set[Map]] = field(default_factory=dict)  # the maps of each value
    _values: dict[tuple[int, Map], Source] = field(default_factory=dict)
    _inside: frozenset[int] = frozenset()
    _count: int = 1  # of values; 0 is the anchor's

    def made(self) -> Lowered:
        """The whole program. Raises UnsaidError or SplitError."""
        result = self.members[-1]
        self._inside = frozenset(self.members)
        array = self.function.instructions[result].array
        if len(self.members) > MOST_MEMBERS or 0 in array.dims or array.dtype not in TYPES:
            raise UnsaidError(f"{len(self.members)} members that make {array}")
        value = self.space.identity[: len(array.dims)]
        self.steps.append(Step("store", -1, (self._value(result, value),)))
        output = Use(array.dtype, *self.space.strides(array.dims, value))
        anchor = self._anchor_map()
        return Lowered(
            tuple(self.steps),
            tuple(self.operands),
            (*self.uses, output),
            anchor,
            self.anchor is not None,
        )

    def _anchor_map(self) -> Map:
        if self.anchor is None:
            return ()
        maps = self.seen.get(self.anchor, set())
        if len(maps) != 1:
            raise UnsaidError(f"the anchor is read at {len(maps)} indices")
        (found,) = maps
        atoms = [atom for index in found for atom in index.atoms]
        if sorted(atoms) != list(range(len(self.space.sizes))):
            raise UnsaidError("the anchor and the result have other elements")
        if any(index.start or index.step != 1 for index in found):
            raise UnsaidError("the anchor is sliced")
        return found

    def _emit(self, op: str, *sources: Source, operand: int = 0) -> int:
        if len(self.steps) >= MOST_STEPS:
            raise UnsaidError(f"more than {MOST_STEPS} steps")
        self._count += 1
        self.steps.append(Step(op, self._count - 1, sources, operand))
        return self._count - 1

    def _value(self, position: int, at: Map) -> Source:
        """The value of an instruction at indices; of one of another region, loaded."""
        key = position, at
        if key not in self._values:
            self.seen.setdefault(position, set()).add(at)
            self._values[key] = self._fresh(position, at)
        return self._values[key]

    def _fresh(self, position: int, at: Map) -> Source:
        i = self.function.instructions[position]
        constant = _immediate(i)
        if constant is not None:
            return constant
        if position == self.anchor:
            return self._then(0, rounding(i.array.dtype))
        if position not in self._inside:
            return self._load(*self._source(position, at))
        if i.op in MOVEMENT:
            (operand,) = i.operands
            return self._value(operand, step_back(self.space, i, self._dims(operand), at))
        if i.op == "reduce":
            return self._reduce(i, at)
        if i.op in ELEMENTWISE:
            return self._elementwise(i, at)
        raise UnsaidError(f"{i.op} has no op")

    def _dims(self, position: int) -> tuple[int, ...]:
        return self.function.instructions[position].array.dims

    def _source(self, position: int, at: Map) -> tuple[int, Map]:
        """What a value outside the region only moves, if that is visible, or the value."""
        found, there = position, at
        while (i := self.function.instructions[found]).op in _READ_THROUGH:
            found = i.operands[0]
            try:
                there = step_back(self.space, i, self._dims(found), there)
            except (SplitError, UnsaidError):
                return position, at
        shown = i.op in ("parameter", "constant") or found in self.visible
        return (found, there) if shown else (position, at)

    def _load(self, position: int, at: Map) -> Source:
        i = self.function.instructions[position]
        constant = _immediate(i)
        if constant is not None:
            return constant
        key = position, at
        if key in self._values and position not in self._inside:
            return self._values[key]
        if i.array.dtype not in READ_AS:
            raise UnsaidError(f"an operand of type {i.array.dtype}")
        dtype = READ_AS[i.array.dtype]
        use = Use(dtype, *self.space.strides(i.array.dims, at))
        if i.array.dtype == "s64":
            use = Use(dtype, 2 * use.offset, tuple(2 * stride for stride in use.strides))
        self.operands.append(position)
        self.uses.append(use)
        self.seen.setdefault(position, set()).add(at)
        self._values[key] = self._emit("load", operand=len(self.uses) - 1)
        return self._values[key]

    def _elementwise(self, i: Instruction, at: Map) -> Source:
        first = self.function.instructions[i.operands[0]].array
        ops = ops_of(i, first.dtype)
        sources = self._operands(i, at)
        if not ops:
            return sources[0]
        made = self._shorter(ops[0], sources)
        return self._then(self._emit(ops[0], *sources) if made is None else made, ops[1:])

    def _shorter(self, op: str, sources: Sequence[Source]) -> Source | None:
        """The value of an op by faster ones, as exact, where its second operand is a number."""
        if op not in ("divide", "power") or not isinstance(sources[1], Immediate):
            return None
        first, number = sources[0], _float(sources[1])
        if op == "divide":
            exact = abs(np.frexp(number)[0]) == 0.5 and 2.0**-126 <= abs(number) <= 2.0**126
            return self._emit("multiply", first, Immediate.of(1 / number)) if exact else None
        if number not in (2.0, 3.0):
            return None
        square = self._emit("multiply", first, first)
        return square if number == 2.0 else self._emit("multiply", square, first)

    def _then(self, value: Source, ops: Sequence[str]) -> Source:
        for op in ops:
            value = self._emit(op, value)
        return value

    def _operands(self, i: Instruction, at: Map) -> list[Source]:
        """The operands' values, those that are loaded last: they wait in no register."""
        maps = {o: at if self._dims(o) == i.array.dims else () for o in i.operands}
        for operand in sorted(dict.fromkeys(i.operands), key=self._is_loaded):
            self._value(operand, maps[operand])
        return [self._value(o, maps[o]) for o in i.operands]

    def _is_loaded(self, position: int) -> bool:
        while position in self._inside and position != self.anchor:
            i = self.function.instructions[position]
            if i.op not in MOVEMENT:
                return False
            position = i.operands[0]
        return position != self.anchor

    def _reduce(self, i: Instruction, at: Map) -> Source:
        if self.reductions is None or len(i.operands) != 2:
            raise UnsaidError("a reduction that goes on in no row")
        columns, ops = self.reductions
        operand, start = i.operands
        dims, reduced = self._dims(operand), sorted(i["dimensions"])
        rows = {atom for index in at for atom in index.atoms}
        if rows | set(columns) != set(range(len(self.space.sizes))) or rows & set(columns):
            raise UnsaidError("a reduction's rows are not the region's")
        op, dtype = ops.get(i.bodies[0], ""), i.array.dtype
        if (op, dtype) not in NEUTRAL:
            raise UnsaidError(f"a reduction of {dtype} that has no op")
        dealt = iter(self.space.distribute(columns, [dims[d] for d in reduced]))
        kept = iter(at)
        there = tuple(Index(next(dealt)) if d in reduced else next(kept) for d in range(len(dims)))
        made: Source = self._emit(op, self._value(operand, there))
        initial = self._value(start, ())
        if isinstance(initial, Immediate) and _float(initial) == NEUTRAL[op, dtype]:
            return made
        return self._emit(op.removeprefix("reduce-"), made, initial)


def _immediate(i: Instruction) -> Immediate | None:
    """A constant whose elements are all the same."""
    if i.op != "constant" or i.array.dtype not in TYPES or not 0 < i.array.size <= SMALL:
        return None
    array: np.ndarray = i["literal"].numpy().reshape(-1)
    raw = array.view(f"u{array.itemsize}")
    if (raw != raw[0]).any():
        return None
    if i.array.dtype == "s32":
        return Immediate(int(raw[0]))
    return Immediate.of(array[:1].astype(np.float32)[0])


def _float(immediate: Immediate) -> float:
    return float(np.uint32(immediate.bits).view(np.float32))
