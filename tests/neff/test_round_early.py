"""Roundings go before moves, where nothing else reads what is moved."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.passes.round_early import round_before_moving
from neff.program import Program
from runtime.interpreter import interpret


def program(text: str) -> Program:
    return lower(
        parse_module(text if "ENTRY" in text else f"HloModule m\nENTRY main {{\n{text}\n}}")
    )


def made(text: str) -> list[str]:
    """What the instructions after the parameters are."""
    instructions = round_before_moving(program(text)).main.instructions
    return [f"{i.op} {i.shape}" for i in instructions if i.op != "parameter"]


HEADS = """
    x = f32[2,5,12] parameter(0)
    e = f32[2,5,12] exponential(x)
    r = f32[2,5,3,4] reshape(e)
    t = f32[2,3,5,4] transpose(r), dimensions={0,2,1,3}
    ROOT c = bf16[2,3,5,4] convert(t)
"""


def test_a_value_is_rounded_where_it_is_made():
    assert made(HEADS) == [
        "exponential f32[2,5,12]",
        "convert bf16[2,5,12]",
        "reshape bf16[2,5,3,4]",
        "transpose bf16[2,3,5,4]",
    ]


@pytest.mark.parametrize(
    "text",
    [
        HEADS.replace("ROOT c", "c") + "ROOT o = (bf16[2,3,5,4], f32[2,3,5,4]) tuple(c, t)",
        HEADS.replace("ROOT c", "c") + "ROOT o = (bf16[2,3,5,4], f32[2,5,12]) tuple(c, e)",
        HEADS.replace("exponential(x)", "copy(x)").replace("reshape(e)", "reshape(x)"),
        HEADS.replace("bf16", "f64"),
    ],
    ids=["moved read elsewhere", "made read elsewhere", "an input", "a longer type"],
)
def test_what_stays(text):
    before = program(text)
    assert round_before_moving(before) == before


POOL = """
HloModule m
body {
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT m = f32[] maximum(a, b)
}
ENTRY main {
  x = f32[2,4,4,3] parameter(0)
  e = f32[2,4,4,3] negate(x)
  i = f32[] constant(-inf)
  p = f32[2,6,6,3] pad(e, i), padding=0_0x1_1x1_1x0_0
  w = f32[2,2,2,3] reduce-window(p, i), window={size=1x3x3x1 stride=1x2x2x1}, to_apply=body
  ROOT c = bf16[2,2,2,3] convert(w)
}
"""


def results(p: Program, x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(lambda x: interpret(p, (x,))[0])(x)).view(np.uint16)


@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_what_is_compared_is_rounded_before(op):
    text = POOL.replace("maximum", op).replace("-inf", "-inf" if op == "maximum" else "inf")
    before = program(text)
    after = round_before_moving(before)
    assert [f"{i.op} {i.shape}" for i in after.main.instructions if i.op != "parameter"] == [
        "negate f32[2,4,4,3]",
        "convert bf16[2,4,4,3]",
        "constant f32[]",
        "convert bf16[]",
        "pad bf16[2,6,6,3]",
        "convert bf16[]",
        "reduce-window bf16[2,2,2,3]",
    ]
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 3)).astype(np.float32)
    x[0, 0, 0] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(results(after, x), results(before, x))


def test_sums_are_rounded_after():
    before = program(POOL.replace("maximum", "add").replace("-inf", "0"))
    assert round_before_moving(before) == before


def test_the_function_of_a_shorter_type_has_a_name_of_its_own():
    text = POOL.replace(
        "ENTRY",
        POOL.split("HloModule m")[1].split("ENTRY")[0].replace("body", "body.bf16") + "ENTRY",
    )
    other = text.replace("to_apply=body", "to_apply=body.bf16", 1)
    names = [f.name for f in round_before_moving(program(text)).functions]
    assert len(set(names)) == len(names)
    assert len({f.name for f in round_before_moving(program(other)).functions}) == len(names)
