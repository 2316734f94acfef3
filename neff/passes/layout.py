"""The order of dimensions in memory: convolutions have their channels last, transposes go."""

from __future__ import annotations

from dataclasses import replace

from neff.builder import Builder
from neff.ops import MOVEMENT
from neff.passes.cleanup import eliminate_dead_code
from neff.passes.layout_contract import place_convolution
from neff.passes.layout_dot import place_dot
from neff.passes.layout_rules import RULES, Rule, as_it_is
from neff.passes.layouts import Layouts
from neff.passes.simplify import simplify
from neff.passes.wants import find_wants
from neff.program import Function, Instruction, Kind, Program

# Made where they are read first.
LATE = MOVEMENT | {"constant"}
LAYOUTS: dict[str, Rule] = {**RULES, "convolution": place_convolution, "dot": place_dot}


def assign_layouts(program: Program) -> Program:
    """Let values stand in the order in which convolutions compute them, and ops follow.

    One sweep: a transpose is only noted, and every op reads operands in the order in which they
    stand, its attributes renumbered. Values are moved where an op needs one order, where operands
    of an op stand differently (then the smaller ones), and where results leave the function.
    Weights are moved at no cost: they fold.
    """
    program = eliminate_dead_code(simplify(program))  # what nothing reads has no say
    weights = frozenset(n for n, v in enumerate(program.inputs) if v.kind is Kind.WEIGHT)
    bodies = (_assigned(f, frozenset()) for f in program.functions[:-1])
    functions = (*bodies, _assigned(program.main, weights))
    # Simplified: values that stood differently before may be the same now.
    made = eliminate_dead_code(simplify(replace(program, functions=functions)))
    return replace(made, functions=tuple(_in_sequence(f) for f in made.functions))


def _assigned(function: Function, weights: frozenset[int]) -> Function:
    layouts = Layouts(function, weights, find_wants(function, _is_opaque))
    for position, i in function.numbered():
        LAYOUTS.get(i.op, as_it_is)(layouts, position, i)
    results = tuple([layouts.value(r) for r in function.results])
    return layouts.b.function(function.name, results)


def _is_opaque(i: Instruction) -> bool:
    return i.op not in LAYOUTS


def _in_sequence(function: Function) -> Function:
    """What only moves elements stands right before what reads it first."""
    b = Builder()
    moved: dict[int, int] = {}

    def emit(position: int) -> None:
        pending = [position]
        while pending:
            i = function.instructions[pending[-1]]
            missing = [o for o in i.operands if o not in moved]
            if missing:
                pending.extend(reversed(missing))
                continue
            position = pending.pop()
            if position not in moved:
                operands = tuple([moved[o] for o in i.operands])
                same = operands == i.operands
                moved[position] = b.emit(i if same else replace(i, operands=operands))

    for position, i in function.numbered():
        if i.op not in LATE:
            emit(position)
    for result in function.results:
        emit(result)
    return b.function(function.name, tuple([moved[r] for r in function.results]))
