"""Common subexpressions and dead code."""

from __future__ import annotations

from dataclasses import replace

from neff.builder import Builder, renumber_parameters
from neff.ops import RANDOM, has_side_effect
from neff.program import Function, Instruction, Kind, Program


def eliminate_common_subexpressions(program: Program) -> Program:
    """One instruction where several compute the same: same op, operands, attributes and bodies."""
    return replace(program, functions=tuple(_merge_equal(f) for f in program.functions))


def _merge_equal(function: Function) -> Function:
    builder = Builder()
    seen: dict[Instruction, int] = {}
    values: list[int] = []
    for instruction in function.instructions:
        moved = replace(instruction, operands=tuple(values[o] for o in instruction.operands))
        value = None if moved.op in RANDOM else seen.get(moved)
        if value is None:
            value = builder.emit(moved)
            seen[moved] = value
        values.append(value)
    return builder.function(function.name, tuple(values[r] for r in function.results))


def eliminate_dead_code(program: Program) -> Program:
    """Drop what no result needs: instructions, functions nothing calls, weights nothing reads.

    Inputs and states stay, used or not: they are the program's interface.
    """
    bodies = {
        f.name: _live(f, keep=frozenset(range(len(f.parameters)))) for f in program.functions[:-1]
    }
    kept = frozenset(n for n, v in enumerate(program.inputs) if v.kind is not Kind.WEIGHT)
    main = _live(program.main, kept)
    functions = (*_called(bodies, main), main)
    return _drop_dead_weights(replace(program, functions=functions))


def _live(function: Function, keep: frozenset[int]) -> Function:
    """The function without dead instructions; parameters numbered in `keep` are never dead."""
    live = bytearray(len(function.instructions))
    for result in function.results:
        live[result] = True
    for position in range(len(function.instructions) - 1, -1, -1):
        instruction = function.instructions[position]
        if has_side_effect(instruction):
            live[position] = True
        if instruction.op == "parameter" and instruction["number"] in keep:
            live[position] = True
        if live[position]:
            for operand in instruction.operands:
                live[operand] = True
    if all(live):
        return function
    builder = Builder()
    moved: dict[int, int] = {}
    for position, instruction in function.numbered():
        if live[position]:
            operands = tuple(moved[o] for o in instruction.operands)
            moved[position] = builder.emit(replace(instruction, operands=operands))
    return builder.function(function.name, tuple(moved[r] for r in function.results))


def _called(bodies: dict[str, Function], main: Function) -> tuple[Function, ...]:
    reached: set[str] = set()
    pending = [main]
    while pending:
        for instruction in pending.pop().instructions:
            for name in instruction.bodies:
                if name not in reached:
                    reached.add(name)
                    pending.append(bodies[name])
    return tuple(f for name, f in bodies.items() if name in reached)


def _drop_dead_weights(program: Program) -> Program:
    """Close the gaps that dead weights left in the parameter numbers."""
    read = {program.main.instructions[p]["number"] for p in program.main.parameters}
    alive = [n for n, v in enumerate(program.inputs) if n in read or v.kind is not Kind.WEIGHT]
    if len(alive) == len(program.inputs):
        return program
    number = {old: new for new, old in enumerate(alive)}
    inputs = tuple(program.inputs[n] for n in alive)
    aliases = tuple((output, number[n]) for output, n in program.aliases)
    main = renumber_parameters(program.main, number)
    return replace(program.with_main(main), inputs=inputs, aliases=aliases)
