"""HLO text, in the form XLA prints: modules, computations and instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hlo_frontend.hlo.module import (
    NO_METADATA,
    Alias,
    HloComputation,
    HloInstruction,
    HloModule,
    Metadata,
)
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.text_attributes import (
    RENDERERS,
    frontend_attributes_text,
    listed,
    quoted,
    shape_text,
)
from hlo_frontend.hlo.text_literal import is_large, literal_text
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from hlo_frontend.hlo.vocabulary import ATTRIBUTES, CALL_KEYS, NO_DEFAULT


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """What a listing shows. LONG says all; SHORT leaves out what repeats, and reads back too."""

    percent: bool = True
    operand_shapes: bool = True
    operand_marks: bool = True  # the number of every fifth operand
    signatures: bool = True
    metadata: bool = True
    backend_config: bool = True
    large_constants: bool = True  # if not, `{...}`, which does not read back


LONG = PrintOptions()
SHORT = PrintOptions(
    percent=False, operand_shapes=False, operand_marks=False, signatures=False, metadata=False
)

# Printed after the computations called; all other attributes come before.
_LAST = ("is_composite", "sharding", "frontend_attributes")


def print_module(module: HloModule, options: PrintOptions = LONG) -> str:
    """The module as text; `parse_module` reads it back to an equal module (metadata if shown)."""
    blocks = [_header(module)]
    for computation in module.computations:
        entry = "ENTRY " if computation.name == module.entry_name else ""
        blocks.append(entry + print_computation(computation, options))
    return "\n\n".join(blocks) + "\n"


def _header(module: HloModule) -> str:
    parameters, result = module.entry.signature
    layout = f"({listed([shape_text(p) for p in parameters])})->{shape_text(result)}"
    parts = [f"HloModule {module.name}"]
    if module.aliases:
        parts.append(f"input_output_alias={{ {', '.join(map(_alias, module.aliases))} }}")
    parts.append(f"entry_computation_layout={{{layout}}}")
    if module.frontend_attributes:
        parts.append(frontend_attributes_text(module.frontend_attributes))
    return ", ".join(parts)


def _alias(alias: Alias) -> str:
    kind = "must-alias" if alias.must_alias else "may-alias"
    output, inner = _index(alias.output_index), _index(alias.parameter_index)
    return f"{output}: ({alias.parameter}, {inner}, {kind})"


def _index(index: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, index)) + "}"


def print_computation(computation: HloComputation, options: PrintOptions = LONG) -> str:
    """The computation as text: its name, its signature and one line per instruction."""
    head = _reference(computation.name, options)
    if options.signatures:
        head += f" {_signature(computation)}"
    lines = [
        f"  {'ROOT ' if p == computation.root else ''}{_line(computation, i, options)}"
        for p, i in enumerate(computation.instructions)
    ]
    return "\n".join([f"{head} {{", *lines, "}"])


def _signature(computation: HloComputation) -> str:
    parameters = [computation.instructions[p] for p in computation.parameters]
    listing = ", ".join(f"{p.name}: {_plain_shape(p.shape)}" for p in parameters)
    return f"({listing}) -> {_plain_shape(computation.instructions[computation.root].shape)}"


def _plain_shape(shape: object) -> str:
    """A shape without layouts; XLA numbers the elements of tuples here too."""
    if isinstance(shape, TupleShape):
        return f"({listed([_plain_shape(e) for e in shape.elements])})"
    return str(shape)


def print_instruction(
    computation: HloComputation, position: int, options: PrintOptions = LONG
) -> str:
    """One instruction as text, without indent or ROOT."""
    return _line(computation, computation.instructions[position], options)


def _reference(name: str, options: PrintOptions) -> str:
    return f"%{name}" if options.percent else name


def _line(computation: HloComputation, i: HloInstruction, options: PrintOptions) -> str:
    head = f"{_reference(i.name, options)} = {shape_text(i.shape)} {i.opcode}"
    parts = [f"{head}({_arguments(computation, i, options)})"]
    parts.extend(_attributes(i, _calls(computation, i, options), options))
    return ", ".join(parts)


def _arguments(computation: HloComputation, i: HloInstruction, options: PrintOptions) -> str:
    if i.opcode == "parameter":
        return str(i["number"])
    if i.opcode == "constant":
        literal = i["literal"]
        shown = options.large_constants or not is_large(literal)
        return literal_text(literal) if shown else "{...}"
    known = computation.instructions
    names = [_reference(known[o].name, options) for o in i.operands]
    if options.operand_shapes:
        shapes = (known[o].shape for o in i.operands)
        names = [f"{shape_text(s)} {n}" for s, n in zip(shapes, names, strict=True)]
    return listed(names) if options.operand_marks else ", ".join(names)


def _attributes(i: HloInstruction, calls: Iterator[str], options: PrintOptions) -> Iterator[str]:
    values = dict(i.attrs)
    order = [n for n in OPS[i.opcode].attrs if n in values and n != "backend_config"]
    for name in order:
        if name not in _LAST and not _is_default(name, values[name]):
            yield from RENDERERS[name](values[name])
    yield from calls
    for name in _LAST:
        if name in values:
            yield from RENDERERS[name](values[name])
    if options.metadata and i.metadata != NO_METADATA:
        yield f"metadata={{{_metadata(i.metadata)}}}"
    if options.backend_config and "backend_config" in values:
        yield from RENDERERS["backend_config"](values["backend_config"])


def _is_default(name: str, value: object) -> bool:
    default = ATTRIBUTES[name].default
    return default is not NO_DEFAULT and value == default


def _calls(computation: HloComputation, i: HloInstruction, options: PrintOptions) -> Iterator[str]:
    names = [_reference(c, options) for c in i.calls]
    if not names:
        return
    if i.opcode == "custom-call":
        yield f"called_computations={{{', '.join(names)}}}"
    elif i.opcode == "conditional":
        yield from _branches(names, computation.instructions[i.operands[0]].shape)
    else:
        if i.opcode == "while":  # stored body first, printed condition first
            names.reverse()
        keys = CALL_KEYS.get(i.opcode, ("to_apply",))
        yield from (f"{key}={name}" for key, name in zip(keys, names, strict=True))


def _branches(names: list[str], choice: AnyShape) -> Iterator[str]:
    if choice == Shape("pred"):
        yield f"true_computation={names[0]}, false_computation={names[1]}"
    else:
        yield f"branch_computations={{{', '.join(names)}}}"


def _metadata(metadata: Metadata) -> str:
    texts = {
        "op_type": metadata.op_type,
        "op_name": metadata.op_name,
        "source_file": metadata.source_file,
    }
    fields = [f"{key}={quoted(value)}" for key, value in texts.items() if value]
    if metadata.source_line:
        fields.append(f"source_line={metadata.source_line}")
    return " ".join(fields)
