"""Which regions of a program run as one native kernel, and what is left to the interpreter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from hlo_frontend.hlo.types import Shape
from neff.program import Function, Instruction, Kind, Program, Region
from runtime.units.chain import chained
from runtime.units.contraction import contraction, packed_words
from runtime.units.moves import concatenation, picked_rows
from runtime.units.ops import ELEMENTWISE, READ_AS, TYPES
from runtime.units.rows import row_code
from runtime.units.space import MOVEMENT
from runtime.units.tile import TileCode, tile_code
from runtime.units.unit import Slot, Unit
from runtime.units.weights import Copied, Held, Packed, Written
from runtime.units.windows import windows

# Ops whose results have no denormals.
_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "dot", "convolution"})
# The anchors of regions that kernels run.
_ANCHORS = frozenset({"dot", "convolution", "reduce", "reduce-window"})
# Elements of which a pass is worth a kernel: XLA makes it on one thread, to which what the others
# made has to come first.
MANY = 16 * 1024
# Elements that no cache keeps: there XLA gains more by writing over what it reads.
MOST = 1024 * 1024
# Bytes of a weight that is worth having twice where others read it, too.
MOST_COPIED = 64 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """The units of a program's entry function by their result, and the values that are needed."""

    units: Mapping[int, Unit]
    held: tuple[Held, ...]
    live: frozenset[int]
    inputs: frozenset[int]  # numbers of the parameters that are read as they are


def plan(program: Program, everything: bool = False, check_bounds: bool = True) -> Plan:
    """A unit for each region that a native kernel can run, and where it is worth it.

    With `everything`, also where it is not: for a program in which JAX is to have no part. What
    JAX does not see, kernels are to check: whether gathers leave their operands.
    """
    return _Planner(program, everything, check_bounds).plan()


class _Planner:
    """A program, what is asked of its plan, and the weights that are to be held so far."""

    def __init__(self, program: Program, everything: bool, check_bounds: bool) -> None:
        self.program = program
        self.main = program.main
        self.everything = everything
        self.check_bounds = check_bounds
        self.visible = self._visible()
        self.held: dict[Held, int] = {}

    def plan(self) -> Plan:
        main = self.main
        found: dict[int, Unit] = {}
        for region in self.program.regions:
            made = self._unit(region)
            if made is None or (not self.everything and _is_one_pass(main, region, made, found)):
                continue
            found[made.result] = made
        found = chained(found, _readers(main, found))
        found = {position: self._holding(unit) for position, unit in found.items()}
        live = _live(main, found)
        inputs = {main.instructions[p]["number"] for p in main.parameters if p in live}
        found = {position: unit for position, unit in found.items() if position in live}
        return Plan(found, tuple(self.held), frozenset(live), frozenset(inputs))

    def _visible(self) -> frozenset[int]:
        """The values that are there for all: what regions end in, and what JAX computes within
        them. What is within a region of a kernel may be computed by that only."""
        found = {p for p, i in self.main.numbered() if i.op in ("constant", "parameter")}
        for region in self.program.regions:
            within = region.anchor in _ANCHORS or self._is_pass(region)
            found.update(region.members[-1:] if within else region.members)
        return frozenset(found)

    def _is_pass(self, region: Region) -> bool:
        """Whether a region is elementwise, of many elements, and a kernel makes of them what XLA
        does. If everything is asked for: of any number, and also where they are only moved.

        Where a kernel rounds to bf16 denormals are zero. What is computed has none, as XLA
        computes.
        """
        main = self.main
        made = main.instructions[region.members[-1]]
        if region.anchor != made.op or not isinstance(made.shape, Shape):
            return False
        if self.everything:
            worth = made.op in ELEMENTWISE or made.op in MOVEMENT
        else:
            most = math.inf if _rounds(made) else MOST
            worth = made.op in ELEMENTWISE and MANY <= made.array.size <= most
        if not worth:
            return False
        rounded = [i for i in map(main.instructions.__getitem__, region.members) if _rounds(i)]
        return all(_is_computed(main, i.operands[0]) for i in rounded)

    def _unit(self, region: Region) -> Unit | None:
        anchors = [p for p in region.members if self.main.instructions[p].op == region.anchor]
        if region.anchor in ("dot", "convolution"):
            found = self._contraction(region, anchors[0])
        elif _of_arrays(self.main, region):
            found = self._of_rows(region, anchors)
        else:
            found = None
        return self._move(region) if found is None and self.everything else found

    def _of_rows(self, region: Region, anchors: list[int]) -> Unit | None:
        """A reduction's or a pass's unit: of rows, or of windows."""
        in_rows = region.anchor == "reduce" or self._is_pass(region)
        code = row_code(self.program, region.members, self.visible) if in_rows else None
        if code is None and region.anchor in ("reduce", "reduce-window") and len(anchors) == 1:
            found = self._windows(region, anchors[0])
            if found is not None:
                return found
        if code is None and in_rows and self.everything and _is_small(self.main, region):
            code = row_code(self.program, region.members, self.visible, near=False)
        return None if code is None else _rows(region, code)

    def _move(self, region: Region) -> Unit | None:
        position = region.members[-1]
        match self.main.instructions[position].op:
            case "concatenate":
                return concatenation(self.main, position)
            case "gather":
                return picked_rows(self.main, position, self.check_bounds)
        return None

    def _contraction(self, region: Region, anchor: int) -> Unit | None:
        reachable = partial(self._reachable, region)
        found = contraction(self.main, anchor, reachable, self.everything)
        if found is None:
            return None
        after, code = self._following(region, anchor, found.columns)
        if code is None:
            return None
        weight = _weight(self.program, found.right)
        slot = None if weight is None else self._slot(Packed.of(weight, found))
        words = (*packed_words(found.words, slot is not None), *code.words)
        operands = (found.left, found.right if slot is None else slot, *code.operands)
        return Unit(after[-1], "neuron_contraction", words, operands, code, found)

    def _windows(self, region: Region, anchor: int) -> Unit | None:
        reachable = partial(self._reachable, region)
        found = windows(self.program, anchor, reachable, self.everything)
        if found is None:
            return None
        after, code = self._following(region, anchor, found.columns)
        if code is None:
            return None
        words, operands = (*found.words, *code.words), (found.source, *code.operands)
        return Unit(after[-1], "neuron_windows", words, operands)

    def _reachable(self, region: Region, position: int) -> bool:
        """Whether a region's anchor can read through an instruction what that is made of.

        A value that several read is converted once.
        """
        i = self.main.instructions[position]
        shown = all(o in self.visible or o in region.members for o in i.operands)
        return shown and (i.op != "convert" or position in region.members)

    def _following(
        self, region: Region, anchor: int, columns: int
    ) -> tuple[list[int], TileCode | None]:
        """The anchor and what a kernel computes after it, and how; the rest is left to JAX."""
        before = _ancestors(self.main, anchor, set(region.members))
        after = [p for p in region.members if p not in before]
        code = tile_code(self.main, after, anchor, columns, self.visible)
        if code is not None:
            return after, code
        return [anchor], tile_code(self.main, [anchor], anchor, columns)

    def _slot(self, held: Held) -> Slot:
        return Slot(self.held.setdefault(held, len(self.held)))

    def _holding(self, unit: Unit) -> Unit:
        """The unit with its small weights held beside those that are packed: each argument of a
        program costs some of every call. Constants, too, where JAX makes none."""

        def place(operand: int | Slot) -> int | Slot:
            if isinstance(operand, Slot):
                return operand
            i = self.main.instructions[operand]
            if self.everything and i.op == "constant" and i.array.dtype in READ_AS:
                return self._slot(Written(i["literal"]))
            digest = _weight(self.program, operand)
            if digest is None or i.array.dtype not in TYPES or i.array.bytes > MOST_COPIED:
                return operand
            return self._slot(Copied(digest, i.array))

        return replace(unit, operands=tuple(map(place, unit.operands)))


def _is_small(main: Function, region: Region) -> bool:
    """Whether no member makes, or reads, many elements."""
    near = {p for m in region.members for p in (m, *main.instructions[m].operands)}
    return all(main.instructions[p].array.size < MANY for p in near)


def _is_one_pass(main: Function, region: Region, unit: Unit, units: Mapping[int, Unit]) -> bool:
    """Whether XLA, which makes what a reduction is of, reduces it as it does so."""
    if region.anchor != "reduce" or unit.kernel != "neuron_windows":
        return False
    source = unit.reads[0]
    return source not in units and main.instructions[source].op in ELEMENTWISE


def _rounds(i: Instruction) -> bool:
    return i.op == "convert" and isinstance(i.shape, Shape) and i.array.dtype == "bf16"


def _is_computed(main: Function, position: int) -> bool:
    """Whether a value is what arithmetic makes, however it was moved since."""
    pending = [position]
    seen: set[int] = set()
    while pending:
        i = main.instructions[pending.pop()]
        if i.op in MOVEMENT or i.op == "concatenate":
            pending.extend(set(i.operands) - seen)
            seen.update(i.operands)
        elif i.op not in _ARITHMETIC:
            return False
    return True


def _of_arrays(main: Function, region: Region) -> bool:
    """Whether the members make arrays, of arrays that have elements."""
    shapes = [
        main.instructions[p].shape
        for m in region.members
        for p in (m, *main.instructions[m].operands)
    ]
    return all(isinstance(s, Shape) and s.size > 0 for s in shapes)


def _rows(region: Region, code: TileCode) -> Unit:
    return Unit(region.members[-1], "neuron_rows", code.words, code.operands, code)


def _ancestors(main: Function, position: int, members: set[int]) -> set[int]:
    """The members that a value is made of."""
    found: set[int] = set()
    pending = [position]
    while pending:
        new = (set(main.instructions[pending.pop()].operands) & members) - found
        found |= new
        pending.extend(new)
    return found


def _weight(program: Program, position: int) -> str | None:
    """The digest of the weight that a value is."""
    i = program.main.instructions[position]
    if i.op != "parameter":
        return None
    variable = program.inputs[i["number"]]
    if variable.kind is not Kind.WEIGHT or variable.weight is None:
        return None
    return variable.weight.digest


def _live(main: Function, units: Mapping[int, Unit]) -> set[int]:
    """The values that are needed, from the results backwards."""
    needed: set[int] = set()
    pending = [*main.results]
    while pending:
        position = pending.pop()
        if position not in needed:
            needed.add(position)
            pending.extend(_reads(main, units, position))
    return needed


def _reads(main: Function, units: Mapping[int, Unit], position: int) -> tuple[int, ...]:
    """The values that a value is made of by its unit, or by its instruction."""
    unit = units.get(position)
    return main.instructions[position].operands if unit is None else unit.reads


def _readers(main: Function, units: Mapping[int, Unit]) -> Counter[int]:
    """How often each value is needed; by one that needs it several times, once."""
    found = Counter(main.results)
    for position in _live(main, units):
        found.update(set(_reads(main, units, position)))
    return found
