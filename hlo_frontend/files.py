"""HLO modules read from files: protobuf, HLO text and StableHLO, told apart by their contents."""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum

from hlo_frontend.envelope import check_envelope
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import HloInstruction, HloModule
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module
from hlo_frontend.stablehlo import hlo_of_stablehlo

HEAD = 1 << 16  # bytes that are looked at to tell what a file is
LIMIT = (1 << 31) - 1  # bytes: the largest protobuf message


class Form(StrEnum):
    """What an HLO file can be."""

    PROTO = "HLO proto"
    TEXT = "HLO text"
    STABLEHLO = "StableHLO"


_SPACE_AND_COMMENTS = re.compile(rb"(?:\s|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_HLO_TEXT = re.compile(rb"HloModule\s+\S")
_MLIR_TEXT = re.compile(rb'module\s*[@{]|module\s+attributes\b|"?(?:builtin|func)\.|[#!]\w+\s*=')
_MLIR_BYTECODE = b"ML\xefR"
_NEFF_HEADER_SIZE = (1024).to_bytes(8, "little")  # the second field of a NEFF's header
# Files that are met where an HLO file is expected: how they start, what they are.
_FOREIGN = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive (a saved TorchScript module is one)"),
    (b"\x7fELF", "an ELF binary"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\0", "binary data that starts with a zero byte"),
)


def form_of(head: bytes) -> Form:
    """What a file is, told by its first `HEAD` bytes. Raises HloError if it cannot be HLO."""
    if head[8:16] == _NEFF_HEADER_SIZE:
        raise HloError("the file must be HLO, got a NEFF, which is compiled already")
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise HloError(f"the file must be HLO, got {what}")
    if head.startswith(_MLIR_BYTECODE):
        return Form.STABLEHLO
    skipped = _SPACE_AND_COMMENTS.match(head)
    start = skipped.end() if skipped else 0
    if _HLO_TEXT.match(head, start):
        return Form.TEXT
    if _MLIR_TEXT.match(head, start):
        return Form.STABLEHLO
    return Form.PROTO


def _parse_text(data: bytes) -> HloModule:
    try:
        return parse_module(data.decode())
    except UnicodeDecodeError as error:
        raise HloError(f"hlo text: must be UTF-8, got byte {error.start}") from None


_READERS: dict[Form, Callable[[bytes], HloModule]] = {
    Form.PROTO: read_module,
    Form.TEXT: _parse_text,
    Form.STABLEHLO: lambda data: read_module(hlo_of_stablehlo(data)),
}


def read_hlo_file(path: str | os.PathLike[str]) -> HloModule:
    """The module in a file, in whichever form: it is not verified yet.

    What is no HLO is refused by its first bytes and its outline, without reading the rest.
    Raises HloError with the file's name, or OSError.
    """
    try:
        with mapped(path) as (form, data):
            module = _READERS[form](bytes(data))
    except RecursionError:
        raise HloError(f"{path}: nested too deeply to be read") from None
    return _with_source(module, os.path.basename(path)) if form is Form.STABLEHLO else module


def _with_source(module: HloModule, name: str) -> HloModule:
    """The module with a file's name where MLIR, which does not know it, says `-`."""

    def named(i: HloInstruction) -> HloInstruction:
        if i.metadata.source_file != "-":
            return i
        return replace(i, metadata=replace(i.metadata, source_file=name))

    computations = tuple(
        replace(c, instructions=tuple(map(named, c.instructions))) for c in module.computations
    )
    return replace(module, computations=computations)


@contextmanager
def mapped(path: str | os.PathLike[str]) -> Iterator[tuple[Form, mmap.mmap]]:
    """What form of HLO a file has, and its bytes, which are not read yet.

    Raises HloError with the file's name, also for what is raised while it is open; or OSError.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            _check_size(os.fstat(file.fileno()))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                form = form_of(data[:HEAD])
                if form is Form.PROTO:
                    check_envelope(data)
                elif data[:4] != _MLIR_BYTECODE and (at := data.find(b"\0")) >= 0:
                    raise HloError(f"{form} must be text, got a zero byte at byte {at}")
                yield form, data
    except HloError as error:
        raise type(error)(f"{path}: {error}") from None


def _check_size(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise HloError("must be a plain file")
    if status.st_size == 0:
        raise HloError("must be an HLO file, got an empty one")
    if status.st_size > LIMIT:
        raise HloError(f"an HLO file has at most {LIMIT} bytes, got {status.st_size}")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for a writer
