"""Dots of slices are one dot, where that is less work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import jax
import ml_dtypes
import numpy as np

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.passes.cleanup import eliminate_dead_code
from neff.passes.slices import join_dots_of_slices
from neff.program import Kind, Program, Variable, Weight
from runtime.interpreter import interpret

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


def ops(program: Program) -> Counter[str]:
    return Counter(i.op for i in eliminate_dead_code(program).main.instructions)


def run(program: Program) -> np.ndarray:
    weight = program.inputs[1].weight
    assert weight is not None
    return np.asarray(jax.jit(lambda *xs: interpret(program, xs)[0])(X, weight.array))


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
