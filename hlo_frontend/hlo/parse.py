"""HLO text read into modules: the long and the short form XLA prints."""

from __future__ import annotations

import re
from typing import Any

from hlo_frontend.hlo.canonical import canonical_attributes
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import (
    NO_METADATA,
    HloComputation,
    HloInstruction,
    HloModule,
    Metadata,
    callees_first,
)
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse_attributes import CALLS, IGNORED, PARSERS, attributes_of
from hlo_frontend.hlo.parse_header import KEY, Header, parse_header, parse_metadata
from hlo_frontend.hlo.parse_literal import parse_literal
from hlo_frontend.hlo.parse_shape import parse_shape, starts_shape
from hlo_frontend.hlo.parse_values import name
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.types import AnyShape
from hlo_frontend.hlo.vocabulary import CALL_KEYS

_ENTRY = re.compile(r"ENTRY\b")
_ROOT = re.compile(r"ROOT\b")
_OPCODE = re.compile(r"[a-z][\w-]*")
# `while` stores its body first, whichever comes first in the text.
_STORED_FIRST = ("body", "select", "true_computation")


def parse_module(text: str) -> HloModule:
    """The module a text states, as `print_module` or XLA prints it.

    Accepts names with and without `%`, operands with and without shapes, computations with and
    without signatures, comments. Result shapes must be given. Where no computation
    is marked as the entry, the last is. Raises HloError with the line.
    """
    scanner = Scanner(text)
    header = parse_header(scanner)
    computations: dict[str, HloComputation] = {}
    called: dict[str, int] = {}  # name of a called computation: where in the text
    entry = None
    while scanner.skip() < len(text):
        start = scanner.position
        is_entry = scanner.match(_ENTRY) is not None
        computation = _ComputationParser(scanner, header, called).parse()
        if computation.name in computations or (is_entry and entry is not None):
            scanner.position = start
            raise scanner.error(
                "computations must have distinct names, and one be the entry, "
                f"got {'ENTRY ' * is_entry}%{computation.name}"
            )
        computations[computation.name] = computation
        entry = computation.name if is_entry else entry
    if not computations:
        scanner.fail("a computation must come next")
    for callee, position in called.items():
        if callee not in computations:
            scanner.position = position
            raise scanner.error(f"a called computation must be in the module, got %{callee}")
    entry = entry or computation.name
    return HloModule(
        header.name,
        callees_first(tuple(computations.values()), entry),
        entry,
        header.aliases,
        header.frontend_attributes,
    )


class _ComputationParser:
    """Parses one computation, keeping the positions of the names it has seen."""

    __slots__ = ("called", "header", "instructions", "positions", "scanner")

    def __init__(self, scanner: Scanner, header: Header, called: dict[str, int]) -> None:
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
            parameters, result = computation.signature
            raise s.error(
                f"the signature of %{own} must be ({', '.join(map(str, parameters))}) -> {result}"
            )
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
        calls, metadata = self._keys(opcode, given)
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

    def _keys(self, opcode: str, given: dict[str, Any]) -> tuple[tuple[str, ...], Metadata]:
        """Take `, key=value` as often as it comes; attributes go to `given`."""
        s = self.scanner
        calls: dict[str, tuple[str, ...]] = {}
        metadata = NO_METADATA
        while s.accept(","):
            key = s.expect(KEY, "a key must come next")[1]
            if key in PARSERS:
                given[key] = PARSERS[key](s)
            elif key in CALL_KEYS.get(opcode, ("to_apply",)):
                calls[key] = CALLS[key](s)
                for callee in calls[key]:
                    self.called.setdefault(callee, s.position)
            elif key == "metadata":
                metadata = parse_metadata(s, self.header.frames)
            elif key in IGNORED:
                s.braces()
            else:
                raise s.error(f"{opcode}: an attribute must be one HLO has, got {key}")
        order = sorted(calls, key=lambda k: k not in _STORED_FIRST)
        return tuple(c for key in order for c in calls[key]), metadata
