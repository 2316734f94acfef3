"""Programs as text, in HLO's word order, so that two stages can be compared line by line."""

from __future__ import annotations

import dataclasses
from typing import Any

from hlo_frontend.hlo.literal import Literal
from neff.program import Function, Instruction, Program, Variable

LITERAL_ELEMENTS = 8  # elements of a constant that are printed


def print_program(program: Program) -> str:
    """The whole program: bindings, functions, regions, buffers."""
    lines = [f"program {program.name}, target={program.target}"]
    lines += [f"input {n}: {_variable(v)}" for n, v in enumerate(program.inputs)]
    lines += [f"output {n}: {_variable(v)}" for n, v in enumerate(program.outputs)]
    lines += [f"alias output {o} = input {i}" for o, i in program.aliases]
    for function in program.functions:
        lines += ["", *print_function(function)]
    if program.regions:
        lines.append("")
    for number, region in enumerate(program.regions):
        members = ", ".join(f"%{m}" for m in region.members)
        lines.append(f"region {number} {region.anchor}: {members}")
    lines += [f"buffer %{b.value}: {b.space}+{b.offset}, {b.size} bytes" for b in program.buffers]
    return "\n".join(lines) + "\n"


def _variable(v: Variable) -> str:
    bound = f" = {v.weight.digest[:12]}" if v.weight is not None else ""
    return f"{v.shape} {v.kind} {v.name}{bound}"


def print_function(function: Function) -> list[str]:
    lines = [f"{function.name} {{"]
    lines += [f"  {print_instruction(i, p)}" for p, i in function.numbered()]
    lines += [f"  return {', '.join(f'%{r}' for r in function.results)}", "}"]
    return lines


def print_instruction(instruction: Instruction, position: int) -> str:
    """`%2 = f32[2,4] dot(%0, %1), dot_dimension_numbers=…, to_apply=…, engine=PE`."""
    operands = ", ".join(f"%{o}" for o in instruction.operands)
    parts = [f"%{position} = {instruction.shape} {instruction.op}({operands})"]
    parts += [f"{name}={_value(value)}" for name, value in instruction.attrs]
    if instruction.bodies:
        parts.append(f"calls={{{', '.join(instruction.bodies)}}}")
    if instruction.engine is not None:
        parts.append(f"engine={instruction.engine}")
    return ", ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, Literal):
        flat = value.numpy().reshape(-1)
        shown = ", ".join(map(str, flat[:LITERAL_ELEMENTS]))
        return f"{{{shown}{', …' if flat.size > LITERAL_ELEMENTS else ''}}}"
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        changed = (f for f in fields if getattr(value, f.name) != f.default)
        return "{" + " ".join(f"{f.name}={_value(getattr(value, f.name))}" for f in changed) + "}"
    if isinstance(value, tuple):
        return "{" + ",".join(map(_value, value)) + "}"
    return str(value)


def quote(instruction: Instruction, position: int) -> str:
    """The lines an error ends with: the instruction as printed, and the user's source line."""
    source = instruction.metadata
    where = f"\n  from {source.source_file}:{source.source_line}" if source.source_file else ""
    return f"\n  in  {print_instruction(instruction, position)}{where}"
