"""Constants as text: XLA's spelling, and every value of every type back from what is printed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlo_frontend.hlo.literal import AnyLiteral, Literal, TupleLiteral
from hlo_frontend.hlo.module import HloComputation, HloInstruction, HloModule, attributes
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.text import PrintOptions, print_module
from hlo_frontend.hlo.text_literal import literal_text
from hlo_frontend.hlo.types import ELEMENT_TYPES, Shape
from tests.hlo import xla_reference as xla

# (dtype, dims, raw little-endian integers of the elements, text)
SPELLINGS = [
    ("f32", (), [0x3DCCCCCD], "0.1"),
    ("f32", (), [0x80000000], "-0"),
    ("f32", (5,), [0x3DFCD6EA, 0x3F8FCD68, 0x4B800000, 0x60AD78EC, 0x3727C5AC],
     "{0.123456791, 1.123456, 16777216, 1e+20, 1e-05}"),
    ("f32", (4,), [0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000], "{nan, -nan, inf, -inf}"),
    ("f32", (3,), [0x7F800123, 0xFFFFFFFF, 0x7FC00001],
     "{nan(0x123), -nan(0x7fffff), nan(0x400001)}"),
    ("f64", (2,), [0x3FBF9ADD3746F65F, 0x01A56E1FC2F8F359], "{0.12345678901234568, 1e-300}"),
    ("bf16", (5,), [0x3DCD, 0x3F80, 0x4049, 0x714A, 0x4780],
     "{0.1001, 1, 3.141, 1e+30, 6.554e+04}"),
    ("f16", (3,), [0x2E66, 0x3C00, 0x7BFF], "{0.099976, 1, 65504}"),
    ("f8e4m3fn", (3,), [0x1D, 0x38, 0x7F], "{0.102, 1, nan}"),
    ("f8e4m3", (2,), [0x1D, 0x78], "{0.102, inf}"),
    ("f8e3m4", (1,), [0x06], "{0.0938}"),
    ("f8e5m2", (2,), [0x2E, 0xFC], "{0.094, -inf}"),
    ("f8e4m3fnuz", (3,), [0x40, 0x80, 0x01], "{1, -nan, 0.000977}"),
    ("f8e5m2fnuz", (2,), [0x40, 0x80], "{1, -nan}"),
    ("f8e4m3b11fnuz", (2,), [0x58, 0x80], "{1, -nan}"),
    ("f8e8m0fnu", (3,), [0x7F, 0xFF, 0x9D], "{1, nan, 1.1e+09}"),
    ("f4e2m1fn", (3,), [0x1, 0xF, 0x8], "{0.5, -6, -0}"),
    ("pred", (), [1], "true"),
    ("pred", (3,), [1, 0, 1], "{1, 0, 1}"),
    ("s8", (2,), [0x80, 0x7F], "{-128, 127}"),
    ("u64", (), [2**64 - 1], "18446744073709551615"),
    ("s4", (3,), [1, 8, 7], "{1, -8, 7}"),
    ("u2", (2,), [3, 0], "{3, 0}"),
    ("s32", (2, 1), [0, 1], "{ {0}, {1} }"),
    ("s32", (1, 2, 2), [1, 2, 3, 4], "{ { { 1, 2 }, { 3, 4 } } }"),
    ("s32", (1, 2, 2, 1), [1, 2, 3, 4],
     "{ { /*i0=0*/ { /*i1=0*/ {1}, {2} }, { /*i1=1*/ {3}, {4} } } }"),
    ("f32", (0,), [], "{}"),
    ("f32", (0, 2), [], "{  }"),
    ("f32", (2, 0), [], "{ {}, {} }"),
    ("f32", (1, 1, 0, 2), [], "{ { /*i0=0*/ { /*i1=0*/ } } }"),
]  # fmt: skip


def literal_of(dtype: str, dims: tuple[int, ...], raw: list[int]) -> Literal:
    width = ELEMENT_TYPES[dtype].numpy.itemsize
    return Literal(Shape(dtype, dims), b"".join(v.to_bytes(width, "little") for v in raw))


def module_of(literal: AnyLiteral) -> HloModule:
    constant = HloInstruction("c", "constant", literal.shape, attrs=attributes(literal=literal))
    return HloModule("m", (HloComputation("e", (constant,), 0),), "e")


@pytest.mark.parametrize(("dtype", "dims", "raw", "text"), SPELLINGS)
def test_spelling(dtype: str, dims: tuple[int, ...], raw: list[int], text: str) -> None:
    module = module_of(literal_of(dtype, dims, raw))
    assert literal_text(literal_of(dtype, dims, raw)) == text
    assert f"constant({text})" in xla.printed(write_module(module), PrintOptions())
    assert parse_module(print_module(module)) == module


@pytest.mark.parametrize("dtype", ELEMENT_TYPES)
@given(data=st.data())
def test_every_value_reads_back(dtype: str, data: st.DataObject) -> None:
    """All bit patterns of the type, but for values of one bit pattern more than one NaN."""
    element = ELEMENT_TYPES[dtype]
    dims = data.draw(st.lists(st.integers(0, 3), max_size=4).map(tuple))
    shape = Shape(dtype, dims)
    bits = st.integers(0, 2 ** min(element.bits, 64) - 1)
    if element.kind == "pred":
        bits = st.integers(0, 1)
    width = element.numpy.itemsize if element.bits < 128 else 8
    count = shape.bytes // width
    raw = data.draw(st.lists(bits, min_size=count, max_size=count))
    module = module_of(Literal(shape, b"".join(v.to_bytes(width, "little") for v in raw)))
    assert parse_module(print_module(module)) == module
    assert read_module(write_module(module)) == module


@given(st.floats(width=32))
def test_xla_prints_floats_as_we_do(value: float) -> None:
    module = module_of(Literal.of(np.float32(value)))
    text = literal_text(Literal.of(np.float32(value)))
    assert f"constant({text})" in xla.printed(write_module(module), PrintOptions())


@given(st.floats())
def test_xla_prints_doubles_as_we_do(value: float) -> None:
    module = module_of(Literal.of(np.float64(value)))
    text = literal_text(Literal.of(np.float64(value)))
    assert f"constant({text})" in xla.printed(write_module(module), PrintOptions())


def test_tuples() -> None:
    literal = TupleLiteral((Literal.of(np.float32(1)), Literal.of(np.arange(2, dtype=np.int32))))
    module = module_of(literal)
    assert literal_text(literal) == "( 1, {0, 1} )"
    assert parse_module(print_module(module)) == module
    assert read_module(write_module(module)) == module


def test_complex_numbers() -> None:
    literal = Literal.of(np.array([1 + 2j, 0.5 - np.inf * 1j], np.complex64)[:1])
    assert literal_text(literal) == "{(1, 2)}"


def test_large_constants_can_be_left_out() -> None:
    module = module_of(Literal.of(np.arange(11, dtype=np.float32)))
    assert "constant({...})" in print_module(module, PrintOptions(large_constants=False))


def test_a_literal_in_another_layout_is_brought_into_row_major_order() -> None:
    text = "HloModule m\nENTRY e { ROOT c = s32[2,3]{0,1} constant({ {1, 2, 3}, {4, 5, 6} }) }"
    for module in (read_module(xla.proto_of(text)), parse_module(text)):
        constant = module.entry.instructions[0]
        assert constant["literal"].numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
        assert constant.shape.layout is None
