"""Listings read well: what is shown, what is left out and said to be, colour only for eyes."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.inspect.graph import graph_of_module
from hlo_frontend.inspect.show import View, print_graph
from tests.inspect.files import layered, run_tool


def shown(text: str, view: View, **options) -> str:
    out = io.StringIO()
    print_graph(Console(file=out, **options), graph_of_module(parse_module(text)), view)
    return out.getvalue()


def test_a_small_module_is_shown_whole(text_file):
    made = run_tool("hlo_frontend", "show", text_file).stdout
    assert made.startswith(
        "HloModule model  8 instructions · 1.48 kFLOP · 176 parameters (704 B)\n"
    )
    assert "  in  x        f32[4,8]\n  in  and 2 weights\n  out output0  f32[4]\n" in made
    assert "  ▾ encoder.1\n    tanh.1 = f32[4,16] tanh(dot.1)   ← aten__tanh  model.py:12\n" in made
    assert "zero = f32[] constant(0.0)\n" in made
    assert "sum (called)\n" in made
    assert "  → reduced = f32[4] reduce(dot.2, zero), dimensions={1}, calls={sum}" in made
    assert "\x1b" not in made


def test_a_neff_says_where_things_run(neff_file):
    made = run_tool("neff", "show", neff_file).stdout
    assert made.startswith("NEFF model for inf2")
    lines = {line.split("=")[1].split("(")[0]: line for line in made.splitlines() if " = " in line}
    assert re.match(r" +PE +r\d+ +%\d+ ", lines[" f32[4,16] dot"])
    assert re.search(r"@(HBM|PSUM)\+\d+, 256 bytes", lines[" f32[4,16] dot"])
    assert lines[" f32[4,16] tanh"].split()[0] == "Activation"


def test_a_large_module_is_collapsed_by_layer():
    text = layered(40, 30)
    made = shown(text, View(), width=200).splitlines()
    assert len(made) < 70
    assert any("▸ model.block.7 " in line and "30 instructions" in line for line in made)
    deeper = shown(text, View(depth=4), width=200)
    assert "▸ model.block.7.attention " in deeper
    assert "v1200 = " in shown(text, View(everything=True), width=200)


def test_one_layer():
    made = shown(layered(40, 30), View(layer="model.block.7"), width=200)
    assert "v211 = f32[8,8] tanh(v210)   ← aten__tanh  deep.py:211" in made
    assert "v241 =" not in made
    assert "v33 = " in shown(layered(40, 30), View(layer="*attention"), width=200)
    assert "no layer matches 'nothing'" in shown(layered(40, 30), View(layer="nothing"), width=200)


def test_what_is_left_out_is_said():
    made = shown(layered(1, 900), View(layer="model"), width=200)
    assert "more lines; --all shows them" in made


@pytest.mark.parametrize(("variable", "coloured"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colour(text_file, variable, coloured, monkeypatch):
    monkeypatch.setenv(variable, "1")
    made = run_tool("hlo_frontend", "show", text_file).stdout
    assert ("\x1b[" in made) == coloured


def test_colour_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = layered(1, 3)
    made = shown(text, View(), force_terminal=True, color_system="standard", width=200)
    assert "\x1b[32mf32[8,8]\x1b[0m" in made


def test_stats(text_file):
    made = run_tool("hlo_frontend", "stats", text_file).stdout
    rows = {line.split()[0]: " ".join(line.split()) for line in made.splitlines() if line}
    assert rows["encoder"] == "encoder 3 1.09 k 73.5 % █████████ 896 B 512 B 128"
    assert rows["dot"] == "dot 2 1.41 k 95.1 % ███████████ 1.1 KiB 304 B"
    assert run_tool("hlo_frontend", "stats", text_file, "--depth", "1").stdout.count("encoder") == 1


def test_the_schema_of_json(text_file, neff_file):
    graph = json.loads(run_tool("hlo_frontend", "show", text_file, "--json").stdout)
    assert graph.keys() == {
        "document", "schema", "format", "name", "target", "inputs", "outputs", "aliases",
        "functions", "entry",
    }  # fmt: skip
    assert (graph["document"], graph["schema"], graph["entry"]) == ("graph", 1, "main")
    dot = graph["functions"][-1]["instructions"][3]
    assert dot == {
        "name": "dot.1",
        "op": "dot",
        "type": "f32[4,16]",
        "operands": [0, 1],
        "attributes": {"lhs_contracting_dims": "{1}", "rhs_contracting_dims": "{0}"},
        "calls": [],
        "layer": "encoder.0",
        "operator": "aten__mm",
        "source": "model.py:11",
        "flops": 1024,
        "bytes_read": 640,
        "bytes_written": 256,
        "engine": "",
        "region": None,
        "buffer": "",
    }
    stats = json.loads(run_tool("neff", "stats", neff_file, "--json").stdout)
    assert stats.keys() == {
        "document", "schema", "format", "name", "total", "layers", "opcodes", "engines", "notes",
    }  # fmt: skip
    assert stats["total"].keys() == {
        "name", "depth", "instructions", "flops", "bytes_read", "bytes_written", "parameters",
        "parameter_bytes", "opcodes",
    }  # fmt: skip
    assert stats["total"]["parameters"] == 8 * 16 + 16 * 3
