"""HLO text read into modules: the long and the short form XLA prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hlo_frontend.hlo.canonical import canonical_attributes
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import (
    NO_METADATA,
    Alias,
    HloComputation,
    HloInstruction,
    HloModule,
    Metadata,
    callees_first,
)
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse_attributes import (
    CALLS,
    IGNORED,
    PARSERS,
    attributes_of,
    frontend_attributes,
    listed,
    name,
    word,
)
from hlo_frontend.hlo.parse_literal import parse_literal
from hlo_frontend.hlo.parse_shape import parse_shape, starts_shape
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.types import AnyShape

_OPCODE = re.compile(r"[a-z][\w-]*")
_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*=")
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
# `while` stores its body first, whichever comes first in the text.
_STORED_FIRST = ("body", "select", "true_computation")


@dataclass(slots=True)
class _Header:
    name: str
    aliases: tuple[Alias, ...] = ()
    frontend_attributes: tuple[tuple[str, str], ...] = ()
    frames: dict[int, tuple[str, int]] = field(default_factory=dict)


def parse_module(text: str) -> HloModule:
    """The module a text states, as `print_module` or XLA prints it.

    Accepts names with and without `%`, operands with and without shapes, computations with and
    without signatures, comments. Result shapes must be given. Raises HloError with the line.
    """
    scanner = Scanner(text)
    header = _header(scanner)
    computations: list[HloComputation] = []
    called: dict[str, int] = {}  # name of a called computation: where in the text
    entry = ""
    while scanner.skip() < len(text):
        is_entry = scanner.match(_ENTRY) is not None
        computation = _ComputationParser(scanner, header, called).parse()
        computations.append(computation)
        entry = computation.name if is_entry or not entry else entry
    if not computations:
        scanner.fail("a computation must come next")
    known = {c.name for c in computations}
    for callee, position in called.items():
        if callee not in known:
            scanner.position = position
            raise scanner.error(f"a called computation must be in the module, got %{callee}")
    return HloModule(
        header.name,
        callees_first(tuple(computations), entry),
        entry,
        header.aliases,
        header.frontend_attributes,
    )


_ENTRY = re.compile(r"ENTRY\b")
_ROOT = re.compile(r"ROOT\b")


def _header(scanner: Scanner) -> _Header:
    scanner.take("HloModule")
    header = _Header(name(scanner))
    while scanner.accept(","):
        key = scanner.expect(_KEY, "a key must come next")[1]
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


class _ComputationParser:
    """Parses one computation, keeping the positions of the names it has seen."""

    __slots__ = ("called", "header", "instructions", "positions", "scanner")

    def __init__(self, scanner: Scanner, header: _Header, called: dict[str, int]) -> None:
        self.scanner = scanner
        self.header = header
        self.called = called
        self.positions: dict[str, int] = {}
        self.instructions: list[HloInstruction] = []

    def parse(self) -> HloComputation:
        s = self.scanner
        own = name(s)
        signature = self._signature() if s.accept("(") else None
        s.take("{")
        start, root = s.position, None
        while not s.accept("}"):
            is_root = s.match(_ROOT) is not None
            self._instruction()
            root = len(self.instructions) - 1 if is_root else root
        if not self.instructions:
            raise s.error(f"computation %{own} must have instructions, got none")
        computation = HloComputation(
            own, tuple(self.instructions), len(self.instructions) - 1 if root is None else root
        )
        if signature not in (None, computation.signature):
            s.position = start
            raise s.error(f"the signature of %{own} must be that of its instructions")
        return computation

    def _signature(self) -> tuple[tuple[AnyShape, ...], AnyShape]:
        """The rest of `(a: f32[2], b: s32[]) -> f32[2]`."""
        s = self.scanner
        parameters: list[AnyShape] = []
        while not s.accept(")"):
            if parameters:
                s.take(",")
            name(s)
            s.take(":")
            parameters.append(parse_shape(s))
        s.take("->")
        return tuple(parameters), parse_shape(s)

    def _instruction(self) -> None:
        s = self.scanner
        own = name(s)
        start = s.position
        s.take("=")
        shape = parse_shape(s)
        opcode = s.expect(_OPCODE, "an opcode must come next")[0]
        if opcode not in OPS:
            raise s.error(f"opcode must be one of the {len(OPS)} supported, got {opcode}")
        s.take("(")
        given: dict[str, Any] = {}
        operands: tuple[int, ...] = ()
        if opcode == "parameter":
            given["number"] = s.integer()
        elif opcode == "constant":
            given["literal"] = parse_literal(s, shape)
            shape = given["literal"].shape
        else:
            operands = self._operands()
        if opcode in ("parameter", "constant"):
            s.take(")")
        calls, metadata = self._keys(given)
        try:
            attrs = attributes_of(OPS[opcode].attrs, given)
        except HloError as error:
            s.position = start
            raise s.error(f"{opcode}: {error}") from None
        if self.positions.setdefault(own, len(self.instructions)) != len(self.instructions):
            s.position = start
            raise s.error(f"names of instructions must differ, got %{own} twice")
        first = self.instructions[operands[0]].shape if operands else None
        self.instructions.append(
            HloInstruction(
                own,
                opcode,
                shape,
                operands,
                canonical_attributes(opcode, attrs, first),
                calls,
                metadata,
            )
        )

    def _operands(self) -> tuple[int, ...]:
        """Positions of the operands, up to and with the closing parenthesis."""
        s = self.scanner
        operands: list[int] = []
        while not s.accept(")"):
            if operands:
                s.take(",")
            shape = parse_shape(s) if starts_shape(s) else None
            start = s.skip()
            own = name(s)
            if own not in self.positions:
                s.position = start
                raise s.error(f"an operand must be an earlier instruction, got %{own}")
            position = self.positions[own]
            if shape not in (None, self.instructions[position].shape):
                raise s.error(
                    f"shape of %{own} must be {self.instructions[position].shape}, got {shape}"
                )
            operands.append(position)
        return tuple(operands)

    def _keys(self, given: dict[str, Any]) -> tuple[tuple[str, ...], Metadata]:
        """Take `, key=value` as often as it comes; attributes go to `given`."""
        s = self.scanner
        calls: dict[str, tuple[str, ...]] = {}
        metadata = NO_METADATA
        while s.accept(","):
            key = s.expect(_KEY, "a key must come next")[1]
            if key in PARSERS:
                given[key] = PARSERS[key](s)
            elif key in CALLS:
                calls[key] = CALLS[key](s)
                for callee in calls[key]:
                    self.called.setdefault(callee, s.position)
            elif key == "metadata":
                metadata = _metadata(s, self.header.frames)
            elif key in IGNORED:
                s.braces()
            else:
                raise s.error(f"an attribute must be one HLO has, got {key}")
        order = sorted(calls, key=lambda k: k not in _STORED_FIRST)
        return tuple(c for key in order for c in calls[key]), metadata


def _metadata(scanner: Scanner, frames: dict[int, tuple[str, int]]) -> Metadata:
    values: dict[str, Any] = {}
    scanner.take("{")
    while not scanner.accept("}"):
        key = scanner.expect(_KEY, "a key must come next")[1]
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
