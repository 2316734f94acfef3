"""The tools start fast, and a bad file gets one clear line and an exit status that is not zero."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.inspect.files import ROOT, run_tool

LIGHT = """
import runpy, sys
sys.argv = {arguments!r}
try:
    runpy.run_module({name!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
heavy = {{m.partition(".")[0] for m in sys.modules}} & {{"torch", "torch_xla", "jax", "jaxlib"}}
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("hlo_frontend", ("show",)),
        ("neff", ("show",)),
        ("neff", ("passes",)),
        ("neff.packager", ("info",)),
    ],
)
def test_no_framework_is_imported(name, command, text_file, neff_file):
    file = neff_file if name != "hlo_frontend" and command != ("passes",) else text_file
    code = LIGHT.format(arguments=[name, *command, str(file)], name=name)
    made = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty one"),
        (b"not a neff", "a NEFF has a header of 1024 bytes, got 10 bytes"),
        (bytes(4096), "not a NEFF file"),
    ],
)
@pytest.mark.parametrize("tool", [("neff", "show"), ("neff", "verify"), ("neff.packager", "info")])
def test_what_is_no_neff(tool, data, message, tmp_path):
    path = tmp_path / "bad.neff"
    path.write_bytes(data)
    assert_refused(run_tool(*tool, path), message, "bad.neff")


@pytest.mark.parametrize("where", [900, 1500, -700])
def test_a_damaged_neff(where, neff_file, tmp_path):
    data = bytearray(neff_file.read_bytes())
    data[where] ^= 0x55
    path = tmp_path / "damaged.neff"
    path.write_bytes(data)
    if where == 900:  # padding of the header
        assert run_tool("neff", "verify", path).returncode == 0
    else:
        made = run_tool("neff", "verify", path)
        assert_refused(made, "do not have the hash that the header announces", "damaged.neff")


def test_a_truncated_neff(neff_file, tmp_path):
    path = tmp_path / "cut.neff"
    path.write_bytes(neff_file.read_bytes()[:-512])
    assert_refused(run_tool("neff", "verify", path), "truncated or oversized", "cut.neff")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty one"),
        (b"\0" * 100_000, "binary data that starts with a zero byte"),
        (b"HloModule m\nENTRY e {\n  ROOT x = f32[2] fly(x)\n}\n", "fly"),
        (
            b"HloModule m\nENTRY e {\n  x = f32[2] parameter(0)\n  ROOT y = f32[3] tanh(x)\n}\n",
            "shape must be f32[2], got f32[3]; in  %y = f32[3]{0} tanh(",
        ),
    ],
)
@pytest.mark.parametrize("tool", [("hlo_frontend", "show"), ("neff", "passes")])
def test_what_is_no_hlo(tool, data, message, tmp_path):
    path = tmp_path / "bad.hlo"
    path.write_bytes(data)
    assert_refused(run_tool(*tool, path), message)


def assert_refused(made, *messages):
    assert made.returncode == 2, made
    assert made.stderr.count("\n") == 1 and "error: " in made.stderr
    for message in messages:
        assert message in made.stderr


def test_no_such_file():
    assert_refused(run_tool("neff", "show", "nowhere.neff"), "nowhere.neff: No such file")


def test_verify_says_ok(neff_file):
    made = run_tool("neff", "verify", neff_file)
    assert made.stdout.endswith("model.neff: ok: model, 11 instructions, 2 weights\n")


def test_a_reader_that_stops(text_file):
    command = (
        f"'{sys.executable}' -m hlo_frontend show '{text_file}' | head -1; echo ${{PIPESTATUS[0]}}"
    )
    made = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stdout.splitlines()[1] == "0" and not made.stderr
