"""Compiled executables on disk, so that a file that was loaded before is not compiled again.

They are in `$XDG_CACHE_HOME/neuron-emulator/executables/`, a file each: its SHA-256, then what was
written. Files that were not used for the longest time make room for others. Any number of processes
may use the folder at once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import tempfile
from pathlib import Path

from runtime import library
from runtime.logs import Level, log
from runtime.settings import number, setting

DIGEST = hashlib.sha256().digest_size
MIB = 1 << 20
_HERE = Path(__file__).parent


def enabled() -> bool:
    return number("NEURON_EMULATOR_EXECUTABLE_CACHE") > 0


def folder() -> Path:
    return library.cache_directory().parent / "executables"


def key_of(identity: bytes, *choices: object) -> str | None:
    """What a program's executable is kept by; None where nothing is to be kept.

    `identity` is the file's, `choices` what else decides what is compiled.
    """
    if not enabled():
        return None
    settings = (setting(name) for name in ("XLA_FLAGS", "NEURON_EMULATOR_KERNELS"))
    told = (identity.hex(), repr(choices), *settings, _machine())
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


@functools.cache
def _machine() -> str:
    """What makes the executables of one machine and one version of the emulator useless to others:
    the processor, XLA, the kernels and all that turns a program into what XLA compiles."""
    sources = hashlib.sha256()
    for path in sorted(p for p in _HERE.rglob("*.py") if "nrt" not in p.parts):
        sources.update(path.read_bytes())
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib")]
    kernels = str(library.library_path(library.KERNELS))
    return "\0".join((*versions, sources.hexdigest(), kernels, library.processor()))


def read(key: str) -> bytes | None:
    """What was written under a key, if it is there, whole, and nobody else can have written it."""
    path = folder() / key
    try:
        library.check_trusted(path)
        data = path.read_bytes()
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:
        log(Level.WARNING, "NRT", "read_executable", f"compiled anew: {error}")
        return None
    if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
        log(Level.WARNING, "NRT", "read_executable", f"compiled anew: {path} is damaged")
        return None
    return data[DIGEST:]


def write(key: str, data: bytes) -> None:
    """Keep something under a key; where the folder cannot be written to, only the log says so."""
    try:
        folder().parent.mkdir(parents=True, exist_ok=True)
        folder().mkdir(mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{key}.", dir=folder())
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(temporary, folder() / key)
        except BaseException:
            _remove(Path(temporary))
            raise
        _make_room()
    except OSError as error:
        log(Level.WARNING, "NRT", "write_executable", f"not kept: {error}")


def _make_room() -> None:
    """Remove what was used least lately until the rest fits."""
    left = number("NEURON_EMULATOR_EXECUTABLE_CACHE") * MIB
    found = []
    for path in folder().iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process makes room too
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
    for _, size, path in sorted(found, reverse=True):
        left -= size
        if left < 0:
            _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
