"""The payload of a NEFF: a tar archive, read and written in memory without touching the disk.

Compressed, it is a sequence of gzip members, one for each tar entry (any gzip tool reads it).
Entries that do not compress, as trained weights, are stored inside their member.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterator

import numpy as np

from neff.errors import NeffError

BLOCK = tarfile.BLOCKSIZE
GZIP_MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 31  # zlib's wbits for a gzip header and trailer
CHUNK = 1 << 18
SAMPLE = 1 << 16  # bytes compressed on trial, to see whether an entry is worth it
WORTHWHILE = 0.8
# What an archive may hold: plain files, at most one folder deep.
ENTRY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[a-z]+)?(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
MAX_ENTRY_NAME = 99  # what the name field of a ustar header holds


def append_entry(out: bytearray, name: str, *parts: bytes | memoryview, compress: bool) -> None:
    """Append one file, given in parts, to an archive under construction."""
    assert ENTRY_NAME.fullmatch(name) and len(name) <= MAX_ENTRY_NAME, name
    info = tarfile.TarInfo(name)
    info.size = sum(len(part) for part in parts)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    _append_member(out, (header, *parts, b"\0" * (-info.size % BLOCK)), compress)


def append_end(out: bytearray, *, compress: bool) -> None:
    """Close an archive: two blocks of zeros."""
    _append_member(out, (b"\0" * (2 * BLOCK),), compress)


def _append_member(out: bytearray, parts: tuple[bytes | memoryview, ...], compress: bool) -> None:
    if not compress:
        for part in parts:
            out += part
        return
    sample = bytes(memoryview(max(parts, key=len))[:SAMPLE])
    shrinks = len(zlib.compress(sample, 1)) < WORTHWHILE * len(sample)
    packer = zlib.compressobj(1 if shrinks else 0, zlib.DEFLATED, GZIP_FORMAT)
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), CHUNK):
            out += packer.compress(view[start : start + CHUNK])
    out += packer.flush()


class Reader:
    """Bytes of an archive in order, decompressed where it is compressed."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0
        self.compressed = bytes(data[:2]) == GZIP_MAGIC
        self.member = zlib.decompressobj(GZIP_FORMAT)

    def take(self, size: int) -> np.ndarray:
        """The next `size` bytes, as uint8: a view where they lie in the file as they are."""
        if not self.compressed:
            view = self.data[self.position : self.position + size]
            if len(view) < size:
                raise NeffError("neff: the archive ends inside an entry")
            self.position += size
            return np.frombuffer(view, np.uint8)
        out = np.empty(size, np.uint8)
        filled = 0
        while filled < size:
            part = self._decompress(size - filled)
            out[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
            filled += len(part)
        return out

    def _decompress(self, limit: int) -> bytes:
        if self.member.eof:
            self.member = zlib.decompressobj(GZIP_FORMAT)
        chunk = self.data[self.position : self.position + CHUNK]
        if not len(chunk):
            raise NeffError("neff: the archive ends inside an entry")
        try:
            part = self.member.decompress(chunk, limit)
        except zlib.error as error:
            raise NeffError(f"neff: the archive is damaged: {error}") from error
        left = self.member.unused_data if self.member.eof else self.member.unconsumed_tail
        self.position += len(chunk) - len(left)
        return part

    def entry(self) -> tuple[str, int] | None:
        """Name and size of the next file, or None at the end of the archive."""
        block = self.take(BLOCK).tobytes()
        if block == b"\0" * BLOCK:
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise NeffError(f"neff: an archive entry has a damaged header: {error}") from error
        named = len(info.name) <= MAX_ENTRY_NAME and ENTRY_NAME.fullmatch(info.name)
        if not info.isreg() or not named or ".." in info.name:
            raise NeffError(
                f"neff: archive entries must be plain files named as a NEFF names them, "
                f"got {info.name!r}"
            )
        return info.name, info.size

    def contents(self, size: int) -> np.ndarray:
        """The file whose entry was read last."""
        data = self.take(size)
        self.take(-size % BLOCK)
        return data


def entries(data: memoryview) -> Iterator[tuple[str, int, Reader]]:
    """Name and size of each file; the consumer takes its contents before asking for the next."""
    reader = Reader(data)
    while (entry := reader.entry()) is not None:
        yield (*entry, reader)


def available_memory() -> int:
    """Bytes this machine can still give: the limit for what a file announces it will need."""
    try:
        with open("/proc/meminfo") as lines:
            found = (line.split() for line in lines if line.startswith("MemAvailable:"))
            return int(next(found)[1]) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
