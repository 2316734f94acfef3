"""Differences are of structure: names, numbers and order do not count; types and wiring do."""

from __future__ import annotations

import json

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.inspect.difference import difference, opcodes
from hlo_frontend.inspect.graph import graph_of_module
from tests.inspect.files import MODEL, module, neff, run_tool


def compare(text: str):
    return difference(graph_of_module(module()), graph_of_module(parse_module(text)))


def test_equal_modules_do_not_differ():
    assert not compare(MODEL)


def test_names_and_order_do_not_count():
    moved = MODEL.replace("  zero = f32[] constant(0)\n", "")
    start = "ENTRY main {\n"
    moved = moved.replace(start, start + "  zero.77 = f32[] constant(0)\n").replace(
        "(dot.2, zero)", "(dot.2, zero.77)"
    )
    moved = (
        moved.replace("tanh.1", "tanh.99")
        .replace("sum", "sum.5")
        .replace("aten__sum.5", "aten__sum")
    )
    assert not compare(moved)


def test_an_inserted_instruction():
    text = MODEL.replace("dot(tanh.1, w2)", "dot(back, w2)").replace(
        "  dot.2 =",
        "  low = bf16[4,16] convert(tanh.1)\n  back = f32[4,16] convert(low)\n  dot.2 =",
    )
    main = compare(text).blocks[-1]
    assert [n.name for n in main.added] == ["low", "back"]
    assert not main.removed
    (change,) = main.changed
    assert change.after.name == "dot.2"
    assert change.what == (("operands", "tanh tanh.1, parameter w2", "convert back, parameter w2"),)
    assert opcodes(main) == {"convert": 2}


def test_another_type_and_attribute():
    text = MODEL.replace("tanh(dot.1)", "logistic(dot.1)").replace(
        "f32[4] reduce(dot.2, zero), dimensions={1}", "f32[3] reduce(dot.2, zero), dimensions={0}"
    )
    main = compare(text).blocks[-1]
    assert [n.op for n in main.removed] == ["tanh"]
    assert [n.op for n in main.added] == ["logistic"]
    changes = {c.after.name: {w[0]: w[1:] for w in c.what} for c in main.changed}
    assert changes["reduced"] == {"type": ("f32[4]", "f32[3]"), "dimensions": ("{1}", "{0}")}
    assert changes["dot.2"].keys() == {"operands"}


def test_the_interface_counts():
    text = MODEL.replace('op_name="x"', 'op_name="y"')
    found = compare(text)
    assert found.interface == (
        ("input x", "f32[4,8] input", ""),
        ("input y", "", "f32[4,8] input"),
    )


def test_the_order_of_inputs_counts():
    text = MODEL.replace("encoder.0.weight", "y").replace("head.weight", "z")
    swapped = text.replace("parameter(1)", "parameter(9)").replace("parameter(2)", "parameter(1)")
    graphs = (
        graph_of_module(parse_module(t))
        for t in (text, swapped.replace("parameter(9)", "parameter(2)"))
    )
    found = difference(*graphs)
    assert found.interface == (("order of inputs", "x, y, z", "x, z, y"),)
    assert not found.blocks[-1]


def test_other_functions_count():
    found = compare(MODEL.replace("add(a, b)", "maximum(a, b)"))
    assert [n.op for n in found.blocks[0].added] == ["maximum"]
    assert found.blocks[-1].same == 8


def test_the_command(tmp_path, text_file, neff_file):
    other = tmp_path / "other.hlo"
    other.write_text(MODEL.replace("tanh(dot.1)", "logistic(dot.1)"))
    assert run_tool("hlo_frontend", "diff", text_file, text_file).stdout == "no differences\n"
    made = run_tool("hlo_frontend", "diff", text_file, other)
    assert made.returncode == 1
    assert "1 removed, 1 added, 1 changed, 6 the same" in made.stdout
    assert "+1 logistic, -1 tanh" in made.stdout
    assert "- tanh.1 = f32[4,16] tanh(…)  model.py:12" in made.stdout
    value = json.loads(run_tool("hlo_frontend", "diff", text_file, other, "--json").stdout)
    assert value["equal"] is False and value["functions"][-1]["opcodes"] == {
        "logistic": 1,
        "tanh": -1,
    }
    weights = tmp_path / "weights.neff"
    weights.write_bytes(neff(module(), seed=1))
    made = run_tool("neff", "diff", neff_file, weights)
    assert made.returncode == 1
    assert "input head.weight: f32[16,3] weight sha256:" in made.stdout
    assert run_tool("neff", "diff", neff_file, neff_file).returncode == 0
