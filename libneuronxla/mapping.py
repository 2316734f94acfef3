"""The bytes of a file, of which none is read before it is asked for."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def mapped_bytes(path: str | os.PathLike[str]) -> Iterator[memoryview]:
    """A view of a whole file. Raises OSError."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield memoryview(b"")  # nothing cannot be mapped
            return
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            memoryview(data) as view,
        ):
            yield view
