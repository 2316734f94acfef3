"""Fusion: group instructions into regions that run as one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from hlo_frontend.hlo.types import Shape
from neff.ops import ELEMENTWISE, MOVEMENT
from neff.program import Function, Instruction, Program, Region

# Values the regions read, made by no kernel.
SOURCES = frozenset({"parameter", "constant"})
# An op a region can be built around: it takes what feeds it, and what follows element by element.
ANCHORS = frozenset({"dot", "convolution", "reduce", "reduce-window"})
FUSIBLE = ELEMENTWISE | MOVEMENT | ANCHORS
# A region whose kernel outgrows the instruction buffers gains nothing from fusion.
MAX_MEMBERS = 256


@dataclass(slots=True)
class _Group:
    """A region in the making, from its result upwards."""

    root: Instruction
    members: list[int] = field(default_factory=list)
    anchor: str | None = None
    rows: bool = False  # its anchors are sums over the last dimensions, which go on in rows
    # The members from which only elementwise steps, index by index, lead to the result.
    aligned: set[int] = field(default_factory=set)

    def takes(
        self,
        position: int,
        main: Function,
        readers: Sequence[int],
        shared: Sequence[int],
        following: frozenset[int],
    ) -> bool:
        """Whether an instruction that is read by members only can be one too.

        `shared` says how often each value is read, `following` which values can be computed where
        an anchor's are.
        """
        i = main.instructions[position]
        fusible = i.op in FUSIBLE and self.root.op in FUSIBLE
        if not fusible or len(self.members) >= MAX_MEMBERS:
            return False
        follows = all(r in self.aligned for r in readers)
        if self.anchor is None and not follows and position in following:
            return False
        if i.op not in ANCHORS:
            if self.anchor is None or self.rows or follows or i.op in MOVEMENT:
                return True
            # What feeds an anchor is better off after the one that it follows itself. A value that
            # was moved meanwhile, or that others read as it is, can still be rounded in passing.
            rounds = self.anchor in ("dot", "convolution") and i.op == "convert"
            return rounds and _read_in_passing(main, shared, i.operands[0])
        if _reduces_rows(i, main):
            return self.anchor is None or self.rows
        return self.anchor is None and follows

    def add(self, position: int, main: Function, readers: Sequence[int]) -> None:
        i = main.instructions[position]
        self.members.append(position)
        if i.op in ANCHORS:
            self.anchor = i.op
            self.rows = _reduces_rows(i, main)
        elif all(r in self.aligned for r in readers) and _aligned(i, self.root):
            self.aligned.add(position)


def _reduces_rows(i: Instruction, main: Function) -> bool:
    """Whether an instruction reduces one array over its last dimensions."""
    if i.op != "reduce" or len(i.operands) != 2:
        return False
    rank = len(main.instructions[i.operands[0]].array.dims)
    reduced = tuple(sorted(i["dimensions"]))
    return bool(reduced) and reduced == tuple(range(rank - len(reduced), rank))


def _read_in_passing(main: Function, shared: Sequence[int], position: int) -> bool:
    """Whether a value is there anyway as it is, or not where the kernel that makes it leaves it."""
    i = main.instructions[position]
    while i.op == "reshape" and shared[position] == 1:
        (position,) = i.operands
        i = main.instructions[position]
    return shared[position] > 1 or i.op in MOVEMENT or i.op in SOURCES


def _aligned(i: Instruction, root: Instruction) -> bool:
    """Whether an instruction's elements, in order, are those of the result."""
    same = isinstance(i.shape, Shape) and isinstance(root.shape, Shape)
    return (
        same and i.op in ELEMENTWISE | {"reshape"} and prod(i.array.dims) == prod(root.array.dims)
    )


def _following(main: Function) -> frozenset[int]:
    """Elementwise values that can be computed where an anchor's are, index by index.

    Between the two is nothing that is read in another way. Sums of rows are no such anchors: they
    go on in rows, of which their own value is a part.
    """
    led: set[int] = set()  # values that all their readers take index by index
    found: set[int] = set()
    for position, readers in enumerate(main.users()):
        i = main.instructions[position]
        anchors = i.op in ANCHORS and not _reduces_rows(i, main)
        if not anchors and any(o in led for o in i.operands):
            found.add(position)
            anchors = True
        if anchors and all(_aligned(main.instructions[r], i) for r in readers):
            led.add(position)
    return frozenset(p for p in found if main.instructions[p].op in ELEMENTWISE)


def fuse(program: Program) -> Program:
    """Give every instruction of the entry function, but parameters and constants, one region.

    From the results upwards, an instruction joins the region of its readers where all of them are
    in one region, so no value leaves a region and comes back. A region has at most one anchor, or
    several that reduce rows: a softmax and a normalization are one region.
    """
    main = program.main
    users = main.users()
    shared = [len(u) for u in users]
    following = _following(main)
    results = frozenset(main.results)
    home: dict[int, _Group] = {}
    groups: list[_Group] = []
    for position in range(len(main.instructions) - 1, -1, -1):
        if main.instructions[position].op in SOURCES:
            continue
        readers = users[position]
        homes = {id(home[u]): home[u] for u in readers}
        group = homes.popitem()[1] if len(homes) == 1 and position not in results else None
        if group is None or not group.takes(position, main, readers, shared, following):
            group, readers = _Group(main.instructions[position]), []
            groups.append(group)
        group.add(position, main, readers)
        home[position] = group
    regions = [Region(g.anchor or g.root.op, tuple(reversed(g.members))) for g in groups]
    return replace(program, regions=tuple(sorted(regions, key=lambda r: r.members[-1])))
