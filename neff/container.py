"""The NEFF file: a program, its weights and its description, to bytes and back.

After the header comes a tar archive:

    neff.json               what follows: size and checksum of every file, in order
    kelf-a.json             the graph: variables, functions, regions, source lines
    sg00/<engine>.json      the instruction stream of each engine
    sg00/def.json           the variables and buffers, by the published keys
    sg00/<digest>.npy       the weights
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hlo_frontend.hlo.types import AnyShape, Shape
from neff.archive import Parts, available_memory, entries, gzipped, joined, shrinks, tar
from neff.checksum import checksum
from neff.encode import decode_shape, encode_shape
from neff.errors import NeffError
from neff.header import HEADER_SIZE, Header, read_header
from neff.program import Program, Weight
from neff.streams import DEFINITIONS, decode_program, encode_program

FORMAT = 2
WITHOUT_CHECKSUMS = 1  # a format that is read, too: its files have the hash of the whole alone
MANIFEST = "neff.json"
MANIFEST_LIMIT = 1 << 24  # bytes
Sums = Mapping[str, str]  # checksums by file


@dataclass(frozen=True, slots=True)
class Neff:
    """A NEFF that was read: its header and its program, with the weights bound.

    Files of one `identity` hold the same, once they were checked.
    """

    header: Header
    program: Program
    identity: bytes
    checking: Callable[[], object] = field(compare=False, repr=False)

    def check(self) -> None:
        """Return once the weights are known to be whole. Raises NeffError if they are not."""
        self.checking()


def write_neff(
    program: Program, *, compress: bool = True, logical_cores: int = 1, pipeline_cores: int = 1
) -> np.ndarray:
    """The file's bytes, as uint8; with `compress`, fewer where that pays.

    `logical_cores` is how many physical cores make one logical core, `pipeline_cores` over how
    many cores the program is spread. Equal programs give equal bytes.
    """
    files = _files_of(program)
    manifest = to_json({"format": FORMAT, "name": program.name, "files": announced(files)})
    contents = tar([(MANIFEST, [manifest]), *files.items()])
    if compress and shrinks(files.values()):
        contents = [gzipped(contents)]
    out = joined([bytes(HEADER_SIZE), *contents])
    digest = hashlib.sha256(out.data[HEADER_SIZE:]).digest()
    header = Header(
        program.name,
        digest,
        len(out) - HEADER_SIZE,
        num_tpb=pipeline_cores,
        requested_tpb_count=pipeline_cores,
        tpb_per_node=(pipeline_cores,),
        lnc_size=logical_cores,
    )
    out[:HEADER_SIZE] = np.frombuffer(header.pack(), np.uint8)
    return out


def announced(files: Mapping[str, Parts]) -> list[list[Any]]:
    """What the manifest says of files: name, size, checksum."""
    return [[name, sum(map(len, parts)), checksum(parts)] for name, parts in files.items()]


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _files_of(program: Program) -> dict[str, Parts]:
    """Every file but the manifest, in parts; a weight is a header and a view of its array."""
    documents = encode_program(program)
    weights = dict(sorted(program.weights.items()))
    documents[DEFINITIONS]["weights"] = {d: encode_shape(w.shape) for d, w in weights.items()}
    files: dict[str, Parts] = {n: [to_json(document)] for n, document in documents.items()}
    for digest, weight in weights.items():
        flat = np.ascontiguousarray(weight.array).reshape(-1).view(np.uint8)
        files[weight_file(digest)] = [_npy_header(weight.shape), flat.data]
    return files


def weight_file(digest: str) -> str:
    return f"sg00/{digest}.npy"


def _npy_type(shape: Shape) -> np.dtype:
    """The numpy type in a .npy file: an integer of the same width where numpy knows no name."""
    dtype = shape.numpy
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def _npy_header(shape: Shape) -> bytes:
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(_npy_type(shape))
    fields = {"descr": descr, "fortran_order": False, "shape": shape.dims}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def read_neff(data: bytes | bytearray | memoryview, *, verify: bool = True) -> Neff:
    """Read a file, checking everything before it is used; weights are views where they can be.

    Without `verify` weights are compared with their checksums where `check` is called, and the
    whole is not compared with the hash in the header, which takes five times as long.
    Raises NeffError for a file that is damaged, foreign, or needs more memory than there is.
    """
    view = memoryview(data).cast("B").toreadonly()
    header = read_header(view)
    if verify:
        check_hash(view)
    try:
        manifest, sums, files = _read_files(view[HEADER_SIZE:])
        identity = hashlib.sha256(manifest).digest()
        if sums is None:
            identity = header.digest
            if not verify:
                check_hash(view)
        documents = {n: f for n, f in files.items() if n.endswith(".json")}
        _check_sums(documents, sums)
        parsed = {n: json.loads(f.tobytes()) for n, f in documents.items()}
        shapes = parsed[DEFINITIONS]["weights"]
        weights = {d: _read_weight(d, decode_shape(s), files) for d, s in shapes.items()}
        program = decode_program(parsed, weights)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, NeffError):
            raise
        raise NeffError(f"neff: the contents cannot be read: {error!r}") from error
    others = {n: f for n, f in files.items() if n not in documents}
    neff = Neff(header, program, identity, partial(_check_sums, others, sums))
    if verify:
        neff.check()
    return neff


def _check_sums(files: Mapping[str, np.ndarray], sums: Sums | None) -> None:
    for name, data in files.items():
        if sums is not None and checksum([data.data]) != sums[name]:
            raise NeffError(f"neff: {name} does not have the checksum that {MANIFEST} announces")


def check_hash(data: bytes | bytearray | memoryview) -> None:
    """Compare a file's contents with the hash in its header. Raises NeffError."""
    view = memoryview(data).cast("B")
    header = read_header(view)
    if hashlib.sha256(view[HEADER_SIZE:]).digest() != header.digest:
        raise NeffError("neff: the contents do not have the hash that the header announces")


def _read_files(contents: memoryview) -> tuple[bytes, Sums | None, dict[str, np.ndarray]]:
    """The manifest at the archive's head, the checksums that it announces, and every file.

    There must be the files that the manifest announces, of their sizes.
    """
    archive = entries(contents)
    name, size, reader = next(archive, ("", 0, None))
    if reader is None or name != MANIFEST or size > MANIFEST_LIMIT:
        raise NeffError(f"neff: the archive must begin with {MANIFEST}, got {name!r}")
    text = reader.contents(size).tobytes()
    manifest = json.loads(text)
    if manifest["format"] not in (WITHOUT_CHECKSUMS, FORMAT):
        raise NeffError(f"neff: format {FORMAT} is supported, got {manifest['format']!r}")
    expected = [(str(n), int(s)) for n, s, *_ in manifest["files"]]
    needed, free = sum(s for _, s in expected), available_memory()
    if min((s for _, s in expected), default=0) < 0 or needed > free:
        raise NeffError(f"neff: the contents need {needed} bytes of memory, available are {free}")
    files = {}
    for entry in expected:
        name, size, _ = next(archive, ("", 0, reader))
        if (name, size) != entry:
            raise NeffError(f"neff: the archive must hold {entry} next, got {(name, size)}")
        files[name] = reader.contents(size)
    if (extra := next(archive, None)) is not None:
        raise NeffError(f"neff: the archive must end after {len(files)} files, got {extra[0]!r}")
    if manifest["format"] == WITHOUT_CHECKSUMS:
        return text, None, files
    return text, {str(n): str(found) for n, _, found in manifest["files"]}, files


def _read_weight(digest: str, shape: AnyShape, files: dict[str, np.ndarray]) -> Weight:
    """A weight from its .npy file, whose header must be the one this format writes."""
    if not isinstance(shape, Shape):
        raise NeffError(f"neff: a weight must be an array, got {shape}")
    data, header = files[weight_file(digest)], _npy_header(shape)
    if data[: len(header)].tobytes() != header or data.size != len(header) + shape.bytes:
        raise NeffError(f"neff: {weight_file(digest)} must hold {shape}")
    return Weight(digest, shape, data[len(header) :].view(shape.numpy).reshape(shape.dims))
