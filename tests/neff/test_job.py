"""A compile in a child process: the same file, the same errors, and an end after the timeout."""

from __future__ import annotations

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff import job
from neff.compile import compile_module
from neff.errors import CompileError, RefusedError
from neff.inf1_options import parse_inf1_options
from neff.program import Kind, Variable, Weight

ADD = """
HloModule m

ENTRY main {
  x = f32[2] parameter(0)
  w = bf16[2] parameter(1)
  c = f32[2] convert(w)
  ROOT t = f32[2] add(x, c)
}
"""
OPTIONS = parse_inf1_options("--fast-math none -O2")
BIG = "HloModule m\n\nENTRY main {\n  ROOT x = f32[805306368] parameter(0)\n}\n"


def inputs() -> list[Variable]:
    weight = Weight.of(np.array([1, 2], ml_dtypes.bfloat16))
    return [Variable("x", Shape("f32", (2,))), Variable("w", weight.shape, Kind.WEIGHT, weight)]


def test_the_child_makes_the_same_file(tmp_path):
    module, observed = parse_module(ADD), []
    here = compile_module(module, inputs(), [0, 1], options=OPTIONS)
    there = job.compile_in_child(
        *(module, inputs(), [0, 1]),
        options=OPTIONS,
        dump=tmp_path,
        observe=observed.append,
        timeout=60,
    )
    assert np.array_equal(here.neff, there.neff)
    assert (here.metaneff, here.program) == (there.metaneff, there.program)
    assert [r.name for r in observed] == [r.name for r in here.stages]
    assert (tmp_path / "00-lower.txt").exists()


def test_what_the_compiler_refuses_is_raised_here():
    variables = [Variable("x", Shape("f32", (805306368,)))]
    with pytest.raises(RefusedError, match="NCC_EOOM00") as raised:
        job.compile_in_child(parse_module(BIG), variables, [0], options=OPTIONS, timeout=60)
    assert raised.value.code.startswith("NCC_EOOM00")
    with pytest.raises(CompileError, match="a variable of the same shape must be bound"):
        job.compile_in_child(parse_module(ADD), inputs(), [1, 0], options=OPTIONS, timeout=60)


def test_the_child_is_ended_after_the_timeout(tmp_path, monkeypatch):
    note = tmp_path / "pid"
    sleeps = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(job, "_CHILD", sleeps)
    with pytest.raises(subprocess.TimeoutExpired):
        job.compile_in_child(parse_module(ADD), inputs(), [0, 1], options=OPTIONS, timeout=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_child_that_dies_says_how(monkeypatch):
    monkeypatch.setattr(job, "_CHILD", "import os, sys; sys.stderr.write('no room'); os._exit(3)")
    with pytest.raises(job.ChildError, match="status 0, got 3\nno room"):
        job.compile_in_child(parse_module(ADD), inputs(), [0, 1], options=OPTIONS, timeout=60)


def test_the_child_imports_no_framework():
    code = "import sys, neff.job; print([m for m in ('torch', 'jax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
