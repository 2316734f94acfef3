"""What a well-formed program is; the pass runner checks it after every pass."""

from __future__ import annotations

from hlo_frontend.hlo.types import Shape
from neff.errors import CompileError
from neff.ops import ENGINES
from neff.printing import quote
from neff.program import Function, Kind, Program


def verify_program(program: Program, who: str) -> None:
    """Raise CompileError, in the name of `who`, for the first rule that does not hold."""
    names = [f.name for f in program.functions]
    if len(set(names)) != len(names):
        raise CompileError(f"{who}: function names must be unique, got {', '.join(names)}")
    known: set[str] = set()
    for function in program.functions:
        _verify_function(function, known, who)
        known.add(function.name)
    _verify_interface(program, who)
    _verify_placement(program, who)


def _verify_function(function: Function, known: set[str], who: str) -> None:
    for position, i in function.numbered():
        if i.op not in ENGINES:
            raise CompileError(f"{who}: op {i.op} is unknown{quote(i, position)}")
        if any(not 0 <= o < position for o in i.operands):
            raise CompileError(f"{who}: operands must be defined before use{quote(i, position)}")
        if not known.issuperset(i.bodies):
            raise CompileError(
                f"{who}: bodies must be functions that stand before{quote(i, position)}"
            )
    if any(not 0 <= r < len(function.instructions) for r in function.results):
        raise CompileError(f"{who}: {function.name} must return values it has, got {function.results}")


def _verify_interface(program: Program, who: str) -> None:
    main = program.main
    numbers = [main.instructions[p]["number"] for p in main.parameters]
    if len(set(numbers)) != len(numbers) or not set(numbers) <= set(range(len(program.inputs))):
        raise CompileError(f"{who}: parameters must number the inputs, got {numbers}")
    for position, number in zip(main.parameters, numbers, strict=True):
        variable, i = program.inputs[number], main.instructions[position]
        if i.shape != variable.shape:
            raise CompileError(
                f"{who}: a parameter must have the shape of its variable "
                f"{variable.name}, {variable.shape}{quote(i, position)}"
            )
    for variable in program.inputs:
        bound = variable.weight.shape if variable.weight is not None else None
        if (variable.kind is Kind.INPUT) != (bound is None) or bound not in (None, variable.shape):
            raise CompileError(f"{who}: {variable.kind} {variable.name} is bound to {bound}")
    made = [main.instructions[r].shape for r in main.results]
    if made != [v.shape for v in program.outputs]:
        raise CompileError(f"{who}: results must have the shapes of the outputs, got {made}")
    for output, number in program.aliases:
        aliased = program.outputs[output].shape, program.inputs[number].shape
        if not isinstance(aliased[0], Shape) or aliased[0] != aliased[1]:
            raise CompileError(f"{who}: aliased variables must have one shape, got {aliased}")


def _verify_placement(program: Program, who: str) -> None:
    """Where there are regions, they divide the instructions; each region's members are in order."""
    seen: set[int] = set()
    for region in program.regions:
        if seen.intersection(region.members) or list(region.members) != sorted(region.members):
            raise CompileError(f"{who}: regions must not overlap, got {region}")
        seen.update(region.members)
