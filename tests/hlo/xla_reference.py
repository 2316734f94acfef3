"""XLA's own reader and printer of HLO, by way of jaxlib: what ours are compared with."""

from __future__ import annotations

import re

from jaxlib import _hlo

from hlo_frontend.hlo.text import SHORT, PrintOptions


def normalized(proto: bytes) -> bytes:
    """The module as this XLA writes it: its own order of instructions, its own ids and names."""
    module = _hlo.HloModule.from_serialized_hlo_module_proto(proto)
    return module.as_serialized_hlo_module_proto()


def proto_of(text: str) -> bytes:
    """The module XLA reads from a text."""
    return _hlo.hlo_module_from_text(text).as_serialized_hlo_module_proto()


def printed(proto: bytes, options: PrintOptions) -> str:
    """The text XLA prints, in the form our options name."""
    if options is SHORT:
        theirs = _hlo.HloPrintOptions.short_parsable()
    else:
        theirs = _hlo.HloPrintOptions()
        theirs.print_operand_shape = options.operand_shapes
    theirs.print_metadata = options.metadata
    theirs.print_large_constants = True
    return _hlo.HloModule.from_serialized_hlo_module_proto(proto).to_string(theirs)


def blocks(text: str) -> dict[str, list[str]]:
    """Lines by the line that opens their computation, so that the order of computations is free.

    Tables of source lines, which XLA prints and we fold into the metadata, are left out.
    """
    found: dict[str, list[str]] = {}
    lines: list[str] = found.setdefault("", [])
    for line in text.splitlines():
        if line.endswith(" {"):
            lines = found.setdefault(line, [])
        elif line == "}":
            lines = found[""]
        elif line.strip() and not re.match(r"\d+ |(File|Function|Stack)[A-Z]", line):
            lines.append(line)
    return found
