"""Locks between processes that end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class FileLock:
    """An advisory lock on a file of its own, made where it is missing.

    The kernel releases it when the process ends, killed or not; the file that stays means nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; whether it was. Raises OSError where no file can be made."""
        if self._handle is not None:
            return False
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        if not _is(handle, self.path):  # removed, and perhaps made anew, since it was opened
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        if self._handle is None:
            return
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()  # while the lock is held: nobody else can have it
        os.close(self._handle)
        self._handle = None


def _is(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(handle)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def remove_if_free(path: Path) -> bool:
    """Remove the file of a lock that nobody holds; whether it was removed."""
    lock = FileLock(path)
    if not lock.acquire():
        return False
    lock.release()
    return True
