"""The file a compilation makes: known to be possible before, whole or absent after."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from neff.files import write_atomically


def check_writable(path: Path) -> None:
    """Raise OSError if a file cannot be made at `path`: before compiling, not after."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "the output must be a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the output's folder must exist", str(path))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the output's folder must be writable", str(path))


def write_output(path: Path, data: memoryview) -> None:
    """Write the file. Raises OSError with its name."""
    try:
        write_atomically(path, data)
    except OSError as error:  # of a temporary file, whose name says nothing
        raise type(error)(error.errno, error.strerror, str(path)) from None
