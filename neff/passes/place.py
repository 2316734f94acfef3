"""Placement: the engine of every instruction and the memory of every value."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from dataclasses import replace

from neff.errors import CompileError
from neff.ops import ENGINES
from neff.passes.fuse import SOURCES
from neff.program import Buffer, Engine, Function, Instruction, Program, Space

ALIGNMENT = 64  # bytes: one DMA descriptor element


def assign_engines(program: Program) -> Program:
    """Give every instruction the engine that runs it."""

    def placed(i: Instruction) -> Instruction:
        if i.op not in ENGINES:
            raise CompileError(f"assign_engines: no engine runs the op {i.op}")
        return replace(i, engine=ENGINES[i.op])

    functions = (
        Function(f.name, tuple(map(placed, f.instructions)), f.results) for f in program.functions
    )
    return replace(program, functions=tuple(functions))


def place_buffers(program: Program) -> Program:
    """Give every value of a fused program a buffer.

    Parameters and constants have storage of their own. What leaves a region is in HBM, at an
    offset that it shares with values that are not alive at the same time; what stays inside a
    region is in PSUM when the PE array makes it, else in SBUF.
    """
    main = program.main
    home = {p: n for n, region in enumerate(program.regions) for p in region.members}
    users = main.users()
    results = frozenset(main.results)
    # A region is one kernel: it may read its operands until its last instruction has run.
    done = {p: region.members[-1] for region in program.regions for p in region.members}
    last = {p: max((done[u] for u in read), default=p) for p, read in enumerate(users)}
    heap = _Heap()
    expiring: list[tuple[int, int, int]] = []
    buffers: list[Buffer] = []
    for position, instruction in main.numbered():
        if instruction.op in SOURCES:
            continue
        while expiring and expiring[0][0] < position:
            _, offset, size = heapq.heappop(expiring)
            heap.free(offset, size)
        inside = all(home[u] == home[position] for u in users[position])
        size = _aligned(instruction.shape.bytes)
        if position in results or not inside:
            offset = heap.allocate(size)
            buffers.append(Buffer(position, Space.HBM, offset, size))
            if position not in results:
                heapq.heappush(expiring, (last[position], offset, size))
        else:
            space = Space.PSUM if instruction.engine is Engine.PE else Space.SBUF
            buffers.append(Buffer(position, space, 0, size))
    return replace(program, buffers=tuple(buffers))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Heap:
    """Offsets in HBM: best fit over free blocks, which merge with their neighbours."""

    def __init__(self) -> None:
        self.end = 0
        self.starts: dict[int, int] = {}  # offset -> size
        self.ends: dict[int, int] = {}  # offset past the block -> offset
        self.sizes: list[tuple[int, int]] = []  # (size, offset), sorted

    def allocate(self, size: int) -> int:
        if size == 0:
            return 0
        index = bisect_left(self.sizes, (size, 0))
        if index == len(self.sizes):
            offset, self.end = self.end, self.end + size
            return offset
        found, offset = self.sizes.pop(index)
        self._forget(offset, found)
        if found > size:
            self._remember(offset + size, found - size)
        return offset

    def free(self, offset: int, size: int) -> None:
        if size == 0:
            return
        if offset in self.ends:
            before = self.ends[offset]
            before_size = self.starts[before]
            self._drop(before, before_size)
            offset, size = before, before_size + size
        if offset + size in self.starts:
            after_size = self.starts[offset + size]
            self._drop(offset + size, after_size)
            size += after_size
        self._remember(offset, size)

    def _remember(self, offset: int, size: int) -> None:
        self.starts[offset] = size
        self.ends[offset + size] = offset
        insort(self.sizes, (size, offset))

    def _forget(self, offset: int, size: int) -> None:
        del self.starts[offset]
        del self.ends[offset + size]

    def _drop(self, offset: int, size: int) -> None:
        self._forget(offset, size)
        self.sizes.pop(bisect_left(self.sizes, (size, offset)))
