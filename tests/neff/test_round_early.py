"""Roundings go before moves, where nothing else reads what is moved."""

from __future__ import annotations

import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.passes.round_early import round_before_moving
from neff.program import Program


def program(text: str) -> Program:
    return lower(parse_module(f"HloModule m\nENTRY main {{\n{text}\n}}"))


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
