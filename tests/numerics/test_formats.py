"""Every 8- and 16-bit format, value by value, as ml_dtypes has it, through a compiled program."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from hlo_frontend.hlo.types import ELEMENT_TYPES
from tests.numerics.measure import execute

FORMATS = ("bf16", "f16", "f8e4m3", "f8e5m2")


def every_prefix() -> np.ndarray:
    """Each upper half an f32 can have, with lower halves at, beside and between ties of bf16."""
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    bits = (np.arange(1 << 16, dtype=np.uint32)[:, None] << 16) | low
    return bits.reshape(-1).view(np.float32)


def midpoints(dtype: np.dtype) -> np.ndarray:
    """The numbers halfway between neighbours of a format, and those just beside."""
    values = np.arange(1 << (8 * dtype.itemsize)).astype(f"u{dtype.itemsize}").view(dtype)
    finite = np.unique(values.astype(np.float32)[np.isfinite(values.astype(np.float32))])
    middle = ((finite[1:].astype(np.float64) + finite[:-1]) / 2).astype(np.float32)
    beyond = (np.array([2.0, -2.0]) * finite[[-1, 0]]).clip(-3e38, 3e38).astype(np.float32)
    beside = [np.nextafter(middle, np.float32(s)) for s in (-np.inf, np.inf)]
    return np.concatenate([middle, *beside, beyond])


def same(made: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Equal bits, or both not a number."""
    nan = np.isnan(made.astype(np.float32)) & np.isnan(expected.astype(np.float32))
    bits = f"u{made.dtype.itemsize}"
    return nan | (made.view(bits) == expected.view(bits))


@pytest.mark.parametrize("name", FORMATS)
def test_f32_rounds_to_the_format(name):
    dtype = ELEMENT_TYPES[name].numpy
    given = np.concatenate([every_prefix(), midpoints(dtype)])
    text = f"HloModule m\nENTRY e {{\n p = f32[{given.size}] parameter(0)\n"
    (made,) = execute(text + f" ROOT r = {name}[{given.size}] convert(p)\n}}\n", "", [given])
    with np.errstate(all="ignore"):
        expected = given.astype(dtype)
    wrong = ~same(made, expected)
    assert not wrong.any(), (given[wrong][:5], made[wrong][:5], expected[wrong][:5])


@pytest.mark.parametrize("name", FORMATS)
def test_every_value_of_the_format_widens_exactly(name):
    dtype = ELEMENT_TYPES[name].numpy
    count = 1 << (8 * dtype.itemsize)
    given = np.arange(count).astype(f"u{dtype.itemsize}").view(dtype)
    text = f"HloModule m\nENTRY e {{\n p = {name}[{count}] parameter(0)\n"
    (made,) = execute(text + f" ROOT r = f32[{count}] convert(p)\n}}\n", "", [given])
    assert same(made, given.astype(np.float32)).all()


def test_eight_bit_floats_top_out_where_the_documents_say():
    assert float(ml_dtypes.finfo(ELEMENT_TYPES["f8e4m3"].numpy).max) == 240
    given = np.float32([240, 247, 248, 1e9, -300])
    text = "HloModule m\nENTRY e {\n p = f32[5] parameter(0)\n ROOT r = f8e4m3[5] convert(p)\n}\n"
    (made,) = execute(text, "", [given])
    assert made.astype(np.float32).tolist() == [240, 240, np.inf, np.inf, -np.inf]


@pytest.mark.parametrize("op", ["add", "multiply", "divide"])
@pytest.mark.parametrize("name", ["f8e4m3", "f8e5m2"])
def test_arithmetic_on_every_pair_rounds_once(op, name):
    dtype = ELEMENT_TYPES[name].numpy
    values = np.arange(256).astype(np.uint8).view(dtype)
    x, y = (v.reshape(-1).copy() for v in np.meshgrid(values, values))
    text = f"HloModule m\nENTRY e {{\n p = {name}[65536] parameter(0)\n q = {name}[65536] "
    text += f"parameter(1)\n ROOT r = {name}[65536] {op}(p, q)\n}}\n"
    (made,) = execute(text, "", [x, y])
    with np.errstate(all="ignore"):
        wide = getattr(np, op)(x.astype(np.float32), y.astype(np.float32))
        assert same(made, wide.astype(dtype)).all()
