"""Each documented refusal: its code, its wording, the instruction and what stands beside it."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.parse import parse_module
from neff.compile import compile_module
from neff.errors import CompileError, RefusedError
from neff.options import OPTIONS, TWO_CORE_TARGETS, parse_options
from neff.support.codes import CODES, NEVER
from neff.support.custom_calls import DOCUMENTED, EMULATED
from neff.support.document import WHEN, document
from neff.support.listed import BY_CUSTOM_CALL, BY_ERROR_PAGE, LISTED, OPERATORS, STRUCTURE
from neff.support.refusals import check_support, refusal_of_file, refusals
from neff.support.rules import RULES
from neff.targets import CONFIGURABLE_FP8, GIB, TARGETS
from tests.neff import refused
from tests.neff.refused import CASES, Case
from tests.neff.refused import module as module_of

SPEC = Path(__file__).parents[3] / "shared" / "spec"


def codes_of(text: str, options: str = "") -> list[str]:
    return [r.code for r in refusals(parse_module(text), parse_options(options))]


def label(case: Case) -> str:
    return f"{case.code}-{CASES.index(case)}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_refused_with_the_documented_code_and_wording(case):
    module, options = parse_module(module_of(case.refused)), parse_options(case.options)
    code = CODES[f"NCC_{case.code}"]
    with pytest.raises(RefusedError, match=re.escape(f"[{code.name}] {code.message}\n")) as caught:
        check_support(module, options)
    assert isinstance(caught.value, CompileError)
    assert caught.value.code == code.name
    text = str(caught.value)
    assert re.search(case.why, text)
    assert "\n  in  %" in text
    assert ("\n  try: " in text) == bool(code.remedy)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_what_is_not_refused_compiles(case):
    check_support(parse_module(module_of(case.allowed)), parse_options(case.options))


def test_reduce_window_of_several_operands():
    text = f"HloModule m\n{refused.TWO_WINDOWS}\nENTRY main {{\n{refused.VARIADIC}\n}}"
    assert codes_of(text) == ["NCC_EVRF019"]


@pytest.mark.parametrize("target", ["inf2", "trn1", "trn1n"])
def test_two_cores_to_one_where_the_target_has_no_pairs(target):
    module = parse_module("HloModule m\nENTRY main { ROOT x = f32[2] parameter(0) }")
    with pytest.raises(RefusedError, match=rf"NCC_EARG001\].*\n  {target} takes --lnc=1, got 2"):
        check_support(module, parse_options(f"--target={target} --lnc=2"))
    check_support(module, parse_options("--target=trn2 --lnc=2"))


def test_an_illegal_instruction_is_refused_with_the_verifiers_message():
    module = parse_module(
        "HloModule m\nENTRY main { x = f32[2] parameter(0)\n ROOT y = f32[2] add(x, x) }"
    )
    wrong = replace(module.entry.instructions[1], shape=module.entry.instructions[0].shape)
    wrong = replace(wrong, operands=(0, 0, 0))
    entry = replace(module.entry, instructions=(module.entry.instructions[0], wrong))
    with pytest.raises(RefusedError, match=r"NCC_EVRF064\] HLO verification failed") as caught:
        compile_module(replace(module, computations=(entry,)))
    assert isinstance(caught.value.__cause__, HloError)
    assert "add: there must be 2 operands, got 3" in str(caught.value)


def test_the_users_line_and_the_other_refusals_are_named():
    solve = refused.SOLVE + ', metadata={source_file="model.py" source_line=41}'
    with pytest.raises(RefusedError) as caught:
        check_support(parse_module(module_of(solve)), parse_options(""))
    assert "\n  from model.py:41\n  try: " in str(caught.value)
    both = solve.replace("ROOT s", "s") + (
        "\nc = c128[3,3] convert(s)\nROOT r = (f32[3,3], c128[3,3]) tuple(s, c)"
    )
    with pytest.raises(RefusedError, match=r"NCC_EVRF001") as caught:
        check_support(parse_module(module_of(both)), parse_options(""))
    assert str(caught.value).endswith("also refused: NCC_EVRF004 \N{MULTIPLICATION SIGN}2")


def test_dead_instructions_are_not_refused():
    text = module_of("x = f32[2] parameter(0)\nc = c128[2] convert(x)\nROOT y = f32[2] add(x, x)")
    assert codes_of(text) == []
    used = text.replace("ROOT ", "").replace("c = c", "ROOT c = c")
    assert codes_of(used) == ["NCC_EVRF004"]


def test_dynamic_dimensions_are_refused_when_read():
    with pytest.raises(HloError) as caught:
        parse_module("HloModule m\nENTRY main { ROOT x = f32[<=2] parameter(0) }")
    assert str(refusal_of_file(caught.value)).startswith(
        "[NCC_EMOD025] Dynamic shape is not supported. The Neuron compiler requires"
    )
    with pytest.raises(HloError) as caught:
        parse_module("HloModule m\nENTRY main { ROOT x = f33[2] parameter(0) }")
    assert refusal_of_file(caught.value) is None


def test_called_computations_are_looked_at():
    text = """HloModule m
body { x = f32[2] parameter(0)
  c = c128[2] convert(x)
  ROOT r = c128[2] negate(c) }
ENTRY main { x = f32[2] parameter(0)
  ROOT y = c128[2] call(x), to_apply=body }"""
    found = refusals(parse_module(text), parse_options(""))
    assert {r.code for r in found} == {"NCC_EVRF004"}
    assert [(r.computation, r.position) for r in found] == [("body", 1), ("body", 2), ("main", 1)]


def test_native_64_bit_integers_lift_the_limit_on_constants():
    text = module_of(refused.constant(2**40))
    assert codes_of(text, "--target=trn2 --native-int64=enabled") == []
    assert codes_of(text, "--target=inf2 --native-int64=enabled") == ["NCC_ESFH002"]


def test_f8e4m3_is_refused_after_trn3(monkeypatch):
    later = replace(TARGETS["trn3"], narrow=frozenset({"f8e4m3fn", "f8e5m2"}))
    monkeypatch.setitem(TARGETS, "trn3", later)
    text = module_of(refused.typed("f8e4m3"))
    assert codes_of(text, "--target=trn3") == ["NCC_EVRF052"]


@pytest.mark.parametrize(
    ("kind", "code", "body"),
    [
        ("scatter", "NCC_EVRF060", refused.scatter("s32", "add")),
        ("pow", "NCC_EVRF062", refused.elementwise("power", "s64")),
        ("dot", "NCC_EVRF035", refused.dot("s64")),
        ("all_reduce", "NCC_EVRF061", refused.reduction("all-reduce", "s32")),
        ("reduce_scatter", "NCC_EVRF063", refused.reduction("reduce-scatter", "s32")),
    ],
)
def test_an_allowed_downcast_warns_and_compiles(caplog, kind, code, body):
    module = parse_module(module_of(body))
    with caplog.at_level(logging.WARNING, "Neuron"):
        check_support(module, parse_options(f"--implicit-integer-downcast={kind}"))
    assert f"--implicit-integer-downcast={kind} allows: {code} \N{MULTIPLICATION SIGN}1" in (
        caplog.text
    )
    others = ",".join({"dot", "scatter", "pow"} - {kind})
    with pytest.raises(RefusedError, match=code):
        check_support(module, parse_options(f"--implicit-integer-downcast={others}"))


def test_torch_topk_of_integers_is_found_behind_its_sort():
    body = """less { a = s64[] parameter(0)
  b = s64[] parameter(1)
  c = s32[] parameter(2)
  d = s32[] parameter(3)
  ROOT r = pred[] compare(a, b), direction=GT }
ENTRY main { x = s64[9] parameter(0)
  i = s32[9] iota(), iota_dimension=0
  s = (s64[9], s32[9]) sort(x, i), dimensions={0}, to_apply=less, metadata={op_type="aten__topk"}
  g = s64[9] get-tuple-element(s), index=0
  ROOT k = s64[3] slice(g), slice={[0:3]} }"""
    assert codes_of(f"HloModule m\n{body}") == ["NCC_EVRF013"]
    # torch.sort is the same sort, of which everything is kept
    whole = body.replace("ROOT k = s64[3] slice(g), slice={[0:3]}", "ROOT k = s64[9] copy(g)")
    assert codes_of(f"HloModule m\n{whole}") == []


def test_one_warning_names_what_is_not_listed(caplog):
    text = """HloModule m
ENTRY main { x = f64[4] parameter(0)
  y = f64[4] tan(x), metadata={source_file="model.py" source_line=7}
  z = f64[4] tan(y), metadata={source_file="model.py" source_line=8}
  ROOT c = f64[4] custom-call(z), custom_call_target="mhlo.sinh" }"""
    with caplog.at_level(logging.WARNING, "Neuron"):
        compile_module(parse_module(text))
    (record,) = caplog.records
    assert record.getMessage() == (
        "compiled for inf2, though the documents do not list: f64 \N{MULTIPLICATION SIGN}4 "
        "(model.py:7), tan \N{MULTIPLICATION SIGN}2 (model.py:7), "
        "custom-call to mhlo.sinh \N{MULTIPLICATION SIGN}1 (docs/refusals.md)"
    )


def test_listed_operators_give_no_warning(caplog):
    text = "HloModule m\nENTRY main { x = f32[2] parameter(0)\n ROOT y = f32[2] tanh(x) }"
    compile_module(parse_module(text))
    assert not caplog.records


# -- the tables -----------------------------------------------------------------------------------


def test_every_documented_code_is_raised_or_explained():
    rows = re.findall(r"^\| `(NCC_\w+)` \| (.*) \|$", (SPEC / "neuron_api.md").read_text(), re.M)
    documented = dict(rows)
    assert documented.keys() == CODES.keys() | NEVER.keys()
    assert not CODES.keys() & NEVER.keys()
    assert {name: code.message for name, code in CODES.items()} == {
        name: documented[name] for name in CODES
    }


def test_every_code_is_tested():
    elsewhere = {
        *("NCC_EARG001", "NCC_EMOD025", "NCC_EOOM001", "NCC_EOOM002"),
        *("NCC_EVRF019", "NCC_EVRF052", "NCC_EVRF064"),
    }
    assert {f"NCC_{case.code}" for case in CASES} | elsewhere == CODES.keys()
    assert {rule.code for rule in RULES} <= CODES.keys()


def test_the_document_is_made_from_the_tables():
    assert WHEN.keys() == CODES.keys()
    assert (Path(__file__).parents[2] / "docs" / "refusals.md").read_text() == document()


def test_listed_operators_are_the_documented_ones():
    lines = (SPEC / "ops_neuronxcc_xla.txt").read_text().splitlines()
    names = [line.split("\t")[0] for line in lines if line and not line.startswith("#")]
    assert list(OPERATORS) == names


def test_listed_opcodes_exist():
    from hlo_frontend.hlo.ops import OPS

    assert OPS.keys() >= LISTED
    parts = (frozenset(OPERATORS.values()), BY_ERROR_PAGE, BY_CUSTOM_CALL, STRUCTURE)
    assert sum(map(len, parts)) == len(LISTED)


def test_custom_calls_are_those_of_the_runtime():
    from runtime.kernels.custom_call import TARGETS as KERNELS

    assert KERNELS.keys() >= EMULATED
    assert not DOCUMENTED & EMULATED


def test_targets_have_the_documented_memory():
    each = {name: t.memory(1) // GIB for name, t in TARGETS.items()}
    assert each == {"inf1": 2, "inf2": 16, "trn1": 16, "trn1n": 16, "trn2": 12, "trn3": 18}
    assert TARGETS["trn2"].memory(2) == 24 * GIB
    assert TARGETS["inf2"].narrow == CONFIGURABLE_FP8
    assert ("inf1", *OPTIONS["--target"].choices) == tuple(TARGETS)  # neuron-cc has no --target
    assert {name for name, t in TARGETS.items() if 2 in t.logical_cores} == TWO_CORE_TARGETS
