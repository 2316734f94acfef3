"""Every instruction of the conformance table, of every element type, survives every form."""

from __future__ import annotations

import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.text import SHORT, print_module
from hlo_frontend.hlo.types import ELEMENT_TYPES
from tests.hlo import xla_reference as xla
from tests.runtime.conformance import module_text, read_cases

CASES = read_cases()
# Types that XLA's CPU compiler computes with only by way of others; here they are data.
DATA = [t for t in ELEMENT_TYPES if t not in {c.dtype for c in CASES}]


def _moved(dtype: str) -> str:
    return f"""HloModule moved
ENTRY e {{
  p = {dtype}[2,3] parameter(0)
  one = {dtype}[2,3] constant({{ {{1, 2, 4}}, {{1, 1, 2}} }})
  wide = f32[2,3] convert(p)
  back = {dtype}[2,3] convert(wide)
  turned = {dtype}[3,2] transpose(back), dimensions={{1,0}}
  joined = {dtype}[4,3] concatenate(p, one), dimensions={{0}}
  ROOT all = ({dtype}[3,2], {dtype}[4,3]) tuple(turned, joined)
}}
"""


@pytest.mark.parametrize("dtype", ELEMENT_TYPES)
def test_every_form_of_every_instruction(dtype: str) -> None:
    text = _moved(dtype) if dtype in DATA else module_text([c for c in CASES if c.dtype == dtype])
    module = parse_module(text)
    assert parse_module(print_module(module)) == module
    assert read_module(write_module(module)) == module
    theirs = read_module(xla.normalized(write_module(module)))
    again = read_module(xla.proto_of(print_module(theirs)))
    assert xla.blocks(print_module(again, SHORT)) == xla.blocks(print_module(theirs, SHORT))
    printed = xla.printed(xla.normalized(write_module(module)), SHORT)
    assert xla.blocks(print_module(theirs, SHORT)) == xla.blocks(printed)
