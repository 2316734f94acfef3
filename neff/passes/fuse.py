"""Fusion: group instructions into regions that run as one kernel."""

from __future__ import annotations

from dataclasses import replace

from neff.ops import ELEMENTWISE, MOVEMENT
from neff.program import Program, Region

# Values the regions read, made by no kernel.
SOURCES = frozenset({"parameter", "constant"})
# An op a region can be built around: it takes what feeds it, and what follows element by element.
ANCHORS = frozenset({"dot", "convolution", "reduce", "reduce-window"})
FUSIBLE = ELEMENTWISE | MOVEMENT | ANCHORS
# A region whose kernel outgrows the instruction buffers gains nothing from fusion.
MAX_MEMBERS = 256


def fuse(program: Program) -> Program:
    """Give every instruction of the entry function, but parameters and constants, one region.

    From the results upwards, an instruction joins the region of its readers where all of them are
    in one region, so no value leaves a region and comes back; a region has at most one anchor.
    """
    main = program.main
    users = main.users()
    results = frozenset(main.results)
    region: dict[int, int] = {}
    members: list[list[int]] = []
    anchors: list[str | None] = []
    for position in range(len(main.instructions) - 1, -1, -1):
        op = main.instructions[position].op
        if op in SOURCES:
            continue
        readers = {region[u] for u in users[position]}
        joined = readers.pop() if len(readers) == 1 and position not in results else None
        if joined is not None:
            seed = main.instructions[members[joined][0]].op
            taken = op in ANCHORS and anchors[joined] is not None
            full = len(members[joined]) >= MAX_MEMBERS
            if op not in FUSIBLE or seed not in FUSIBLE or taken or full:
                joined = None
        if joined is None:
            joined = len(members)
            members.append([])
            anchors.append(None)
        region[position] = joined
        members[joined].append(position)
        if op in ANCHORS:
            anchors[joined] = op
    regions = [
        Region(anchor or main.instructions[ids[0]].op, tuple(reversed(ids)))
        for ids, anchor in zip(members, anchors, strict=True)
    ]
    return replace(program, regions=tuple(sorted(regions, key=lambda r: r.members[-1])))
