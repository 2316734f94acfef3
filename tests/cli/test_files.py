"""What is not HLO is told in one line, and quickly; what is HLO is read in whichever form."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hlo_frontend.envelope import check_envelope
from hlo_frontend.files import LIMIT, read_hlo_file
from hlo_frontend.hlo.errors import DynamicShapeError, HloError
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.schema import MESSAGES
from hlo_frontend.hlo.text import print_module
from hlo_frontend.hlo.verify import verify_module
from neff.compile import compile_module
from neff.errors import CompileError
from neuronxcc.driver.CommandDriver import main
from tests.cli.models import DYNAMIC, SINE, STABLEHLO, proto

NO_HLO = "the file must be HLO, got"


def wrapped(module: bytes) -> bytes:
    """An HloProto around an HloModuleProto."""
    message = MESSAGES["HloProto"]()
    message.hlo_module.ParseFromString(module)
    return message.SerializeToString()


FORMS = {
    "proto": proto(),
    "wrapped proto": wrapped(proto()),
    "text": SINE.encode(),
    "text after comments": b"// a comment\n/* another */\n" + SINE.encode(),
    "StableHLO": STABLEHLO.encode(),
    "StableHLO after a comment": b"// a comment\n" + STABLEHLO.encode(),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_every_form_is_told_by_its_contents(data, tmp_path):
    path = tmp_path / "model.whatever"
    path.write_bytes(data)
    module = read_hlo_file(path)
    verify_module(module)
    assert module.name == "sines"
    assert [i.opcode for i in module.entry.instructions] == ["parameter", "sine", "dot"]


def test_a_refused_instruction_of_stablehlo_has_its_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    call = "stablehlo.custom_call @Nope(%x) : (tensor<4x4xf32>) -> tensor<4x4xf32>"
    Path("model.mlir").write_text(STABLEHLO.replace("stablehlo.sine %x : tensor<4x4xf32>", call))
    assert main(["compile", "model.mlir", "--framework=XLA", "--target=inf2"]) == 1
    err = capfd.readouterr().err
    assert "[NCC_EVRF015]" in err and "from model.mlir:4\n" in err


BAD = {
    "empty": (b"", "must be an HLO file, got an empty one"),
    "gzip": (gzip.compress(proto()), f"{NO_HLO} a gzip archive"),
    "zip": (b"PK\x03\x04rest", f"{NO_HLO} a zip archive"),
    "numpy": (b"\x93NUMPY\x01\0", f"{NO_HLO} a numpy array"),
    "NEFF": (compile_module(parse_module(SINE)).neff.tobytes(), f"{NO_HLO} a NEFF"),
    "zeros": (bytes(4096), f"{NO_HLO} binary data that starts with a zero byte"),
    "zeros in front of a module": (bytes(7) + proto(), f"{NO_HLO} binary data"),
    "zeros after a module": (proto() + bytes(4096), "got something else (no protobuf field"),
    "truncated": (proto()[:-20], "hlo proto: truncated: field"),
    "one byte": (b"\n", "must be an HLO proto, HLO text or StableHLO, got something else"),
    "prose": (b"Dear compiler,\n", "must be an HLO proto, HLO text or StableHLO"),
    "spaces": (b" " * (1 << 20), "must be an HLO proto, HLO text or StableHLO"),
    "text cut off": (SINE[:-40].encode(), "hlo text: line 7"),
    "text of other bytes": (b"HloModule \xff\xfe", "hlo text: must be UTF-8"),
    "StableHLO cut off": (STABLEHLO[:-30].encode(), "stablehlo: line"),
    "StableHLO of another dialect": (
        STABLEHLO.replace("stablehlo.sine", "elsewhere.sine").encode(),
        "stablehlo: line 4: Dialect `elsewhere' not found",
    ),
    "no entry": (b"module @m {}", "stablehlo: line 1: conversion requires module with `main`"),
    "bytecode cut off": (b"ML\xefR\rStableHLO_v1.15.0\0\1\x1b", "stablehlo: "),
    "deep nesting": (
        b"HloModule m\nENTRY e { ROOT x = " + b"(" * 100_000,
        "nested too deeply to be read",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_gets_one_clear_line(data, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("bad.pb").write_bytes(data)
    assert main(["compile", "bad.pb", "--framework=XLA", "--target=inf2"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("neuronx-cc: bad.pb: ") and message in err
    assert len(err.splitlines()) == 1
    assert sorted(os.listdir()) == ["bad.pb", "log-neuron-cc.txt"]


@pytest.mark.parametrize("size", [2_000_000_000, LIMIT, LIMIT + 1, 1 << 40])
@pytest.mark.parametrize("start", [b"", proto(), SINE.encode(), STABLEHLO.encode()])
def test_a_huge_file_is_refused_without_reading_it(size, start, tmp_path):
    path = tmp_path / "huge.pb"
    path.write_bytes(start)
    os.truncate(path, size)
    tracemalloc.start()
    with pytest.raises(HloError):
        read_hlo_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_what_is_no_file(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    for name, status, message in (
        ("folder", 74, "folder: Is a directory"),
        ("missing", 74, "missing: No such file or directory"),
        ("pipe", 1, "pipe: must be a plain file"),
    ):
        assert main(["compile", name, "--framework=XLA", "--target=inf2"]) == status
        assert capfd.readouterr().err == f"neuronx-cc: {message}\n"


@pytest.mark.parametrize("name", ["text", "StableHLO"])
def test_a_dynamic_dimension_has_its_code(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    data = {"text": DYNAMIC, "StableHLO": STABLEHLO.replace("4x4", "?x4")}[name]
    Path("dynamic").write_text(data)
    with pytest.raises(DynamicShapeError, match="dimensions must be static"):
        read_hlo_file("dynamic")
    assert main(["compile", "dynamic", "--framework=XLA", "--target=inf2"]) == 1
    assert capfd.readouterr().err.startswith("[NCC_EMOD025] Dynamic shape is not supported.")


CLEAN = (HloError, CompileError, NotImplementedError)


def compile_or_refuse(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        compile_module(read_hlo_file(path))
    except CLEAN:
        return


EDITS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(edits=EDITS, cut=st.one_of(st.none(), st.integers(0, 10_000)))
def test_damaged_protos_are_refused_cleanly(edits, cut, tmp_path):
    data = bytearray(proto())
    for place, byte in edits:
        data[place % len(data)] = byte
    compile_or_refuse(bytes(data[: cut % len(data) if cut is not None else None]), tmp_path / "f")


@FUZZ
@given(edits=EDITS, cut=st.one_of(st.none(), st.integers(0, 10_000)))
def test_damaged_texts_are_refused_cleanly(edits, cut, tmp_path):
    data = bytearray(print_module(parse_module(SINE)).encode())
    for place, byte in edits:
        data[place % len(data)] = byte
    compile_or_refuse(bytes(data[: cut % len(data) if cut is not None else None]), tmp_path / "f")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_the_envelope_of_any_bytes_is_read_or_refused(data):
    try:
        check_envelope(data)
    except HloError:
        return
    assert data == b"" or data[0] >> 3 or data[0] & 0x80
