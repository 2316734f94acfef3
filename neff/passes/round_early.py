"""Roundings before the moves, and the extremes, between a value and them."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.ops import MOVEMENT
from neff.passes.fuse import SOURCES
from neff.passes.maximum import extremum_of
from neff.program import Function, Instruction, Program

MOVES = frozenset({"pad", "reshape", "transpose"})


def round_before_moving(program: Program) -> Program:
    """convert(move(x)) to a shorter type is move(convert(x)), and so it is with extremes.

    So the kernel that computes x rounds it as it is written, and fewer bytes are moved or compared:
    of two numbers the larger one's rounding is never the smaller. A value that others read as it is
    stays: it can be rounded where it is read.
    """
    extremes = {f.name: f for f in program.functions if extremum_of(f)}
    shorter: dict[tuple[str, str], Function] = {}

    def body(name: str, dtype: str) -> str:
        """The function that takes the same extremum of a shorter type."""
        key = name, dtype
        if key not in shorter:
            shorter[key] = _retyped(extremes[name], dtype, {f.name for f in program.functions})
        return shorter[key].name

    *others, main = (_rounded_early(f, extremes, body) for f in program.functions)
    return replace(program, functions=(*others, *shorter.values(), main))


def _retyped(function: Function, dtype: str, taken: Container[str]) -> Function:
    """The function on numbers of another type, under a name of its own."""
    name = f"{function.name}.{dtype}"
    while name in taken:
        name += "_"
    instructions = (replace(i, shape=Shape(dtype, i.array.dims)) for i in function.instructions)
    return replace(function, name=name, instructions=tuple(instructions))


def _rounded_early(
    function: Function, extremes: Container[str], body: Callable[[str, str], str]
) -> Function:
    users = function.users()
    rounds: dict[int, int] = {}  # values that are rounded at once, by the conversion that does it
    moves: dict[int, int] = {}  # what moves them
    for position in range(len(function.instructions)):
        passed = _passed(function, users, position, extremes)
        if passed:
            *between, source = passed
            rounds[source] = position
            moves |= dict.fromkeys(between, position)
    if not rounds:
        return function
    b = Builder()
    values: list[int] = []
    moved = frozenset(rounds.values())
    for position, i in function.numbered():
        if position in moved:
            values.append(values[i.operands[0]])
            continue
        i = replace(i, operands=tuple(values[o] for o in i.operands))
        if position in moves:
            i = replace(i, shape=_as(function, moves[position], position))
        if position in moves and len(i.operands) == 2:  # what is around, or before, all others
            other = b.op("convert", Shape(i.array.dtype, ()), i.operands[1], metadata=i.metadata)
            bodies = tuple(body(name, i.array.dtype) for name in i.bodies)
            i = replace(i, operands=(i.operands[0], other), bodies=bodies)
        values.append(b.emit(i))
        if position in rounds:
            convert = function.instructions[rounds[position]]
            shape = _as(function, rounds[position], position)
            values[-1] = b.emit(replace(convert, shape=shape, operands=(values[-1],)))
    return b.function(function.name, tuple(values[r] for r in function.results))


def _passed(
    function: Function, users: Sequence[Sequence[int]], position: int, extremes: Container[str]
) -> list[int]:
    """What a conversion can go before, the last first; then the value that it rounds, if any."""
    i = function.instructions[position]
    if i.op != "convert" or not _shortens(i.array, function.instructions[i.operands[0]].array):
        return []
    found = [i.operands[0]]
    while _is_passed(function.instructions[found[-1]], extremes):
        found.append(function.instructions[found[-1]].operands[0])
    alone = all(len(users[p]) == 1 and p not in function.results for p in found)
    computed = function.instructions[found[-1]].op not in MOVEMENT | SOURCES
    return found if alone and computed and len(found) > 1 else []


def _is_passed(i: Instruction, extremes: Container[str]) -> bool:
    """Whether it makes no difference on which side of an instruction its elements are rounded."""
    extremum = i.op == "reduce-window" and len(i.operands) == 2 and i.bodies[0] in extremes
    return extremum or i.op in MOVES


def _shortens(made: Shape, given: Shape) -> bool:
    to, of = made.element, given.element
    return to.kind == of.kind == "float" and to.bits < of.bits


def _as(function: Function, convert: int, position: int) -> Shape:
    """A value's shape in the type that a conversion makes."""
    return Shape(
        function.instructions[convert].array.dtype, function.instructions[position].array.dims
    )
