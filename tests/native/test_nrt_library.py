"""The C library libnrt, called by a plain C program and beside PyTorch's library."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from pathlib import Path

import pytest

from runtime import library
from runtime.nrt import capi
from runtime.nrt.types import DataType, Framework, Placement
from runtime.status import Status
from tests.native.conftest import ROOT, run_python
from tests.native.program import run_program
from tests.runtime import models

pytestmark = pytest.mark.skipif(
    not library.shared_libpython(), reason="this Python has no shared libpython"
)
HEADER = (library.include_path() / "nrt.h").read_text()

SAID = """
total: NRT_SUCCESS
visible: NRT_SUCCESS
version: NRT_SUCCESS
instance: NRT_SUCCESS
2 of 2 cores, libnrt 2.0, family 4, NeuronCore-v2
set before init: NRT_UNINITIALIZED
load before init: NRT_UNINITIALIZED
bad framework: NRT_INVALID
init: NRT_SUCCESS
bad NEFF: NRT_INVALID
truncated NEFF: NRT_INVALID
no such core: NRT_INVALID
too many cores: NRT_LOAD_NOT_ENOUGH_NC
load: NRT_SUCCESS
the model takes memory: 1
info: NRT_SUCCESS
input x: 12 bytes, dtype 10, 1 dimension of 3
output output0: 12 bytes, dtype 10, 1 dimension of 3
free info: NRT_SUCCESS
model info: NRT_SUCCESS
instances: NRT_SUCCESS
1 instance from core 0 on
wrong on two threads: 0
slice: NRT_SUCCESS
write slice: NRT_SUCCESS
memset: NRT_SUCCESS
read slice: NRT_SUCCESS
1 2 3 4, 4 bytes
read outside: NRT_INVALID
slice outside: NRT_INVALID
empty: NRT_SUCCESS
write empty: NRT_INVALID_HANDLE
attach: NRT_SUCCESS
copy: NRT_SUCCESS
2 3 4, own memory: 1
find: NRT_SUCCESS
same handle: 1
find none: NRT_FAILURE
too large: NRT_RESOURCE
no such core: NRT_INVALID
read freed: NRT_INVALID_HANDLE
freed: 1, given back: 12
missing tensor: NRT_INVALID
wrong size: NRT_INVALID
not a set: NRT_INVALID_HANDLE
no set: NRT_INVALID_HANDLE
null: NRT_INVALID
in place: NRT_SUCCESS
unload: NRT_SUCCESS
use after unload: NRT_INVALID_HANDLE
unload again: NRT_INVALID_HANDLE
load twice: NRT_SUCCESS
load after close: NRT_CLOSED
init again: NRT_SUCCESS
load again: NRT_SUCCESS
wrong on two threads: 0
child: NRT_FAILURE
""".strip().splitlines()


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The C program, compiled the way docs/libnrt.md tells users to."""
    native = library.build(library.NRT).parent
    made = tmp_path_factory.mktemp("nrt") / "run_nrt"
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-D_POSIX_C_SOURCE=200809L"]
    command += [str(Path(__file__).with_name("run_nrt.c")), "-o", str(made), "-pthread"]
    command += [f"-I{library.include_path()}", f"-L{native}", f"-Wl,-rpath,{native}", "-lnrt"]
    subprocess.run(command, check=True, timeout=120)
    return made


@pytest.fixture
def neff(tmp_path) -> Path:
    path = tmp_path / "model.neff"
    path.write_bytes(models.neff(models.scaled()))
    return path


def test_a_c_program(program, neff, tmp_path):
    done = run_program(program, neff, NEURON_EMULATOR_RUNTIME_DIR=str(tmp_path))
    assert done.stdout.splitlines() == SAID and done.returncode == 0, done.stderr
    logged = re.findall(r"ERROR  NRT:(\w+) +NRT_\w+: (.+)", done.stderr)
    assert ("nrt_execute", "model test: input 'x' must have 12 bytes, got 4") in logged
    assert ("nrt_execute", "0x0 is no TensorSet in use") in logged
    assert "libnrt: nrt_allocate_tensor_set: neuron: Incompatible runtime state: " in done.stderr
    assert "NRT_STATE_CHILD" in done.stderr


def test_a_program_may_end_while_its_threads_call(program, neff, tmp_path):
    done = run_program(program, neff, "leave", NEURON_EMULATOR_RUNTIME_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "leaving\n"), done.stderr
    refused = "libnrt: nrt_execute: neuron: Python must be running to run the model, got one that "
    assert {line[: len(refused)] for line in done.stderr.splitlines()} <= {refused}


def test_the_environment_is_the_runtimes(program, neff, tmp_path):
    done = run_program(
        program, neff,
        NEURON_EMULATOR_RUNTIME_DIR=str(tmp_path),
        NEURON_RT_LOG_LEVEL="QUIET",
        NEURON_RT_VISIBLE_CORES="3",
        NEURON_EMULATOR_INSTANCE_TYPE="inf2.24xlarge",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 of 12 cores, libnrt 2.0, family 4, NeuronCore-v2" in done.stdout
    assert "ERROR  NRT" not in done.stderr


def test_no_python_to_be_found(program, neff):
    done = run_program(program, neff, NEURON_EMULATOR_PYTHON="/nowhere")
    assert "libnrt: nrt_init: neuron: a program without Python needs" in done.stderr
    assert "init: NRT_FAILURE" in done.stdout.splitlines() and done.returncode == 3


# The header agrees with the tables of the Python interface


def _enumerated(prefix: str) -> dict[str, int]:
    found = re.findall(rf"^  {prefix}(\w+) = (\w+)", HEADER, re.MULTILINE)
    return {name: int(value, 0) for name, value in found}


def test_the_header_has_the_same_numbers():
    assert _enumerated("(?=NRT_(?!DTYPE|FRAMEWORK|TENSOR))") == {s.name: s.value for s in Status}
    assert _enumerated("NRT_TENSOR_PLACEMENT_") == {p.name: p.value for p in Placement}
    assert _enumerated("NRT_FRAMEWORK_TYPE_") == {f.name: f.value for f in Framework}
    types = _enumerated("NRT_DTYPE_")
    assert types.pop("INVALID") == DataType.UNKNOWN
    assert types == {d.name: d.value for d in DataType}


IN_C = {"nrt_get_status_as_str", "nrt_free_model_tensor_info"}  # these need no runtime


def test_every_declared_function_is_there():
    declared = set(re.findall(r"^\w[\w \*]*[ \*](nrt_\w+)\(", HEADER, re.MULTILINE))
    assert declared == IN_C | capi.FUNCTIONS.keys()
    native = ctypes.CDLL(str(library.build(library.NRT)))
    assert all(getattr(native, name) for name in declared)


def test_statuses_have_their_names():
    native = ctypes.CDLL(str(library.build(library.NRT)))
    native.nrt_get_status_as_str.restype = ctypes.c_char_p
    names = {s: native.nrt_get_status_as_str(s.value).decode() for s in Status}
    assert names == {s: s.name for s in Status}
    assert native.nrt_get_status_as_str(8) == b"unknown status"


BESIDE = """
import ctypes, sys
import numpy as np, torch
from runtime import library, model, nrt
library.ensure_loaded()
native = ctypes.CDLL(str(library.library_path(library.NRT)), mode=ctypes.RTLD_GLOBAL)
assert native.nrt_init(1, b"", b"") == 0
handle, data = ctypes.c_void_p(), open(sys.argv[1], "rb").read()
assert native.nrt_load(data, ctypes.c_size_t(len(data)), 1, -1, ctypes.byref(handle)) == 0
loaded = torch.classes.neuron.Model(data, b"")
count = ctypes.c_uint32()
assert native.nrt_get_model_instance_count(handle, ctypes.byref(count)) == 0 and count.value == 1
made = torch.ops.neuron.forward_v2_1([torch.ones(3)], loaded)
print(made.tolist(), loaded.cores(), nrt.nrt_get_vnc_memory_stats(1).bytes_used > 0)
assert native.nrt_unload(handle) == 0 and native.nrt_unload(handle) == 3
"""


def test_both_libraries_in_one_process(neff):
    library.build(library.NRT)
    done = run_python(BESIDE, str(neff))
    assert done.stdout == "[1.0, 2.0, 3.0] [0] True\n" and done.returncode == 0, done.stderr


def _block(kind: str) -> str:
    """The one block of docs/libnrt.md that is in a language."""
    text = (ROOT / "docs/libnrt.md").read_text()
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return block


def test_the_documents_python(neff, tmp_path):
    code = _block("python").replace('"model.neff"', repr(str(neff)))
    done = run_python(code)
    assert done.stdout == f"{bytes(12)!r}\n" and done.returncode == 0, done.stderr


def test_the_documents_program(neff, tmp_path):
    """The program and the commands of docs/libnrt.md do what it says they do."""
    source, build, said = map(_block, ("c", "sh", "text"))
    (tmp_path / "double.c").write_text(source)
    python = Path(library._python()).parent
    env = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-ec", build], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == said and done.returncode == 0, done.stderr
