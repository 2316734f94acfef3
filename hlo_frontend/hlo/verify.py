"""The verifier: whether a module is well-formed, from its references to every result's shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NoReturn

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import (
    Alias,
    HloComputation,
    HloInstruction,
    HloModule,
    callees_first,
)
from hlo_frontend.hlo.ops import OPS, Op, infer_shape
from hlo_frontend.hlo.text import PrintOptions, print_instruction
from hlo_frontend.hlo.types import AnyShape, Signature, TupleShape
from hlo_frontend.hlo.vocabulary import ATTRIBUTES

_QUOTE = PrintOptions(metadata=False, backend_config=False, large_constants=False)


def verify_module(module: HloModule) -> None:
    """Raise HloError at the first thing that is not well-formed; layouts are not looked at.

    Holds for a module that passes: names are unique; computations stand callees first, the entry
    last, without recursion; operands are earlier instructions; every opcode has the operands,
    attributes and called computations its row in `OPS` asks for, and the shape its rule gives;
    parameters are numbered from 0; aliases name what exists and has equal shapes.
    """
    _check_unique("computation names", module.name, (c.name for c in module.computations))
    _check_order(module)
    attributes = ATTRIBUTES["frontend_attributes"]
    if not attributes.check(module.frontend_attributes):
        raise HloError(
            f"hlo: {attributes.name} must be {attributes.what}, got {module.frontend_attributes}"
        )
    signatures: dict[str, Signature] = {}
    for computation in module.computations:
        _verify_computation(computation, signatures)
        signatures[computation.name] = computation.signature
    seen: set[tuple[int, ...]] = set()
    for alias in module.aliases:
        _verify_alias(alias, signatures[module.entry_name])
        if alias.output_index in seen:
            raise HloError(f"hlo: an output must alias one parameter, got two for {_at(alias)}")
        seen.add(alias.output_index)


def _check_unique(what: str, where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name or name in seen:
            raise HloError(f"hlo: {what} of {where} must be unique and not empty, got {name!r}")
        seen.add(name)


def _check_order(module: HloModule) -> None:
    if not any(c.name == module.entry_name for c in module.computations):
        raise HloError(f"hlo: entry must be a computation of the module, got {module.entry_name}")
    sorted_ = callees_first(module.computations, module.entry_name)
    if sorted_ != module.computations:
        names = (" ".join(c.name for c in cs) for cs in (sorted_, module.computations))
        raise HloError("hlo: computations must stand callees first, as {}; got {}".format(*names))


def _verify_computation(computation: HloComputation, signatures: Mapping[str, Signature]) -> None:
    instructions = computation.instructions
    _check_unique("instruction names", computation.name, (i.name for i in instructions))
    if not 0 <= computation.root < len(instructions):
        raise HloError(
            f"hlo: root of {computation.name} must be one of its {len(instructions)} instructions, "
            f"got position {computation.root}"
        )
    shapes: list[AnyShape] = []
    for position, i in enumerate(instructions):
        try:
            _verify_instruction(i, position, shapes, signatures)
        except HloError as error:
            raise HloError(f"{error}{quote(computation, position)}") from None
        shapes.append(i.shape)
    numbers = sorted(i["number"] for i in instructions if i.opcode == "parameter")
    if numbers != list(range(len(numbers))):
        raise HloError(
            f"hlo: parameters of {computation.name} must be numbered 0 to {len(numbers) - 1}, "
            f"got {', '.join(map(str, numbers))}"
        )


def _verify_instruction(
    i: HloInstruction,
    position: int,
    shapes: list[AnyShape],
    signatures: Mapping[str, Signature],
) -> None:
    op = OPS.get(i.opcode)
    if op is None:
        raise HloError(f"hlo: opcode must be one of the {len(OPS)} supported, got {i.opcode!r}")
    for operand in i.operands:
        if not 0 <= operand < position:
            _fail(i, "operands must be earlier instructions", f"position {operand} at {position}")
    _check_count(i, "operand", len(i.operands), op.arity)
    _check_count(i, "called computation", len(i.calls), op.calls)
    _check_attributes(i, op)
    operands = tuple([shapes[o] for o in i.operands])
    called = tuple([signatures[name] for name in i.calls])
    inferred = infer_shape(i, operands, called)
    if inferred != i.shape:
        _fail(i, f"shape must be {inferred}", i.shape)


def _fail(i: HloInstruction, what: str, got: object) -> NoReturn:
    raise HloError(f"{i.opcode}: {what}, got {got}")


def _check_count(i: HloInstruction, what: str, got: int, expected: int | range | None) -> None:
    counts = range(expected, expected + 1) if isinstance(expected, int) else expected
    if counts is None or got in counts:
        return
    start = counts.start
    if counts.step == 2:
        wanted = f"an {'odd' if start % 2 else 'even'} number of {what}s from {start} on"
    else:
        least = "" if len(counts) == 1 else "at least "
        wanted = f"{least}{start} {what}{'s' if start != 1 else ''}"
    _fail(i, f"there must be {wanted}", got)


def _check_attributes(i: HloInstruction, op: Op) -> None:
    names = [name for name, _ in i.attrs]
    if any(a >= b for a, b in pairwise(names)):
        _fail(i, "attributes must be sorted by name, each once", ", ".join(names))
    missing = [name for name, required in op.attrs.items() if required and name not in names]
    if missing:
        _fail(i, f"attributes must include {', '.join(missing)}", ", ".join(names) or "none")
    for name, value in i.attrs:
        if name not in op.attrs:
            _fail(i, f"attributes must be among {', '.join(op.attrs)}", name)
        if not ATTRIBUTES[name].check(value):
            _fail(i, f"{name} must be {ATTRIBUTES[name].what}", repr(value))


def quote(computation: HloComputation, position: int) -> str:
    """The lines that end an error: the instruction as printed, the user's source line if known."""
    i = computation.instructions[position]
    lines = [f"\n  in  {_shown(computation, position)}"]
    if i.metadata.source_file:
        lines.append(f"\n  from {i.metadata.source_file}:{i.metadata.source_line}")
    return "".join(lines)


def _shown(computation: HloComputation, position: int) -> str:
    """The instruction as printed, or what of it can be: it may be anything but well-formed."""
    i = computation.instructions[position]
    try:
        return print_instruction(computation, position, _QUOTE)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return f"%{i.name} = {i.shape} {i.opcode}(...)"


def _leaves(shape: AnyShape, index: tuple[int, ...]) -> Iterator[AnyShape]:
    """The shape at an index into nested tuples; nothing if there is none."""
    for number in index:
        if not isinstance(shape, TupleShape) or not 0 <= number < len(shape.elements):
            return
        shape = shape.elements[number]
    yield shape


def _at(alias: Alias) -> str:
    return "{" + ", ".join(map(str, alias.output_index)) + "}"


def _verify_alias(alias: Alias, entry: Signature) -> None:
    parameters, result = entry
    output = list(_leaves(result, alias.output_index))
    if not output:
        raise HloError(f"hlo: an aliased output must be part of {result}, got {_at(alias)}")
    if not 0 <= alias.parameter < len(parameters):
        raise HloError(
            f"hlo: an aliased parameter must be one of {len(parameters)}, got {alias.parameter}"
        )
    if list(_leaves(parameters[alias.parameter], alias.parameter_index)) != output:
        raise HloError(
            f"hlo: output {_at(alias)} and parameter {alias.parameter} must have the same shape, "
            f"got {output[0]}, {parameters[alias.parameter]}"
        )
