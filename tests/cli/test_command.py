"""The command line of `neuronx-cc`, as documented: commands, options, exit status, what it says."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hlo_frontend.hlo.proto import read_module
from neff.container import read_neff
from neff.options import OPTIONS, SWITCHES
from neuronxcc import __version__
from neuronxcc.arguments import COMMANDS, UsageError, parse_arguments
from neuronxcc.driver.CommandDriver import main
from neuronxcc.help import MEANINGS
from tests.cli.models import SINE, UNKNOWN_CALL, proto

OPERATORS = Path(__file__).parents[3] / "shared" / "spec" / "ops_neuronxcc_xla.txt"
REQUIRED = ("--framework", "XLA", "--target", "inf2")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder to work in, with a model."""
    monkeypatch.chdir(tmp_path)
    Path("hlo.pb").write_bytes(proto())
    Path("unknown.txt").write_text(UNKNOWN_CALL)
    return "hlo.pb"


def test_compiles_into_the_default_output(model, capfd):
    assert main(["compile", model, *REQUIRED]) == 0
    out, err = capfd.readouterr()
    assert re.fullmatch(r"\.+\nCompiler status PASS\n", out)
    assert err == ""
    program = read_neff(Path("file.neff").read_bytes()).program
    assert program.name == "sines"
    assert program.target == "inf2"
    assert not list(Path().glob(".*")) and not list(Path().glob("neuronxcc-*"))


COMMAND_LINES = {
    "documented": "compile --framework XLA hlo.pb --target trn2 --output=f.neff",
    "target first": "--target=trn2 compile --framework=XLA hlo.pb --output f.neff",
    "pipeline": "compile --framework XLA hlo.pb --pipeline compile --target trn2 --output=f.neff "
    "--lnc 1",
    "right-most wins": "compile hlo.pb --target inf2 --framework=XLA --target=trn2 --output=g.neff "
    "--output=f.neff",
    "tolerated": "compile hlo.pb --target=trn2 --framework=XLA --output=f.neff -O1 "
    "--tensorizer-options=--enable-ccop-compute-overlap --internal-limit 5",
}


@pytest.mark.parametrize("line", COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_command_lines_that_programs_use(model, line):
    assert main(line.split()) == 0
    assert read_neff(Path("f.neff").read_bytes()).program.target == "trn2"
    assert not Path("g.neff").exists()


def test_reads_the_arguments_of_the_process(model, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["neuronx-cc", "compile", model, *REQUIRED])
    assert main() == 0


@pytest.mark.parametrize("verbose", ["info", "35", "error"])
def test_verbosity(model, capfd, verbose):
    assert main(["compile", model, *REQUIRED, "--verbose", verbose]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    expected = {
        "info": rf"{STAMP} Running read_hlo\n{STAMP} read_hlo finished after \d+\.\d{{3}} seconds\n"
        r"(.*\n)*Compiler status PASS\n",
        "35": r"\.+\nCompiler status PASS\n",
        "error": "",
    }
    assert re.fullmatch(expected[verbose], out)


def test_an_option_that_changes_nothing_is_noted(model, capfd):
    assert main(["compile", model, *REQUIRED, "--internal-x=1"]) == 0
    assert re.search(
        rf"^{STAMP} WARNING \d+ \[neuronx-cc\]: .*--internal-x", capfd.readouterr().err
    )


def test_log_file_has_the_passes_whatever_is_printed(model):
    assert main(["compile", model, *REQUIRED, "--verbose=critical"]) == 0
    log = Path("log-neuron-cc.txt").read_text()
    assert re.search(rf"^{STAMP} Running fuse\n{STAMP} fuse finished after \d+\.\d{{3}} seconds$",
                     log, re.M)  # fmt: skip
    assert log.endswith("Compiler status PASS\n")
    assert main(["compile", model, *REQUIRED, "--logfile=other.txt"]) == 0
    assert Path("other.txt").exists()


def test_a_refusal_is_its_code_and_text_and_no_file(model, capfd):
    assert main(["compile", "unknown.txt", *REQUIRED]) == 1
    out, err = capfd.readouterr()
    assert err.startswith("[NCC_EVRF015] The compiler encountered a custom call instruction")
    assert 'custom_call_target="Nope"' in err
    assert "Traceback" not in out + err and "PASS" not in out
    assert "Traceback" in Path("log-neuron-cc.txt").read_text()
    assert not Path("file.neff").exists()


def test_save_temps_keeps_every_pass(model, capfd):
    words = ["compile", model, *REQUIRED, "--pipeline", "compile", "SaveTemps"]
    assert main(words) == 0
    (folder,) = Path().glob("neuronxcc-*")
    assert read_module((folder / "graph.hlo").read_bytes()).name == "sines"
    assert (folder / "graph.hlo.txt").read_text().startswith("HloModule sines")
    names = sorted(p.name for p in folder.glob("[0-9]*.txt"))
    assert names[0] == "00-lower.txt" and names[-1].endswith("place_buffers.txt")
    assert main([*words, "--workdir", "kept"]) == 0
    assert sorted(os.listdir("kept")) == sorted(os.listdir(folder))


def test_placement_says_what_would_not_run(model, capsys):
    assert main(["compile", "unknown.txt", *REQUIRED, "--query-compute-placement"]) == 0
    found = json.loads(capsys.readouterr().out)
    x, y = found["computations"]["main"]
    assert (x["name"], x["placement"]) == ("x", "Neuron")
    assert (y["opcode"], y["placement"], y["code"]) == ("custom-call", "CPU", "NCC_EVRF015")
    assert not Path("file.neff").exists()


def test_the_names_that_frontend_attributes_give(model):
    text = SINE.replace("parameter(0)", 'parameter(0), frontend_attributes={neff_input_names="q"}')
    Path("named.txt").write_text(text)
    assert main(["compile", "named.txt", *REQUIRED]) == 0
    program = read_neff(Path("file.neff").read_bytes()).program
    assert [v.name for v in program.inputs] == ["q"]
    assert [v.name for v in program.outputs] == ["output0"]
    text = SINE.replace(
        "HloModule sines",
        'HloModule sines, frontend_attributes={neff_input_names="a",neff_output_names="b"}',
    )
    Path("named.txt").write_text(text)
    assert main(["compile", "named.txt", *REQUIRED]) == 0
    program = read_neff(Path("file.neff").read_bytes()).program
    assert [v.name for v in (*program.inputs, *program.outputs)] == ["a", "b"]


@pytest.mark.parametrize("names", ["q,r", "", "q,"])
def test_names_must_be_as_many_as_tensors(model, capfd, names):
    attribute = f'frontend_attributes={{neff_input_names="{names}"}}'
    Path("named.txt").write_text(SINE.replace("parameter(0)", f"parameter(0), {attribute}"))
    assert main(["compile", "named.txt", *REQUIRED]) == 1
    assert "neff_input_names of %x must list 1 names between commas" in capfd.readouterr().err


def test_list_operators(capsys):
    assert main(["list-operators", "--framework", "XLA"]) == 0
    documented = [
        line.split("\t")[0] for line in OPERATORS.read_text().splitlines() if line[:1] != "#"
    ]
    assert capsys.readouterr().out.splitlines() == documented


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"NeuronX Compiler version {__version__}\n"
    assert re.fullmatch(r"2\.\d+\.\d+\.\d+\+[0-9a-f]{8}", __version__)


@pytest.mark.parametrize("module", ["neuronxcc", "neuronxcc.driver.CommandDriver"])
def test_run_as_a_module(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--version"])
    monkeypatch.delitem(sys.modules, module)
    with pytest.raises(SystemExit) as exit:
        runpy.run_module(module, run_name="__main__")
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"NeuronX Compiler version {__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], *([c, "--help"] for c in COMMANDS)])
def test_help(words, capsys):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: neuronx-cc")
    assert max(map(len, out.splitlines())) <= 100


def test_help_describes_every_option(capsys):
    first = {option.name: flag for flag, option in reversed(OPTIONS.items())}
    assert set(MEANINGS) == {*first.values(), *SWITCHES}
    main(["compile", "--help"])
    out = capsys.readouterr().out
    assert all(flag in out for flag in (*OPTIONS, *SWITCHES))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frobnicate"], "a command must be given, compile or list-operators, got frobnicate"),
        (["compile"], "compile: --framework and --target must be given"),
        (["compile", "a.pb", "--framework=XLA"], "compile: --target must be given"),
        (["compile", *REQUIRED], "one model file must be given, got none"),
        (["compile", "a.pb", "b.pb", *REQUIRED], "one model file must be given, got a.pb, b.pb"),
        (["compile", "a.pb", *REQUIRED, "--target", "gpu"], "--target must be one of inf2, trn1"),
        (["compile", "a.pb", *REQUIRED, "--output"], "--output needs a value"),
        (["compile", "a.pb", *REQUIRED, "--output", "--lnc"], "--output needs a value"),
        (["compile", "a.pb", *REQUIRED, "--pipeline", "x"], "--pipeline must list stages of"),
        (["compile", "a.pb", *REQUIRED, "--optlvel=1"], "unknown compiler option '--optlvel'"),
        (["list-operators"], "list-operators: --framework must be given"),
    ],
)
def test_a_wrong_command_line_is_status_2(words, message, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_a_wrong_command_line_is_an_error_of_its_own():
    with pytest.raises(UsageError, match="must be given"):
        parse_arguments(["compile"])


def test_a_defect_prints_the_banner(model, capfd, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("neuronxcc.compilation.compile_module", broken)
    assert main(["compile", model, *REQUIRED]) == 70
    err = capfd.readouterr().err
    assert re.search(
        rf"^{STAMP} ERROR \d+ \[neuronx-cc\]:  An Internal Compiler Error has", err, re.M
    )
    for line in ("Error message:  a defect", "Error class:    ZeroDivisionError", "Command line:"):
        assert line in err
    assert f"NeuronX Compiler version {__version__}" in err
    assert "Traceback" not in err


def test_interrupted(model, capfd, monkeypatch):
    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("neuronxcc.compilation.compile_module", interrupted)
    assert main(["compile", model, *REQUIRED]) == 130
    assert capfd.readouterr().err == "neuronx-cc: interrupted\n"
    assert not Path("file.neff").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--output=missing/f.neff", "missing/f.neff: the output's folder must exist"),
        ("--output=.", ".: the output must be a file"),
        ("--logfile=missing/log", "neuronx-cc: missing/log: the log file must be writable"),
    ],
)
def test_what_cannot_be_written_is_said_before_compiling(model, capfd, option, message):
    assert main(["compile", model, *REQUIRED, option]) == 74
    out, err = capfd.readouterr()
    assert message in err and "Traceback" not in err
    assert out == ""


def test_a_full_disk_leaves_nothing_behind(model):
    limited = 'ulimit -f 1; exec "$0" -m neuronxcc compile "$@" --logfile /dev/null'
    Path("file.neff").write_bytes(b"what was there before")
    run = subprocess.run(
        ["bash", "-c", limited, sys.executable, model, *REQUIRED],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert run.returncode == 74
    assert run.stderr == "neuronx-cc: file.neff: File too large\n"
    assert Path("file.neff").read_bytes() == b"what was there before"
    assert not list(Path().glob(".*"))
