"""What a well-formed program is; the pass runner checks it after every pass."""

from __future__ import annotations

from collections.abc import Mapping

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.types import Shape, Signature
from neff.errors import CompileError
from neff.printing import quote
from neff.program import Function, Instruction, Kind, Program


def verify_program(program: Program, who: str) -> None:
    """Raise CompileError, in the name of `who`, for the first rule that does not hold."""
    signatures: dict[str, Signature] = {}
    for function in program.functions:
        if function.name in signatures:
            raise CompileError(f"{who}: function names must be unique, got {function.name} twice")
        if any(not 0 <= r < len(function.instructions) for r in function.results):
            raise CompileError(
                f"{who}: {function.name} must return values it has, got {function.results}"
            )
        for position, instruction in function.numbered():
            try:
                _verify_instruction(function, position, instruction, signatures)
            except HloError as error:
                raise CompileError(f"{who}: {error}{quote(instruction, position)}") from None
        if function.results:  # only the entry function may return nothing
            signatures[function.name] = _signature(function)
    _verify_interface(program, who)
    _verify_placement(program, who)


def _verify_instruction(
    function: Function, position: int, i: Instruction, signatures: Mapping[str, Signature]
) -> None:
    """One instruction by the rules of the op table, which are those of HLO."""
    if i.op not in OPS:
        raise HloError(f"the op must be one of {len(OPS)} known ones, got {i.op}")
    if any(not 0 <= o < position for o in i.operands):
        raise HloError("operands must be defined before use")
    if not signatures.keys() >= set(i.bodies):
        raise HloError("bodies must be functions that stand before")
    operands = tuple([function.instructions[o].shape for o in i.operands])
    called = tuple([signatures[name] for name in i.bodies])
    inferred = OPS[i.op].infer(operands, dict(i.attrs), i.shape, called)
    if inferred != i.shape:
        raise HloError(f"the shape must be {inferred}, got {i.shape}")


def _signature(function: Function) -> Signature:
    shapes = tuple(function.instructions[p].shape for p in function.parameters)
    return shapes, function.instructions[function.results[0]].shape


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
