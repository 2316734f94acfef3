"""Layer norm as it is captured, batch-norm-training of one row for each feature, in steps."""

from __future__ import annotations

from collections import Counter

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.passes.norms import expand_row_norms
from neff.program import Program
from runtime.interpreter import interpret


def norm(dims: str, feature: int, *, scale: str, offset: str, result: str = "index=0") -> Program:
    shape = f"f32[{dims}]"
    sizes = [int(d) for d in dims.split(",")]
    lines = sizes[feature]
    made = f"f32[{lines}]" if result != "index=0" else shape
    return lower(
        parse_module(f"""HloModule m
        ENTRY main {{
          x = {shape} parameter(0)
          s = f32[] constant({scale})
          o = f32[] constant({offset})
          ss = f32[{lines}] broadcast(s), dimensions={{}}
          os = f32[{lines}] broadcast(o), dimensions={{}}
          n = ({shape}, f32[{lines}], f32[{lines}]) batch-norm-training(x, ss, os), epsilon=1e-05, feature_index={feature}
          ROOT r = {made} get-tuple-element(n), {result}
        }}""")  # noqa: E501
    )


def run(program: Program, x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(lambda *xs: interpret(program, xs)[0])(x))


@pytest.mark.parametrize("result", ["index=0", "index=1", "index=2"])
@pytest.mark.parametrize(("scale", "offset"), [("1", "0"), ("2.5", "0"), ("1", "-3")])
def test_rows_are_normalized(result, scale, offset):
    program = norm("1,6,10", 1, scale=scale, offset=offset, result=result)
    made = expand_row_norms(program)
    ops = Counter(i.op for i in made.main.instructions)
    assert ops["batch-norm-training"] == 0 and ops["reduce"] == 2
    x = np.random.default_rng(0).standard_normal((1, 6, 10)).astype(np.float32)
    np.testing.assert_allclose(run(made, x), run(program, x), rtol=1e-5, atol=1e-5)
    assert expand_row_norms(made) is made


def test_a_large_mean_costs_no_digits():
    x = np.random.default_rng(0).standard_normal((1, 4, 64)).astype(np.float32) + 1000
    made = run(expand_row_norms(norm("1,4,64", 1, scale="1", offset="0")), x)
    wide = x.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    assert np.abs(made - exact).max() < 1e-4


def test_a_batch_norm_of_images_is_left():
    program = norm("2,6,5", 1, scale="1", offset="0")
    assert expand_row_norms(program) is program
