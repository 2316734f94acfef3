"""What each pass changed, of a module compiled here and of a folder that a compilation kept."""

from __future__ import annotations

import json

import pytest

from neff.compile import compile_module
from neff.options import parse_options
from neff.pipeline import name_of, pipeline
from tests.inspect.files import module, run_tool


def table(*arguments) -> list[dict]:
    made = run_tool("neff", "passes", *arguments, "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["passes"]


def test_every_pass_is_told(text_file):
    steps = table(text_file)
    names = [name_of(p) for p in pipeline(parse_options(None))]
    assert [s["pass"] for s in steps] == ["lower", *names]
    assert all(s["seconds"] >= 0 for s in steps)
    assert steps[0]["instructions_after"] == 8
    assert steps[0].keys() == {
        "number", "pass", "seconds", "instructions_before", "instructions_after", "modified",
        "added", "removed", "changed", "rewired", "opcodes", "placement",
    }  # fmt: skip
    placement = [text for s in steps for text in s["placement"]]
    assert [p.split()[1] for p in placement] == ["engines", "regions", "buffers"]


def test_a_cast_is_seen(text_file):
    steps = {s["pass"]: s for s in table(text_file, "--auto-cast=matmult")}
    (cast,) = (s for name, s in steps.items() if name.startswith("auto_cast"))
    assert cast["opcodes"]["convert"] >= 4 and cast["modified"]
    assert cast["instructions_after"] - cast["instructions_before"] == sum(cast["opcodes"].values())


def test_one_pass_in_detail(text_file):
    steps = table(text_file, "--auto-cast=matmult")
    name = next(s["pass"] for s in steps if s["pass"].startswith("auto_cast"))
    made = run_tool("neff", "passes", text_file, "--auto-cast=matmult", "--pass", name).stdout
    assert f"-{name}\n" in made
    assert "bf16[4,8] convert(…)" in made
    (value,) = table(text_file, "--auto-cast=matmult", "--pass", name)
    assert {n["op"] for n in value["functions"][-1]["added"]} == {"convert"}


def test_a_folder_of_stages(tmp_path, text_file):
    compile_module(module(), options=parse_options("--auto-cast=matmult"), dump=tmp_path)
    (tmp_path / "log-neuron-cc.txt").write_text(
        "lower finished after 0.250 seconds, 8 instructions\n"
    )
    found = table(tmp_path)
    compiled = table(text_file, "--auto-cast=matmult")
    assert found[0]["seconds"] == 0.25 and found[1]["seconds"] is None
    for key in ("pass", "instructions_before", "instructions_after", "opcodes", "placement"):
        assert [s[key] for s in found] == [s[key] for s in compiled], key


def test_a_damaged_stage(tmp_path):
    path = tmp_path / "00-lower.txt"
    for text, message in (
        ("nonsense\n", "must begin with a program's name and target"),
        ("program m, target=inf2\n", "must hold a function, got none"),
        ("program m, target=inf2\nmain {\n  what\n", "00-lower.txt:3 must be an instruction"),
        (
            "program m, target=inf2\nmain {\n  %0 = f32[] abs(%1)\n  return %0\n}\n",
            "main must define values first, see %0",
        ),
    ):
        path.write_text(text)
        made = run_tool("neff", "passes", tmp_path)
        assert made.returncode == 2 and message in made.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pass", "nothing"), "--pass must be one of lower, "),
        (("--auto-cats=all",), "unknown compiler option '--auto-cats'; try: --auto-cast"),
    ],
)
def test_what_is_refused(text_file, options, message):
    made = run_tool("neff", "passes", text_file, *options)
    assert made.returncode == 2 and message in made.stderr and made.stderr.count("\n") == 1


def test_a_neff_keeps_no_stages(neff_file, tmp_path):
    made = run_tool("neff", "passes", neff_file)
    assert made.returncode == 2 and "holds the program after the last pass only" in made.stderr
    made = run_tool("neff", "passes", tmp_path)
    assert made.returncode == 2 and "must hold NN-<pass>.txt files, got none" in made.stderr
