"""A NEFF as a folder of its parts, and the folder as a NEFF again: byte for byte, if untouched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neff.archive import ENTRY_NAME, GZIP_MAGIC, available_memory, entries, gzipped, joined, tar
from neff.container import FORMAT, MANIFEST, announced, read_neff, to_json
from neff.errors import CompileError, NeffError
from neff.files import write_atomically
from neff.header import HEADER_SIZE, Header
from neff.inspect.describe import header_value
from neff.inspect.file import RawNeff, verify_weights
from neff.verify import verify_program

HEADER_FILE = "header.json"
# Fields of the header that packing takes from the folder; it computes the others again.
_KEPT = ("network_name", "neuroncore_count", "requested_tpb_count", "tpb_per_node")
_KEPT_TOO = ("feature_bits", "pcore_count_per_lnc")


def unpack(raw: RawNeff, folder: Path) -> list[Path]:
    """Write every file of a NEFF, and its header as JSON, into a folder that is new or empty.

    Raises NeffError for a folder that holds something, or contents that are damaged.
    """
    files = _files(raw)
    if HEADER_FILE in files:
        raise NeffError(f"unpack: the archive must not hold a file called {HEADER_FILE}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise NeffError(f"unpack: the folder must be new or empty, got {folder}")
    except (FileExistsError, NotADirectoryError):
        raise NeffError(f"unpack: must be a folder, got the file {folder}") from None
    compressed = bytes(raw.data[HEADER_SIZE : HEADER_SIZE + 2]) == GZIP_MAGIC
    header = json.dumps({**header_value(raw), "compressed": compressed}, indent=2)
    written = [_write(folder, HEADER_FILE, f"{header}\n".encode())]
    return written + [_write(folder, name, data.data) for name, data in files.items()]


def _files(raw: RawNeff) -> dict[str, np.ndarray]:
    """The archive's files: names are known to stay inside a folder, the hash to be right."""
    data = raw.data[HEADER_SIZE:]
    if hashlib.sha256(data).digest() != raw.header.digest:
        raise NeffError("unpack: the contents do not have the hash that the header announces")
    files: dict[str, np.ndarray] = {}
    free = available_memory()
    for name, size, reader in entries(data):
        if not 0 <= size <= free:
            raise NeffError(f"unpack: {name} needs {size} bytes of memory, available are {free}")
        free -= size
        if name in files:
            raise NeffError(f"unpack: the archive must hold a file once, got {name} twice")
        files[name] = reader.contents(size)
    return files


def _write(folder: Path, name: str, data: bytes | memoryview) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, data)
    return path


def pack(folder: Path) -> np.ndarray:
    """The NEFF of a folder that `unpack` made, verified; as uint8.

    Sizes, hash and UUID are computed again. Raises NeffError for files that are missing, foreign or
    not what the program needs.
    """
    header = _header_fields(folder)
    manifest = _json(folder, MANIFEST)
    names = _names(folder, manifest)
    files = {name: [_read(folder, name)] for name in names}
    contents = tar([(MANIFEST, [_manifest(folder, manifest, files)]), *files.items()])
    if header["compressed"]:
        contents = [gzipped(contents)]
    out = joined([bytes(HEADER_SIZE), *contents])
    out[:HEADER_SIZE] = np.frombuffer(_header(header, out).pack(), np.uint8)
    _verify(out)
    return out


def _header(fields: Mapping[str, Any], out: np.ndarray) -> Header:
    try:
        return Header(
            str(fields["network_name"]),
            hashlib.sha256(out.data[HEADER_SIZE:]).digest(),
            len(out) - HEADER_SIZE,
            int(fields["neuroncore_count"]),
            int(fields["requested_tpb_count"]),
            tuple(bytes(fields["tpb_per_node"])),
            int(fields["feature_bits"]),
            int(fields["pcore_count_per_lnc"]),
        )
    except (TypeError, ValueError) as error:
        raise NeffError(f"pack: {HEADER_FILE} must hold a header's fields: {error}") from error


def _header_fields(folder: Path) -> dict[str, Any]:
    fields = _json(folder, HEADER_FILE)
    needed = (*_KEPT, *_KEPT_TOO, "compressed")
    if missing := [name for name in needed if name not in fields]:
        raise NeffError(
            f"pack: {HEADER_FILE} must have {', '.join(needed)}; {missing[0]} is missing"
        )
    return fields


def _names(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The files to pack, in order: those the manifest names, which must be all there are."""
    try:
        names = [str(name) for name, *_ in manifest["files"]]
        found_format = manifest["format"]
    except (KeyError, TypeError, ValueError):
        raise NeffError(f"pack: {MANIFEST} must list the files") from None
    if found_format != FORMAT:
        raise NeffError(f"pack: {MANIFEST} must have format {FORMAT}, got {found_format!r}")
    foreign = [n for n in names if not ENTRY_NAME.fullmatch(n) or ".." in n]
    if foreign or len(set(names)) != len(names):
        raise NeffError(f"pack: {MANIFEST} must list plain names once, got {foreign or names}")
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    } - {HEADER_FILE, MANIFEST}
    if missing := sorted(set(names) - there):
        raise NeffError(f"pack: {missing[0]} must be in {folder}, as {MANIFEST} lists it")
    if extra := sorted(there - set(names)):
        raise NeffError(f"pack: {MANIFEST} must list every file, got also {extra[0]}")
    return names


def _manifest(
    folder: Path, manifest: Mapping[str, Any], files: Mapping[str, Sequence[bytes]]
) -> bytes:
    """The manifest of the files there are now; its very bytes, if they are still right."""
    found = announced(files)
    if manifest["files"] == found:
        return _read(folder, MANIFEST)
    return to_json({**manifest, "files": found})


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_read(folder, name))
    except ValueError as error:
        raise NeffError(f"pack: {name} must be JSON: {error}") from error
    if not isinstance(value, dict):
        raise NeffError(f"pack: {name} must be a JSON object, got {type(value).__name__}")
    return value


def _read(folder: Path, name: str) -> bytes:
    """A file of the folder itself: a link could bring in anything."""
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NeffError(
            f"pack: {folder} must be a folder that unpack made, {name} is missing"
        ) from None
    except OSError as error:
        raise NeffError(f"pack: {name} must be a plain file: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _verify(out: np.ndarray) -> None:
    try:
        neff = read_neff(out.data)
        verify_program(neff.program, "verify")
        verify_weights(neff)
    except (NeffError, CompileError) as error:
        raise NeffError(f"pack: the folder does not make a valid NEFF: {error}") from error
