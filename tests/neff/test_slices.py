"""Dots of slices are one dot, where that is less work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.passes.cleanup import eliminate_dead_code
from neff.passes.slices import join_dots_of_slices, slice_before_concatenating
from neff.program import Kind, Program, Variable, Weight
from tests.runtime.tiles import by_jax

ARRAYS = [np.random.default_rng(n).standard_normal(d) for n, d in enumerate([(12, 8), (8, 16)])]
X, W = (a.astype(np.float32) for a in ARRAYS)


def steps(count: int, of: int = 12, narrow: bool = False) -> Program:
    """`count` dots of one row of x each, added up; with `narrow`, of the row in bf16."""
    numbers = "lhs_contracting_dims={1}, rhs_contracting_dims={0}"
    dtype = "bf16" if narrow else "f32"
    lines = ["x = f32[12,8] parameter(0)", f"w = {dtype}[8,16] parameter(1)"]
    total = ""
    for n in range(count):
        lines += [
            f"s{n} = f32[1,8] slice(x), slice={{[{n % of}:{n % of + 1}], [0:8]}}",
            *([f"c{n} = bf16[1,8] convert(s{n})"] if narrow else []),
            f"d{n} = f32[1,16] dot({'c' if narrow else 's'}{n}, w), {numbers}",
            f"t{n} = f32[1,16] tanh(d{n})",
        ]
        if total:
            lines.append(f"a{n} = f32[1,16] add({total}, t{n})")
        total = f"a{n}" if total else f"t{n}"
    lines[-1] = "ROOT " + lines[-1]
    program = lower(parse_module("HloModule m\nENTRY main {\n" + "\n".join(lines) + "\n}"))
    weight = W.astype(ml_dtypes.bfloat16) if narrow else W
    bound = Variable("w", program.inputs[1].shape, Kind.WEIGHT, Weight.of(weight))
    return replace(program, inputs=(program.inputs[0], bound))


def batched(count: int, dimension: int = 1, narrow: bool = False, wide: int = 1) -> Program:
    """Dots of what lies at `wide` indices each of one dimension of x, of three, put together."""
    numbers = "lhs_contracting_dims={1}, rhs_contracting_dims={0}"
    dtype, rows = "bf16" if narrow else "f32", 12 // (2, 6)[dimension] * wide
    lines = ["x = f32[2,6,8] parameter(0)", f"w = {dtype}[8,16] parameter(1)"]
    for n in range(count):
        taken = ["0:2", "0:6", "0:8"]
        taken[dimension] = f"{n * wide}:{(n + 1) * wide}"
        dims = ["2", "6", "8"]
        dims[dimension] = str(wide)
        lines += [
            f"s{n} = f32[{','.join(dims)}] slice(x), slice={{[{'], ['.join(taken)}]}}",
            f"r{n} = f32[{rows},8] reshape(s{n})",
            *([f"c{n} = bf16[{rows},8] convert(r{n})"] if narrow else []),
            f"d{n} = f32[{rows},16] dot({'c' if narrow else 'r'}{n}, w), {numbers}",
        ]
    parts = ", ".join(f"d{n}" for n in range(count))
    lines.append(f"ROOT o = f32[{rows * count},16] concatenate({parts}), dimensions={{0}}")
    program = lower(parse_module("HloModule m\nENTRY main {\n" + "\n".join(lines) + "\n}"))
    weight = W.astype(ml_dtypes.bfloat16) if narrow else W
    bound = Variable("w", program.inputs[1].shape, Kind.WEIGHT, Weight.of(weight))
    return replace(program, inputs=(program.inputs[0], bound))


def ops(program: Program) -> Counter[str]:
    return Counter(i.op for i in eliminate_dead_code(program).main.instructions)


def run(program: Program) -> np.ndarray:
    weight = program.inputs[1].weight
    assert weight is not None
    x = X.reshape(program.inputs[0].shape.dims)
    return by_jax(program, x, weight.array)


def test_the_steps_of_a_recurrent_layer_are_one_dot():
    program = steps(12)
    joined = join_dots_of_slices(program)
    assert ops(program)["dot"] == 12
    assert ops(joined)["dot"] == 1
    np.testing.assert_allclose(run(joined), run(program), rtol=1e-5)
    assert join_dots_of_slices(joined) == joined


def test_rows_that_are_rounded_one_by_one_are_so_together():
    program = steps(12, narrow=True)
    joined = join_dots_of_slices(program)
    assert ops(program)["dot"] == ops(program)["convert"] == 12
    assert ops(joined)["dot"] == ops(joined)["convert"] == 1
    np.testing.assert_allclose(run(joined), run(program), rtol=1e-5)
    assert join_dots_of_slices(joined) == joined


def test_a_few_rows_of_many_are_left():
    program = steps(5, of=5)
    assert join_dots_of_slices(program) is program


def test_few_dots_are_left():
    program = steps(3)
    assert join_dots_of_slices(program) is program


@pytest.mark.parametrize("narrow", [False, True])
def test_the_steps_of_several_sequences_are_one_dot(narrow):
    program = batched(6, narrow=narrow)
    joined = join_dots_of_slices(program)
    assert ops(program)["dot"] == 6
    assert ops(joined)["dot"] == ops(joined)["transpose"] == 1
    np.testing.assert_allclose(run(joined), run(program), rtol=1e-5)
    assert join_dots_of_slices(joined) == joined


def test_rows_that_would_not_follow_each_other_are_left(monkeypatch):
    monkeypatch.setattr("neff.passes.slices.FEWEST", 2)
    assert ops(join_dots_of_slices(batched(3)))["dot"] == 3  # half of the rows
    assert ops(join_dots_of_slices(batched(4)))["dot"] == 1
    assert ops(join_dots_of_slices(batched(3, wide=2)))["dot"] == 3


def concatenated(taken: str, dims: str) -> Program:
    text = f"""HloModule m
ENTRY main {{
  x = f32[2,3] parameter(0)
  y = f32[4,3] parameter(1)
  c = f32[6,3] concatenate(x, y), dimensions={{0}}
  ROOT s = f32[{dims}] slice(c), slice={{{taken}}}
}}"""
    return lower(parse_module(text))


@pytest.mark.parametrize(
    ("taken", "dims", "left"),
    [
        ("[0:2], [0:3]", "2,3", {}),
        ("[2:6], [0:3]", "4,3", {}),
        ("[3:6:2], [1:3]", "2,2", {"slice": 1}),
        ("[1:3], [0:3]", "2,3", {"slice": 1, "concatenate": 1}),
    ],
)
def test_a_slice_of_one_of_several_that_are_put_together_is_of_that_one(taken, dims, left):
    program = concatenated(taken, dims)
    made = slice_before_concatenating(program)
    counted = ops(made)
    assert {op: counted[op] for op in ("slice", "concatenate") if op in counted} == left
    given = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4, 3), np.float32)]
    wanted, got = (by_jax(p, *given) for p in (program, made))
    np.testing.assert_array_equal(got, wanted)
