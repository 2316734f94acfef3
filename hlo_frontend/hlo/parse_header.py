"""What stands around instructions in HLO text: the module's header, tables of lines, metadata."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hlo_frontend.hlo.module import NO_METADATA, Alias, Metadata
from hlo_frontend.hlo.parse_values import frontend_attributes, listed, name, word
from hlo_frontend.hlo.scanner import Scanner

KEY = re.compile(r"([A-Za-z_][\w-]*)\s*=")
_HEADER_VALUE = re.compile(r"[\w.-]+")
_FRAME_ROW = re.compile(r'(\d+)\s*("(?:[^"\\\n]|\\.)*"|\{[^}\n]*\})')
_FRAME_FIELD = re.compile(r"(\w+)=(\d+)")
_FRAME_TABLES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
# Header entries that say how to run a module, not what it computes.
_HEADER_IGNORED = frozenset(
    (
        "is_scheduled",
        "alias_passthrough_params",
        "buffer_donor",
        "entry_computation_layout",
        "replica_count",
        "num_partitions",
        "allow_spmd_sharding_propagation_to_parameters",
        "allow_spmd_sharding_propagation_to_output",
    )
)


@dataclass(slots=True)
class Header:
    """What the header says, and the file and line of each stack frame."""

    name: str
    aliases: tuple[Alias, ...] = ()
    frontend_attributes: tuple[tuple[str, str], ...] = ()
    frames: dict[int, tuple[str, int]] = field(default_factory=dict)


def parse_header(scanner: Scanner) -> Header:
    """Take the header of a module and the tables after it."""
    scanner.take("HloModule")
    header = Header(name(scanner))
    while scanner.accept(","):
        key = scanner.expect(KEY, "a key must come next")[1]
        if key == "input_output_alias":
            header.aliases = listed(scanner, _alias)
        elif key == "frontend_attributes":
            header.frontend_attributes = frontend_attributes(scanner)
        elif key not in _HEADER_IGNORED:
            raise scanner.error(
                "an entry of the header must be input_output_alias, frontend_attributes, "
                f"{', '.join(sorted(_HEADER_IGNORED))}, got {key}"
            )
        elif scanner.match(_HEADER_VALUE) is None:
            scanner.braces()
    header.frames = _frames(scanner)
    return header


def _alias(scanner: Scanner) -> Alias:
    output = scanner.integers()
    scanner.take(":")
    scanner.take("(")
    parameter = scanner.integer()
    scanner.take(",")
    inner = scanner.integers()
    must = False
    if scanner.accept(","):
        must = word(scanner) == "must-alias"
    scanner.take(")")
    return Alias(output, parameter, inner, must)


def _frames(scanner: Scanner) -> dict[int, tuple[str, int]]:
    """File and line by stack frame id, from the tables XLA prints after the header."""
    tables: dict[str, dict[int, Any]] = {title: {} for title in _FRAME_TABLES}
    for title, table in tables.items():
        if scanner.accept(title):
            while row := scanner.match(_FRAME_ROW):
                table[int(row[1])] = row[2]
    try:
        return {
            frame: _location(text, tables["FileLocations"], tables["FileNames"])
            for frame, text in tables["StackFrames"].items()
        }
    except KeyError as error:
        raise scanner.error(
            f"stack frames must refer to rows of the tables, got {error.args[0]}"
        ) from None


def _location(frame: str, locations: dict[int, str], files: dict[int, str]) -> tuple[str, int]:
    location = locations[_numbers(frame)["file_location_id"]]
    numbers = _numbers(location)
    return Scanner(files[numbers["file_name_id"]]).unicode(), numbers["line"]


def _numbers(text: str) -> dict[str, int]:
    return {key: int(value) for key, value in _FRAME_FIELD.findall(text)}


def parse_metadata(scanner: Scanner, frames: dict[int, tuple[str, int]]) -> Metadata:
    """Take `{op_type="..." ...}`; what is not kept is skipped."""
    values: dict[str, Any] = {}
    scanner.take("{")
    while not scanner.accept("}"):
        key = scanner.expect(KEY, "a key must come next")[1]
        take = _METADATA.get(key)
        if take is not None:
            values[key] = take(scanner)
        elif scanner.text.startswith("{", scanner.skip()):
            scanner.braces()
        elif scanner.text.startswith('"', scanner.position):
            scanner.string()
        else:
            scanner.integer()
    frame = values.pop("stack_frame_id", 0)
    if frame and "source_file" not in values:
        if frame not in frames:
            raise scanner.error(f"a stack frame must be in the module's tables, got {frame}")
        values["source_file"], values["source_line"] = frames[frame]
    return Metadata(**values) if values else NO_METADATA


_METADATA: dict[str, Callable[[Scanner], Any]] = {
    "op_type": Scanner.unicode,
    "op_name": Scanner.unicode,
    "source_file": Scanner.unicode,
    "source_line": Scanner.integer,
    "stack_frame_id": Scanner.integer,
}
