"""A program that kernels compute entirely, as calls of them one after the other.

XLA has no part in it: around the kernels of a small model its own work takes as long as they do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from neff.program import Function, Kind, Program
from runtime.units.native import Calls
from runtime.units.ops import ELEMENTWISE, READ_AS, TYPES
from runtime.units.plan import Plan, plan
from runtime.units.space import MOVEMENT
from runtime.units.unit import Slot, Unit
from runtime.units.weights import ALIGNMENT, Memory, aligned

# The pointers of places, as sequence.h has them: what is between calls, the memory of weights.
BETWEEN, HELD = 0, 1
# Bytes of an output from which on it is worth lying where vectors begin.
LARGE = 64 * 1024
# What kernels compute, in some form of it.
COMPUTED = (
    ELEMENTWISE
    | MOVEMENT
    | {"concatenate", "constant", "convolution", "dot", "gather", "pad", "parameter"}
    | {"reduce", "reduce-window", "tuple"}
)


def whole(program: Program, check_bounds: bool) -> Plan | None:
    """The plan of a program, where kernels compute all of it; None where some is left to JAX.

    With `check_bounds`, a program in which a gather leaves its operand does not end.
    """
    main = program.main
    if any(v.kind is Kind.STATE for v in program.inputs):
        return None
    if not all(i.op in COMPUTED for i in main.instructions):  # told sooner than by a plan
        return None
    if len(set(main.results)) < len(main.results):
        return None
    made = plan(program, everything=True, check_bounds=check_bounds)
    units = made.units.keys()
    if not units >= set(main.results) or not made.live <= units | set(main.parameters):
        return None
    return made


class KernelSequence:
    """The calls of a program's kernels. Safe to call from several threads at once.

    `memory` holds what the plan says, once it is written; other weights are read where they are.
    """

    def __init__(self, program: Program, made: Plan, memory: Memory) -> None:
        main = program.main
        weights = {
            n: np.ascontiguousarray(v.weight.array)
            for n, v in enumerate(program.inputs)
            if v.weight is not None and n in made.inputs
        }
        units = [unit for _, unit in sorted(made.units.items())]
        starts, size = _between(units, main)
        called = [n for n, v in enumerate(program.inputs) if v.kind is Kind.INPUT]
        given = {n: p for p, n in enumerate((*weights, *called), HELD + 1)}
        made_last = {n: p for p, n in enumerate(main.results, HELD + 1 + len(given))}

        def start(position: int) -> tuple[int, int]:
            i = main.instructions[position]
            if i.op == "parameter":
                return given[i["number"]], 0
            if position in made_last:
                return made_last[position], 0
            return BETWEEN, starts[position]

        def place(operand: int | Slot) -> tuple[int, int, int, int]:
            if isinstance(operand, Slot):
                return HELD, *memory.places[operand.number]
            shape = main.instructions[operand].array
            return *start(operand), TYPES[READ_AS[shape.dtype]], shape.bytes

        self._calls = Calls(size)
        for unit in units:
            lie = map(place, (*unit.operands, unit.result))
            self._calls.add(unit.kernel, unit.words, [n for numbers in lie for n in numbers])
        self._held = (memory.array, *weights.values())  # for as long as the calls read them
        self._fixed = [array.ctypes.data for array in self._held]
        self._outputs = [(v.shape.bytes, v.shape.numpy, v.shape.dims) for v in program.outputs]

    def __call__(self, *arrays: np.ndarray) -> tuple[list[np.ndarray], bool]:
        """The outputs, of one array for each input of a call; whether they are all there.

        They are not where a gather left its operand.
        """
        made = [_room_for(*output) for output in self._outputs]
        given = [np.ascontiguousarray(a) for a in arrays]
        done = self._calls.run(self._fixed + [a.ctypes.data for a in (*given, *made)])
        return made, done


def _room_for(size: int, dtype: np.dtype, dims: tuple[int, ...]) -> np.ndarray:
    if size < LARGE:
        return np.empty(dims, dtype)
    return aligned(size).view(dtype).reshape(dims)


def _between(units: Sequence[Unit], main: Function) -> tuple[dict[int, int], int]:
    """Where what units make for each other begins, in bytes, and how many there are in all.

    What is not read again makes room for what comes next, in what caches still hold.
    """
    last = {position: n for n, unit in enumerate(units) for position in unit.reads}
    starts: dict[int, int] = {}
    taken: list[tuple[int, int, int]] = []  # start, end, when it is last read
    most = 0
    for n, unit in enumerate(units):
        taken = [t for t in taken if t[2] >= n]
        if unit.result in main.results:
            continue
        size = -(-main.instructions[unit.result].array.bytes // ALIGNMENT) * ALIGNMENT
        start = _room(sorted(taken), size)
        starts[unit.result] = start
        taken.append((start, start + size, last[unit.result]))
        most = max(most, start + size)
    return starts, most


def _room(taken: Collection[tuple[int, int, int]], size: int) -> int:
    """The start of the smallest gap that suffices, else of what is after all."""
    gaps, at = [], 0
    for start, end, _ in taken:
        if start - at >= size:
            gaps.append((start - at, at))
        at = end
    return min(gaps)[1] if gaps else at
