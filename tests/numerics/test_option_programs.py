"""Random programs under every combination of numeric options: types kept, results in bounds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_frontend.hlo.types import Shape
from neff.options import parse_options
from neff.passes.accumulate import accumulate_as_typed, accumulate_in_f32
from neff.passes.auto_cast import AutoCast, AutoCastAll
from neff.passes.integers import DowncastIntegers, narrow_int64
from neff.passes.operators import compute_operators_in_f32
from neff.passes.retype import Retyping, retype_program
from neff.passes.saturate import saturate_transposed
from neff.pipeline import name_of, pipeline
from neff.pipeline import run as run_passes
from neff.program import Program
from neff.verify import verify_program
from runtime.interpreter import interpret
from tests.numerics.programs import bounded_programs, integer_programs

TYPES = ("bf16", "fp16", "tf32", "fp8_e4m3")
UNITS = {
    "bf16": float(ml_dtypes.finfo(ml_dtypes.bfloat16).eps) / 2,
    "fp16": float(np.finfo(np.float16).eps) / 2,
    "tf32": 2.0**-11,
    "fp8_e4m3": float(ml_dtypes.finfo(ml_dtypes.float8_e4m3).eps) / 2,
}
COMBINATIONS = [
    " ".join(words)
    for words in itertools.product(
        ("--auto-cast none", "--auto-cast matmult", "--auto-cast all"),
        [f"--auto-cast-type {t}" for t in TYPES],
        ("--enable-mixed-precision-accumulation", "--disable-mixed-precision-accumulation"),
        ("", "--enable-saturate-infinity"),
        ("-O1", "-O2", "-O3"),
        ("--target inf2", "--target trn2 --native-int64 enabled"),
    )
]


def results(p: Program, given: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    with jax.enable_x64(True):
        return [np.asarray(v) for v in jax.jit(partial(interpret, p))(given)]


def bound_arguments(p: Program) -> tuple[np.ndarray, ...]:
    """Values between -1 and 1 for a program's inputs, a weight's own for it."""
    random = np.random.default_rng(1)
    return tuple(
        v.weight.array if v.weight is not None else _drawn(random, v.shape) for v in p.inputs
    )


def _drawn(random: np.random.Generator, shape: Shape) -> np.ndarray:
    if shape.element.kind == "signed":
        return random.integers(-900, 900, shape.dims).astype(shape.numpy)
    return random.uniform(-1, 1, shape.dims).astype(shape.numpy)


def in_float64(p: Program) -> list[np.ndarray]:
    """What a program of f32 computes in f64, on the same values."""
    wide = Retyping("reference", {"f32": "f64"}, lambda i, operands: False)
    return results(retype_program(p, wide), bound_arguments(p))


@given(case=bounded_programs(), options=st.sampled_from(COMBINATIONS))
@settings(max_examples=25, deadline=None)
def test_types_stay_and_results_are_in_bounds(case, options):
    chosen, p = parse_options(options), case.program
    made = run_passes(p, pipeline(chosen), lambda record: None)
    assert [v.shape for v in made.outputs] == [v.shape for v in p.outputs]
    assert [v.shape for v in made.inputs[:1]] == [v.shape for v in p.inputs[:1]]
    unit = 0.0 if chosen.auto_cast == "none" else UNITS[chosen.auto_cast_type]
    found = results(made, bound_arguments(made))
    for n, (value, expected) in enumerate(zip(found, in_float64(p), strict=True)):
        assert value.dtype == np.float32
        worst = np.max(np.abs(value.astype(np.float64) - expected), initial=0.0)
        assert worst <= case.tolerance(n, 1.2 * unit), (options, worst)


FLOAT_PASSES = (
    *map(AutoCast, TYPES),
    *map(AutoCastAll, TYPES),
    saturate_transposed,
)


@pytest.mark.parametrize("step", FLOAT_PASSES, ids=name_of)
@given(case=bounded_programs())
@settings(max_examples=15, deadline=None)
def test_cast_passes_are_idempotent_and_keep_the_interface(step, case):
    once = step(case.program)
    verify_program(once, name_of(step))
    assert step(once) == once
    assert (once.inputs, once.outputs) == (case.program.inputs, case.program.outputs)


@pytest.mark.parametrize("step", [accumulate_in_f32, accumulate_as_typed], ids=name_of)
@given(case=bounded_programs())
@settings(max_examples=15, deadline=None)
def test_accumulation_passes_are_idempotent(step, case):
    short = AutoCastAll("bf16")(case.program)
    once = step(short)
    verify_program(once, name_of(step))
    assert step(once) == once
    sums = [i for i in once.main.instructions if i.op == "reduce"]
    wide = {"f32"} if step is accumulate_in_f32 else {"bf16"}
    assert {i.array.dtype for i in sums} <= wide


@given(case=bounded_programs())
@settings(max_examples=15, deadline=None)
def test_operators_in_f32_are_idempotent(case):
    short = accumulate_in_f32(AutoCastAll("bf16")(case.program))
    once = compute_operators_in_f32(short)
    verify_program(once, "compute_operators_in_f32")
    assert compute_operators_in_f32(once) == once
    assert (once.inputs, once.outputs) == (short.inputs, short.outputs)


@given(p=integer_programs())
@settings(max_examples=25, deadline=None)
def test_narrow_integers_compute_the_same_where_they_fit(p):
    narrow = narrow_int64(p)
    verify_program(narrow, "narrow_int64")
    assert narrow_int64(narrow) == narrow
    assert (narrow.inputs, narrow.outputs) == (p.inputs, p.outputs)
    inside = narrow.main.instructions
    assert all(
        i.op in ("parameter", "convert") for i in inside if getattr(i.shape, "dtype", "") == "s64"
    )
    given = bound_arguments(p)
    for value, expected in zip(results(narrow, given), results(p, given), strict=True):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)


@given(p=integer_programs())
@settings(max_examples=15, deadline=None)
def test_integer_downcast_is_idempotent(p):
    step = DowncastIntegers(parse_options("").downcasts)
    once = step(p)
    assert step(once) == once


@given(p=integer_programs(), options=st.sampled_from(COMBINATIONS))
@settings(max_examples=20, deadline=None)
def test_options_keep_integer_results(p, options):
    made = run_passes(p, pipeline(parse_options(options)), lambda record: None)
    given = bound_arguments(p)
    found = results(made, (*given[:1], *bound_arguments(made)[1:]))
    if "--auto-cast all" in options:  # an f32 on the way is rounded
        assert [v.dtype for v in found] == [v.shape.numpy for v in p.outputs]
        return
    for value, expected in zip(found, results(p, given), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_without_options_the_program_is_the_same_to_the_bit():
    """A pass that has nothing to do returns the program it was given."""
    p = replace(integer_free(), target="trn2")
    for step in (narrow_int64, DowncastIntegers(parse_options("").downcasts), accumulate_in_f32):
        assert step(p) == p


def integer_free() -> Program:
    from neff.builder import Builder
    from tests.neff.programs import input_variable, parameters, program

    b, inputs = Builder(), [input_variable("x", 2, 3)]
    (x,) = parameters(b, inputs)
    return program(b, b.op("tanh", Shape("f32", (2, 3)), x), inputs=inputs)
