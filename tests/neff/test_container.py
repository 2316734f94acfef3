"""The NEFF file: the published header, lossless and stable contents, and safe reading."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from hlo_frontend.hlo import attributes as a
from hlo_frontend.hlo.literal import Literal, TupleLiteral
from hlo_frontend.hlo.types import Shape, TokenShape, TupleShape
from neff import archive, container
from neff.archive import gzipped, tar
from neff.builder import Builder
from neff.checksum import checksum
from neff.container import read_neff, write_neff
from neff.encode import decode_shape, decode_value, encode_shape, encode_value
from neff.errors import NeffError
from neff.header import HEADER_SIZE, Header
from neff.options import parse_options
from neff.pipeline import pipeline, run
from neff.program import Program
from tests.neff.programs import parameters, program, random_programs, weight_variable
from tests.neff.test_passes import convolution_with_batch_norm


def compiled(p: Program) -> Program:
    return run(p, pipeline(parse_options(None)), lambda record: None)


@pytest.fixture(scope="module")
def example() -> Program:
    return compiled(convolution_with_batch_norm())


@pytest.fixture(scope="module")
def file(example: Program) -> bytes:
    return bytes(write_neff(example))


def test_header_has_the_published_offsets(file):
    def u64(offset):
        return struct.unpack_from("<Q", file, offset)[0]

    def u32(offset):
        return struct.unpack_from("<I", file, offset)[0]

    contents = file[1024:]
    assert u64(8) == 1024 and u64(16) == len(contents)  # header_size, data_size
    assert (u64(24), u64(32)) == (2, 0)  # NEFF version
    assert file[40:168].rstrip(b"\0") == b"neuron-emulator-2"
    assert u32(168) == 1 and u32(476) == 1  # num_tpb, requested_tpb_count
    assert file[172:204] == hashlib.sha256(contents).digest()
    assert file[204:220] == Header("test", file[172:204], 0).uuid.bytes
    assert file[220:476].rstrip(b"\0") == b"test"
    assert file[480:544] == b"\1" + b"\0" * 63  # tpb_per_node
    assert u64(544) == 0 and u32(552) == 1  # feature_bits, lnc_size
    assert file[556:1024] == b"\0" * 468


def test_payload_is_a_tar_that_common_tools_read(file, example):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(file[1024:]))) as tar:
        names = tar.getnames()
        weights = [
            np.load(io.BytesIO(tar.extractfile(n).read()), allow_pickle=False)
            for n in names
            if n.endswith(".npy")
        ]
        definitions = json.load(tar.extractfile("sg00/def.json"))
    assert names[:3] == ["neff.json", "kelf-a.json", "sg00/def.json"]
    assert {"sg00/PE.json", "sg00/Activation.json", "sg00/DVE.json"} <= set(names)
    expected = {w.array.tobytes() for w in example.weights.values()}
    assert {w.tobytes() for w in weights} == expected
    kinds = [v["type"] for v in definitions["var"].values()]
    assert kinds.count("input") == 1 and kinds.count("file") == len(weights)


@pytest.mark.parametrize("compress", [True, False])
def test_reads_back_the_same_program(example, compress):
    data = write_neff(example, compress=compress)
    neff = read_neff(data)
    assert neff.program == example
    assert [i.metadata for i in neff.program.main.instructions] == [
        i.metadata for i in example.main.instructions
    ]
    for digest, weight in example.weights.items():
        np.testing.assert_array_equal(neff.program.weights[digest].array, weight.array)
    assert bytes(write_neff(neff.program, compress=compress)) == bytes(data)


@given(p=random_programs())
@settings(max_examples=25, deadline=None)
def test_random_programs_read_back_the_same(p):
    made = compiled(p)
    assert read_neff(write_neff(made)).program == made


def test_equal_programs_give_equal_bytes_in_another_process(file):
    script = (
        "import hashlib\n"
        "from tests.neff.test_container import *\n"
        "print(hashlib.sha256(write_neff(compiled(convolution_with_batch_norm()))).hexdigest())"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == hashlib.sha256(file).hexdigest()


ROOT = Path(__file__).parents[2]


def test_uncompressed_weights_are_not_copied(example):
    data = write_neff(example, compress=False)
    for weight in read_neff(data).program.weights.values():
        assert np.shares_memory(weight.array, data)
        assert not weight.array.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        (1, -2, (True, "x"), ()),
        float("-inf"),
        float.fromhex("0x1.fffffep-3"),
        b"\x00\xff",
        None,
        Literal.of(np.array([np.nan, -0.0], np.float32)),
        TupleLiteral((Literal.of(np.int32(3)), Literal.of(np.zeros((0, 2), np.float16)))),
        a.DotDimensionNumbers((1,), (0,)),
        (a.WindowDimension(3, pad_low=-1, reversal=True),),
        a.ConvolutionDimensionNumbers(0, 1, (2,), 1, 0, (2,), 0, 1, (2,)),
        a.GatherDimensionNumbers((1,), (0,), (0,), 1),
        a.ScatterDimensionNumbers((1,), (0,), (0,), 1),
    ],
    ids=repr,
)
def test_attribute_values_survive_json(value):
    again = decode_value(json.loads(json.dumps(encode_value(value))))
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize(
    "shape",
    [
        Shape("f32"),
        Shape("pred", (0, 3)),
        TupleShape(()),
        TupleShape((Shape("f32", (2,)),)),
        TupleShape((Shape("bf16", (2, 3)), TupleShape((Shape("s4", (1,)), TokenShape())))),
    ],
    ids=str,
)
def test_shapes_survive_json(shape):
    assert decode_shape(json.loads(json.dumps(encode_shape(shape)))) == shape


# ---- files that are not good ----


def resealed(contents: bytes, **header: object) -> bytes:
    """A file whose header fits its contents."""
    fields = Header("test", hashlib.sha256(contents).digest(), len(contents))
    return replace(fields, **header).pack() + contents


def packed(*files: tuple[str, bytes], compress: bool = False) -> bytes:
    parts = tar([(name, [data]) for name, data in files])
    return bytes(gzipped(parts)) if compress else b"".join(parts)


def manifest_of(*files: tuple[str, int], form: int = container.FORMAT) -> tuple[str, bytes]:
    rows = [(name, size, checksum([])) for name, size in files]
    return "neff.json", json.dumps({"format": form, "name": "x", "files": rows}).encode()


def archived(*files: tuple[str, bytes], manifest: tuple[str, bytes] | None = None) -> bytes:
    announced = [(name, len(data)) for name, data in files]
    return resealed(packed(manifest or manifest_of(*announced), *files))


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """An archive whose second entry has a name or a type that no NEFF has."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    entry = info.tobuf(tarfile.USTAR_FORMAT)
    first = packed(manifest_of((name, 0)))
    return resealed(first[:-1024] + entry + bytes(1024))


def flipped(file: bytes, position: int) -> bytes:
    return file[:position] + bytes([file[position] ^ 1]) + file[position + 1 :]


HUGE = 1 << 60
BAD_FILES = {
    "empty": (lambda f: b"", "a NEFF has a header of 1024 bytes, got 0 bytes"),
    "header only in part": (lambda f: f[:1000], "has a header of 1024 bytes, got 1000"),
    "zeros": (lambda f: bytes(4096), "not a NEFF file: the header must say header_size=1024"),
    "zip": (lambda f: b"PK\3\4" + bytes(4000), "not a NEFF file"),
    "truncated": (lambda f: f[:-1], "truncated or oversized"),
    "longer": (lambda f: f + b"\0", "truncated or oversized"),
    "corrupted": (lambda f: flipped(f, 2000), "do not have the hash"),
    "other version": (
        lambda f: resealed(f[1024:], version=(1, 1)),
        "NEFF version mismatch supported: 2.0 received: 1.1",
    ),
    "other features": (
        lambda f: resealed(f[1024:], feature_bits=0x100),
        "NEFF version: 2.0, features: 0x100 are not supported.  Currently supporting: 0x0",
    ),
    "gzip cut short": (lambda f: resealed(f[1024:1224]), "the archive ends inside an entry"),
    "gzip damaged": (
        lambda f: resealed(flipped(f[1024:], 30)),
        "the archive is damaged|damaged header|ends inside|must begin with|cannot be read",
    ),
    "no archive": (lambda f: resealed(b"x" * 2048), "damaged header"),
    "no manifest": (lambda f: resealed(bytes(1024)), "must begin with neff.json, got ''"),
    "path up": (lambda f: hostile("../../etc/passwd"), "plain files named as a NEFF names them"),
    "absolute path": (lambda f: hostile("/etc/passwd"), "plain files"),
    "symbolic link": (lambda f: hostile("sg00/x", tarfile.SYMTYPE), "plain files"),
    "device": (lambda f: hostile("sg00/x", tarfile.CHRTYPE), "plain files"),
    "too large for this machine": (
        lambda f: archived(manifest=manifest_of(("a", HUGE))),
        f"the contents need {HUGE} bytes of memory, available are",
    ),
    "negative size": (
        lambda f: archived(manifest=manifest_of(("a", -1))),
        "the contents need -1 bytes",
    ),
    "other format": (
        lambda f: archived(manifest=manifest_of(form=99)),
        "format 2 is supported, got 99",
    ),
    "entry not announced": (
        lambda f: archived(("a", b""), manifest=manifest_of()),
        "must end after 0 files, got 'a'",
    ),
    "entry missing": (
        lambda f: archived(manifest=manifest_of(("a", 3))),
        r"must hold \('a', 3\) next, got \('', 0\)",
    ),
    "manifest is no JSON": (
        lambda f: archived(manifest=("neff.json", b"{")),
        "the contents cannot be read",
    ),
    "no graph": (lambda f: archived(), "the contents cannot be read: KeyError"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_gets_a_clear_error(case, file):
    damage, message = BAD_FILES[case]
    with pytest.raises(NeffError, match=message):
        read_neff(damage(file))


@given(position=...)
@settings(max_examples=150, deadline=None)
def test_damage_is_refused_or_changes_nothing(position: int):
    good = compiled(convolution_with_batch_norm())
    contents = bytes(write_neff(good, compress=False)[1024:])
    damaged = resealed(flipped(contents, position % len(contents)))
    try:
        read = read_neff(damaged, verify=False)
        read.check()
    except NeffError:
        return
    assert read.program == good
    for digest, weight in good.weights.items():
        np.testing.assert_array_equal(read.program.weights[digest].array, weight.array)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(container, "available_memory", lambda: 1 << 20)
    zeros = bytes(1 << 24)
    bomb = packed(manifest_of(("a", len(zeros))), ("a", zeros), compress=True)
    assert len(bomb) < 1 << 18
    with pytest.raises(NeffError, match="the contents need 16777216 bytes of memory"):
        read_neff(resealed(bomb))


def test_weights_that_do_not_shrink_are_not_compressed():
    noise = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
    for array, is_compressed in ((noise, False), (np.zeros_like(noise), True)):
        b, inputs = Builder(), [weight_variable("w", array)]
        data = write_neff(compiled(program(b, *parameters(b, inputs), inputs=inputs)))
        assert (bytes(data[1024:1026]) == archive.GZIP_MAGIC) is is_compressed


def test_memory_is_what_the_machine_has():
    assert 1 << 20 < archive.available_memory() < 1 << 50


def test_header_names_fit():
    assert len(Header("é" * 300, bytes(32), 0).pack()) == HEADER_SIZE
