"""The command line: in a process of its own, and what it says where it cannot go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.accuracy import models
from torch_neuronx.__main__ import main

ROOT = Path(__file__).parents[2]
SPOILED = "tests.accuracy.models:spoiled"
ALL = "--auto-cast=all --auto-cast-type=bf16"
HLO = """HloModule sample
ENTRY main {
  x = f32[4,8] parameter(0)
  y = f32[8,4] parameter(1)
  ROOT d = f32[4,4] dot(x, y), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""


def test_in_a_process_of_its_own(tmp_path):
    picture = tmp_path / "errors.svg"
    arguments = [SPOILED, "--setting", ALL, "--setting=--auto-cast=none", "--json", "--table"]
    done = subprocess.run(
        [sys.executable, "-m", "torch_neuronx", "accuracy", *arguments, "--plot", str(picture)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    document, end = json.JSONDecoder().raw_decode(done.stdout)
    assert [s["label"] for s in document["settings"]] == ["all bf16", "none"]
    assert document["settings"][0]["first_drift"]["layer"] == "2"
    table = done.stdout[end:]
    assert f"models.py:{models.CANCEL_LINE}" in table and " subtract " in table
    assert "No cast stays within 0.01 of fp32." in table
    assert picture.read_text().startswith("<?xml")


def test_a_model_from_a_file_and_its_inputs_beside_it(capsys):
    file = f"{ROOT}/tests/accuracy/models.py"
    settings = ["--setting=--auto-cast=matmult", "--compiler-args=--auto-cast-type=fp16"]
    given = [f"{file}:plain", f"--inputs={file}:plain_inputs", *settings, "--layers=1"]
    assert main(["accuracy", *given]) == 0
    out = capsys.readouterr().out
    assert "matmult: 1 of 3 layers" in out
    assert "--auto-cast=matmult (largest output error " in out


def test_an_hlo_file_with_random_inputs(tmp_path, capsys):
    file = tmp_path / "sample.txt"
    file.write_text(HLO)
    printed = []
    for seed in ("1", "1", "2"):
        given = [f"--hlo={file}", "--setting=--auto-cast=matmult", "--json", f"--seed={seed}"]
        assert main(["accuracy", *given]) == 0
        (setting,) = json.loads(capsys.readouterr().out)["settings"]
        assert 1e-4 < setting["error"] < 1e-2
        printed.append(setting["error"])
    assert printed[0] == printed[1] != printed[2]


def test_the_status_says_that_no_setting_will_do(capsys):
    assert main(["accuracy", SPOILED, "--setting", ALL]) == 1
    assert "No cast stays within 0.01 of fp32." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "give either MODULE:NAME or --hlo FILE"),
        (["a:b", "--hlo=c"], "give either MODULE:NAME or --hlo FILE"),
        (["model"], "expected MODULE:NAME, got 'model'"),
        (["no_such_package:make"], "'no_such_package' must be importable from here"),
        (["no_such_file.py:make"], "must be a file that exists, got 'no_such_file.py'"),
        (["tests.accuracy.models:nothing"], "must have 'nothing', got no such name"),
        (["tests.accuracy.models:NOT_A_MODEL"], "a function that makes one, got int"),
        (["tests.accuracy.models:plain_inputs"], "must make a torch module, got Tensor"),
        (["tests.accuracy.models:plain"], "must return a module and its example inputs"),
        ([SPOILED, "--compiler-args=--auto-cast=some"], "must be one of none, matmult, all"),
        ([SPOILED, "--tolerance=0"], "tolerance must be above 0"),
        ([SPOILED, "--plot=no/such/folder/a.png"], "--plot must be in a folder that exists"),
        (["--hlo=no_such_file.hlo"], "no_such_file.hlo: No such file"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(given, message, capsys):
    assert main(["accuracy", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("torch_neuronx: error: ") and captured.err.count("\n") == 1
    assert message in captured.err


def test_a_file_that_is_not_hlo_is_refused(tmp_path, capsys):
    file = tmp_path / "noise.hlo"
    file.write_bytes(b"\x1f\x8bnothing")
    assert main(["accuracy", f"--hlo={file}"]) == 2
    assert "the file must be HLO, got a gzip archive" in capsys.readouterr().err


def test_help_lists_the_settings(capsys):
    with pytest.raises(SystemExit):
        main(["accuracy", "--help"])
    assert "--auto-cast=all --auto-cast-type=fp8_e4m3" in capsys.readouterr().out
