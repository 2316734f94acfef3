"""NEFF files opened for inspection: mapped, not copied; and everything that must hold of one."""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from neff.container import Neff, read_neff
from neff.errors import CompileError, NeffError
from neff.header import LAYOUT, Header, read_header
from neff.program import Weight
from neff.verify import verify_program


@dataclass(frozen=True, slots=True)
class RawNeff:
    """A file whose header was read: its bytes, and the UUID that stands in it."""

    path: Path
    data: memoryview
    header: Header
    uuid: bytes


def open_neff(path: str | os.PathLike[str]) -> RawNeff:
    """Map a file and check its header. Raises OSError or NeffError, which names the file."""
    try:
        data = _map(Path(path))
        header = read_header(data)
    except NeffError as error:
        raise NeffError(f"{path}: {error}") from error
    return RawNeff(Path(path), data, header, LAYOUT.unpack(data[: LAYOUT.size])[8])


def _map(path: Path) -> memoryview:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NeffError("neff: must be a plain file")
        if status.st_size == 0:
            raise NeffError("neff: must be a NEFF file, got an empty one")
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(descriptor)


def load_neff(path: str | os.PathLike[str]) -> Neff:
    """The header and program of a file, verified. Raises OSError or NeffError."""
    raw = open_neff(path)
    return contents(raw)


def contents(raw: RawNeff) -> Neff:
    """The program of a file whose header was read, verified; weights are not hashed again."""
    try:
        neff = read_neff(raw.data)
        verify_program(neff.program, "verify")
    except (NeffError, CompileError) as error:
        raise NeffError(f"{raw.path}: {error}") from error
    return neff


def verify_weights(neff: Neff) -> None:
    """Raise NeffError for a weight whose values are not those it is named after."""
    for digest, weight in neff.program.weights.items():
        if (found := Weight.of(weight.array).digest) != digest:
            raise NeffError(
                f"verify: sg00/{digest}.npy must hold the values it is named after, "
                f"got those of {found}"
            )
