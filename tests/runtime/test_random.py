"""Random numbers: their distributions, their states, and rounding by them."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from runtime.interpreter import interpret
from runtime.kernels.random import STATE_START
from tests.runtime.test_kernels import one


def loaded(text: str):
    """A module, as a callable with a state of its own."""
    program = lower(parse_module(f"HloModule m\n{text}"))
    with jax.enable_x64(True):
        compiled = jax.jit(lambda *xs: interpret(program, xs)).lower().compile()
    return lambda: np.asarray(compiled()[0])


def numbers(shape: str, distribution: str, a: object, b: object):
    dtype = shape.split("[")[0]
    return loaded(
        f"ENTRY e {{\na = {dtype}[] constant({a})\nb = {dtype}[] constant({b})\n"
        f"ROOT r = {shape} rng(a, b), distribution={distribution}\n}}"
    )


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_uniform_numbers_fill_their_range(dtype):
    made = numbers(f"{dtype}[4000]", "rng_uniform", -1, 3)().astype(np.float64)
    assert made.min() >= -1 and made.max() <= 3
    assert abs(made.mean() - 1) < 0.1 and abs(made.std() - 4 / 12**0.5) < 0.1


@pytest.mark.parametrize("dtype", ["s32", "u32", "s64", "u8"])
def test_uniform_integers_leave_out_the_end(dtype):
    made = numbers(f"{dtype}[1000]", "rng_uniform", 2, 6)()
    assert sorted(set(made.tolist())) == [2, 3, 4, 5]


def test_normal_numbers_have_their_mean_and_deviation():
    made = numbers("f32[8000]", "rng_normal", 2, 3)()
    assert abs(made.mean() - 2) < 0.15 and abs(made.std() - 3) < 0.15


def test_each_execution_gives_other_numbers():
    draw = numbers("f32[8]", "rng_uniform", 0, 1)
    assert (draw() != draw()).any()


def test_the_state_grows_by_its_delta():
    step = loaded("ENTRY e {\nROOT r = u64[2] rng-get-and-update-state(), delta=3\n}")
    states = [step().tolist() for _ in range(3)]
    assert states == [[STATE_START + 3 * n, 0] for n in range(3)]


def test_stochastic_rounding_to_integers_is_right_on_average():
    random = np.random.default_rng(0).integers(0, 2**32, 4000, np.uint32)
    for value in (2.25, -2.25, 0.9, -0.1):
        x = np.full(4000, value, np.float32)
        made = one("s32[4000] stochastic-convert(p0, p1)", x, random)
        assert set(made.tolist()) == {np.floor(value), np.ceil(value)}
        assert abs(made.mean() - value) < 0.03


def test_stochastic_rounding_to_integers_saturates():
    x = np.array([np.nan, np.inf, -np.inf, 1e9, -1e9, 3.0], np.float32)
    made = one("s8[6] stochastic-convert(p0, p1)", x, np.full(6, 2**32 - 1, np.uint32))
    assert made.tolist() == [0, 127, -128, 127, -128, 3]


@pytest.mark.parametrize(("dtype", "made_of"), [("bf16", "f32"), ("f16", "f32"), ("f8e4m3", "f16")])
def test_stochastic_rounding_to_floats_is_right_on_average(dtype, made_of):
    wide, width = {"f32": (np.float32, np.uint32), "f16": (np.float16, np.uint16)}[made_of]
    random = np.random.default_rng(0).integers(0, np.iinfo(width).max, 4000, width, endpoint=True)
    narrow = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "f8e4m3": ml_dtypes.float8_e4m3}[dtype]
    step = float(ml_dtypes.finfo(narrow).eps)
    for sign in (1, -1):
        value = sign * wide(1 + step / 4)
        made = one(f"{dtype}[4000] stochastic-convert(p0, p1)", np.full(4000, value), random)
        found = set(made.astype(np.float64).tolist())
        assert found == {sign * 1.0, sign * (1 + step)}
        assert abs(made.astype(np.float64).mean() - float(value)) < step / 20


def test_stochastic_rounding_keeps_what_is_no_number():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1.5], np.float32)
    made = one("bf16[5] stochastic-convert(p0, p1)", x, np.full(5, 2**32 - 1, np.uint32))
    np.testing.assert_array_equal(made.astype(np.float32), x)
