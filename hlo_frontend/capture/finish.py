"""The captured module as others get it: own names, user's lines, constants inside, aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from hlo_frontend.capture import xla
from hlo_frontend.capture.binding import Binding, Bindings
from hlo_frontend.capture.dtypes import element_type, to_numpy
from hlo_frontend.capture.result import Input, Parameter, State, Weight
from hlo_frontend.capture.source import Place
from hlo_frontend.errors import CaptureError, UnsupportedOperatorError
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import (
    Alias,
    HloComputation,
    HloInstruction,
    HloModule,
    Metadata,
    attributes,
)
from hlo_frontend.hlo.proto import read_module
from hlo_frontend.hlo.types import Shape, TupleShape

_CONSTANT_BYTES = 1 << 16  # larger constants are weights: bound, not part of the module's text
_ENTRY = "main"
_SCOPE = re.compile(r"@(\d+)")


@dataclass(frozen=True, slots=True)
class Finished:
    module: HloModule
    parameters: tuple[Parameter, ...]


def finish(
    outputs: Sequence[torch.Tensor], bindings: Bindings, places: Sequence[Place], name: str
) -> Finished:
    """The module that computes lazy tensors, and what its parameters are bound to.

    Parameters are the example inputs in their order, then weights as the program came to them.
    Names do not depend on what was captured before.
    """
    leaves = xla.leaves(outputs)
    module = _read(_lowered(outputs, places))
    held = [_held(bindings, leaf, tensor) for leaf, tensor in leaves]
    held += [b for b in bindings if b.kind == "state" and all(b is not h for h in held)]
    order = [i for i, h in enumerate(held) if isinstance(h, Binding)]
    order.sort(key=lambda i: _rank(held[i]))
    parameters = tuple(_parameter(held[i]) for i in order)
    numbers = {old: new for new, old in enumerate(order)}
    constants = {i: h for i, h in enumerate(held) if isinstance(h, Literal)}
    entry = _with_unread(module.entry, held)
    entry = _bound(entry, numbers, constants, parameters)
    entry = _typed(entry, [element_type(t, "an output") for t in outputs])
    computations = (*module.computations[:-1], replace(entry, name=_ENTRY))
    aliases = tuple(
        Alias((p.output_index,), number)
        for number, p in enumerate(parameters)
        if isinstance(p, State)
    )
    named = tuple(_with_sources(c, places) for c in computations)
    return Finished(HloModule(_identifier(name), named, _ENTRY, aliases), parameters)


def _lowered(outputs: Sequence[torch.Tensor], places: Sequence[Place]) -> bytes:
    try:
        return xla.hlo_proto(outputs)
    except RuntimeError as error:
        found = _LOWERING.search(str(error))
        if found is None:
            raise
        operator, scope = found[1], _SCOPE.match(found[2])
        place = places[int(scope[1])] if scope else Place()
        parts = (f"capture: {operator} has no lowering to HLO for such operands", str(place))
        message = "\n  ".join(part for part in parts if part)
        raise UnsupportedOperatorError(message, operator, place.source) from error


_LOWERING = re.compile(r"Error while lowering: \[[^]]*\] ([\w:]+).*?scope=([^,]*)")


def _read(proto: bytes) -> HloModule:
    try:
        return read_module(proto)
    except HloError as error:
        raise CaptureError(
            f"capture: the graph must be of HLO that is kept here: {error}"
        ) from error


def _held(bindings: Bindings, leaf: int, tensor: torch.Tensor) -> Binding | Literal:
    """What a leaf is bound to: an input or a weight, or the value of a constant."""
    binding = bindings.of_leaf(leaf)
    if binding is None:  # torch_xla made it: a seed, or Python data converted in C++
        binding = bindings.constant(xla.fetch(tensor))
    if binding.kind != "constant":
        return binding
    assert binding.tensor is not None
    if binding.tensor.nbytes <= _CONSTANT_BYTES:
        return Literal.of(to_numpy(binding.tensor))
    return bindings.as_weight(binding)


def _rank(binding: Any) -> tuple[int, int]:
    return (0, binding.index) if binding.kind == "input" else (1, binding.leaf)


def _parameter(binding: Any) -> Parameter:
    if binding.kind == "input":
        return Input(binding.index, binding.name)
    if binding.kind == "state":
        return State(binding.name, binding.tensor, binding.index)
    return Weight(binding.name, binding.tensor)


def _with_unread(entry: HloComputation, held: Sequence[Binding | Literal]) -> HloComputation:
    """The entry computation with a parameter for each state that is written but never read."""
    known = len(entry.parameters)
    added = []
    for number in range(known, len(held)):
        binding = held[number]
        assert isinstance(binding, Binding) and binding.tensor is not None
        shape = Shape(element_type(binding.tensor, binding.name), tuple(binding.tensor.shape))
        name = f"p{number}.{len(entry.instructions) + number}"
        added.append(HloInstruction(name, "parameter", shape, attrs=attributes(number=number)))
    return replace(entry, instructions=(*entry.instructions, *added))


def _bound(
    entry: HloComputation,
    numbers: Mapping[int, int],
    constants: Mapping[int, Literal],
    parameters: Sequence[Parameter],
) -> HloComputation:
    """The entry computation with parameters renumbered and constants in the place of some."""

    def bound(instruction: HloInstruction) -> HloInstruction:
        if instruction.opcode != "parameter":
            return instruction
        old = instruction["number"]
        suffix = instruction.name.rpartition(".")[2]
        if old in constants:
            literal = attributes(literal=constants[old])
            return replace(instruction, name=f"constant.{suffix}", opcode="constant", attrs=literal)
        new = numbers[old]
        return replace(
            instruction,
            name=f"p{new}.{suffix}",
            attrs=attributes(number=new),
            metadata=Metadata(op_name=parameters[new].name),
        )

    return replace(entry, instructions=tuple(map(bound, entry.instructions)))


def _typed(entry: HloComputation, dtypes: Sequence[str]) -> HloComputation:
    """The entry computation with outputs of the types that PyTorch gives them.

    torch_xla makes some indices 32 bits wide and calls them int64.
    """
    root, made = entry.instructions[entry.root], list(entry.instructions)
    operands = []
    for n, (operand, dtype) in enumerate(zip(root.operands, dtypes, strict=True)):
        source = made[operand]
        assert isinstance(source.shape, Shape)
        if source.shape.dtype != dtype:
            made.append(
                HloInstruction(
                    f"output.{n}",
                    "convert",
                    Shape(dtype, source.shape.dims),
                    (operand,),
                    metadata=source.metadata,
                )
            )
            operand = len(made) - 1
        operands.append(operand)
    if tuple(operands) == root.operands:
        return entry
    shape = TupleShape(tuple(made[o].shape for o in operands))
    made.append(replace(root, name="outputs", operands=tuple(operands), shape=shape))
    return replace(entry, instructions=tuple(made), root=len(made) - 1)


def _with_sources(computation: HloComputation, places: Sequence[Place]) -> HloComputation:
    instructions = tuple(
        replace(i, metadata=_metadata(i.metadata, places)) for i in computation.instructions
    )
    return replace(computation, instructions=instructions)


def _metadata(made: Metadata, places: Sequence[Place]) -> Metadata:
    """The place that the scope in `op_name` refers to; torch_xla only knows lines in PyTorch."""
    scope = _SCOPE.match(made.op_name)
    if scope is None:
        return replace(made, op_name=made.op_type or made.op_name, source_file="", source_line=0)
    place = places[int(scope[1])]
    name = f"{place.layer}/{made.op_type}" if place.layer else made.op_type
    return Metadata(made.op_type, name, place.file, place.line)


def _identifier(name: str) -> str:
    """The name with what HLO allows in one; that of a `<lambda>` is `lambda`."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", name).strip("_")
    return name if name[:1].isalpha() else f"program_{name}"
