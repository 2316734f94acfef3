"""Roundings before the moves between a value and them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.ops import MOVEMENT
from neff.passes.fuse import SOURCES
from neff.program import Function, Program

MOVES = frozenset({"reshape", "transpose"})


def round_before_moving(program: Program) -> Program:
    """convert(move(x)) to a shorter type is move(convert(x)).

    So the kernel that computes x rounds it as it is written, and fewer bytes are moved. A value
    that others read as it is stays: it can be rounded where it is read.
    """
    return replace(program, functions=tuple(_rounded_early(f) for f in program.functions))


def _rounded_early(function: Function) -> Function:
    users = function.users()
    rounds: dict[int, int] = {}  # values that are rounded at once, by the conversion that does it
    moves: dict[int, int] = {}  # what moves them
    for position in range(len(function.instructions)):
        passed = _passed(function, users, position)
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
        values.append(b.emit(i))
        if position in rounds:
            convert = function.instructions[rounds[position]]
            shape = _as(function, rounds[position], position)
            values[-1] = b.emit(replace(convert, shape=shape, operands=(values[-1],)))
    return b.function(function.name, tuple(values[r] for r in function.results))


def _passed(function: Function, users: Sequence[Sequence[int]], position: int) -> list[int]:
    """What a conversion can go before, the last first; then the value that it rounds, if any."""
    i = function.instructions[position]
    if i.op != "convert" or not _shortens(i.array, function.instructions[i.operands[0]].array):
        return []
    found = [i.operands[0]]
    while function.instructions[found[-1]].op in MOVES:
        found.append(function.instructions[found[-1]].operands[0])
    alone = all(len(users[p]) == 1 and p not in function.results for p in found)
    computed = function.instructions[found[-1]].op not in MOVEMENT | SOURCES
    return found if alone and computed and len(found) > 1 else []


def _shortens(made: Shape, given: Shape) -> bool:
    to, of = made.element, given.element
    return to.kind == of.kind == "float" and to.bits < of.bits


def _as(function: Function, convert: int, position: int) -> Shape:
    """A value's shape in the type that a conversion makes."""
    return Shape(
        function.instructions[convert].array.dtype, function.instructions[position].array.dims
    )
