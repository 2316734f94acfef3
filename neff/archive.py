"""The payload of a NEFF: a tar archive, read and written in memory without touching the disk.

It is compressed with gzip where that pays. Trained weights hardly shrink: an archive that is mostly
weights stays as it is, and they are used where they lie, without a copy.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from neff.errors import NeffError

BLOCK = tarfile.BLOCKSIZE
GZIP_MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 31  # zlib's wbits for a gzip header and trailer
CHUNK = 1 << 18
SAMPLE, SAMPLES = 1 << 12, 8  # bytes, at that many places of a file, are compressed on trial
WORTHWHILE = 0.8
ALIGNMENT = 64  # bytes: what XLA asks of a buffer it does not copy
# What an archive may hold: plain files, at most one folder deep.
ENTRY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[a-z]+)?(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
Parts = Sequence[bytes | bytearray | memoryview]
MAX_ENTRY_NAME = 99  # what the name field of a ustar header holds


def tar(files: Iterable[tuple[str, Parts]]) -> list[bytes | bytearray | memoryview]:
    """An archive of named files, each given in parts, as a list of parts in turn."""
    archive: list[bytes | bytearray | memoryview] = []
    for name, parts in files:
        assert ENTRY_NAME.fullmatch(name) and len(name) <= MAX_ENTRY_NAME, name
        info = tarfile.TarInfo(name)
        info.size = sum(map(len, parts))
        archive += [info.tobuf(tarfile.USTAR_FORMAT), *parts, b"\0" * (-info.size % BLOCK)]
    return [*archive, b"\0" * (2 * BLOCK)]


def joined(parts: Parts) -> np.ndarray:
    """Parts one after the other, as uint8, in memory that a runtime can use as it is."""
    out = _aligned(sum(map(len, parts)))
    position = 0
    for part in parts:
        out[position : position + len(part)] = np.frombuffer(part, np.uint8)
        position += len(part)
    return out


def gzipped(parts: Parts) -> bytearray:
    """Parts one after the other, compressed."""
    out, packer = bytearray(), zlib.compressobj(1, zlib.DEFLATED, GZIP_FORMAT)
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), CHUNK):
            out += packer.compress(view[start : start + CHUNK])
    return out + packer.flush()


def shrinks(files: Iterable[Parts]) -> bool:
    """Whether compressing pays: on a sample of every file, counted by the file's size."""
    size = compressed = 0.0
    for parts in files:
        whole = sum(map(len, parts))
        largest = max(parts, key=len)
        step = max(len(largest) // SAMPLES, SAMPLE)
        sample = b"".join(largest[p : p + SAMPLE] for p in range(0, len(largest), step))
        ratio = len(zlib.compress(sample, 1)) / max(len(sample), 1)
        size, compressed = size + whole, compressed + ratio * whole
    return compressed < WORTHWHILE * size


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
        out = _aligned(size)
        filled = 0
        while filled < size:
            part = self._decompress(size - filled)
            out[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
            filled += len(part)
        return out

    def _decompress(self, limit: int) -> bytes:
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


def _aligned(size: int) -> np.ndarray:
    """Memory that a runtime can use as it is: .npy files keep the alignment for their data."""
    spare = np.empty(size + ALIGNMENT, np.uint8)
    start = -spare.ctypes.data % ALIGNMENT
    return spare[start : start + size]


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
