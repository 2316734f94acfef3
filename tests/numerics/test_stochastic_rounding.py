"""Stochastic rounding: right on average, never where nothing is cut off, the same for one seed."""

from __future__ import annotations

import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import ELEMENT_TYPES
from neff.compile import compile_module
from runtime.model import Model, load_program

COUNT = 1 << 14


def load(text: str) -> Model:
    return load_program(compile_module(parse_module(text)).program)


def run(model: Model, *arrays: np.ndarray) -> np.ndarray:
    given = [memoryview(np.ascontiguousarray(a).reshape(-1).view(np.uint8)) for a in arrays]
    variable = model.ready.program.outputs[0]
    return model.execute(given)[0].view(variable.shape.numpy).reshape(variable.shape.dims)


def convert_to(name: str) -> str:
    return (
        f"HloModule m\nENTRY e {{\n p = f32[{COUNT}] parameter(0)\n"
        f" ROOT r = {name}[{COUNT}] convert(p)\n}}\n"
    )


@pytest.fixture
def stochastic(monkeypatch):
    monkeypatch.setenv("NEURON_RT_STOCHASTIC_ROUNDING_EN", "1")
    return monkeypatch


@pytest.mark.parametrize("name", ["bf16", "f16", "f8e4m3", "f8e5m2"])
def test_mean_is_the_value_and_results_are_its_neighbours(name, stochastic):
    model, dtype = load(convert_to(name)), ELEMENT_TYPES[name].numpy
    values = np.arange(1 << (8 * dtype.itemsize)).astype(f"u{dtype.itemsize}").view(dtype)
    grid = np.unique(values.astype(np.float32)[np.isfinite(values.astype(np.float32))])
    for value in (1.2345, -3.3, 100.01):
        made = run(model, np.full(COUNT, value, np.float32)).astype(np.float64)
        above = np.searchsorted(grid, value)
        low, high = float(grid[above - 1]), float(grid[above])
        assert set(np.unique(made)) == {low, high}
        assert abs(made.mean() - value) < 4 * (high - low) / 2 / COUNT**0.5


@pytest.mark.parametrize("name", ["bf16", "f16", "f8e4m3", "f8e5m2"])
def test_values_of_the_type_stay(name, stochastic):
    dtype = ELEMENT_TYPES[name].numpy
    count = 1 << (8 * dtype.itemsize)
    values = np.arange(count).astype(f"u{dtype.itemsize}").view(dtype)
    given = np.resize(values.astype(np.float32), COUNT)
    made = run(load(convert_to(name)), given)
    np.testing.assert_array_equal(made.astype(np.float32), given)


LOOP = """HloModule m
step { s = (s32[], f16[64]) parameter(0)
 i = s32[] get-tuple-element(s), index=0
 a = f16[64] get-tuple-element(s), index=1
 one = s32[] constant(1)
 j = s32[] add(i, one)
 h = f16[] constant(0.5)
 hb = f16[64] broadcast(h), dimensions={}
 b = f16[64] add(a, hb)
 ROOT t = (s32[], f16[64]) tuple(j, b)
}
below { s = (s32[], f16[64]) parameter(0)
 i = s32[] get-tuple-element(s), index=0
 n = s32[] constant(2048)
 ROOT c = pred[] compare(i, n), direction=LT
}
ENTRY e {
 p = f16[64] parameter(0)
 z = s32[] constant(0)
 s = (s32[], f16[64]) tuple(z, p)
 w = (s32[], f16[64]) while(s), condition=below, body=step
 ROOT r = f16[64] get-tuple-element(w), index=1
}
"""


def test_small_steps_are_not_lost(stochastic):
    """The documents' example: 1024 and 2048 times a half, in fp16, where a half is a tie."""
    start = np.full(64, 1024, np.float16)
    made = run(load(LOOP), start).astype(np.float64)
    assert abs(made.mean() - 2048) < 20 and made.std() > 1
    stochastic.setenv("NEURON_RT_STOCHASTIC_ROUNDING_EN", "0")
    assert (run(load(LOOP), start) == 1024).all()


def test_one_seed_rounds_alike_and_another_does_not(stochastic):
    given = np.random.default_rng(0).standard_normal(COUNT).astype(np.float32)
    made = []
    for seed in ("3", "3", "4"):
        stochastic.setenv("NEURON_RT_STOCHASTIC_ROUNDING_SEED", seed)
        model = load(convert_to("bf16"))
        made.append([run(model, given).view(np.uint16) for _ in range(2)])
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0][0] != made[2][0]).any()
    assert (made[0][0] != made[0][1]).any()  # the next call draws anew


def test_arithmetic_rounds_once_by_chance(stochastic):
    text = (
        f"HloModule m\nENTRY e {{\n p = bf16[{COUNT}] parameter(0)\n q = bf16[{COUNT}] "
        f"parameter(1)\n ROOT r = bf16[{COUNT}] add(p, q)\n}}\n"
    )
    bf16 = ELEMENT_TYPES["bf16"].numpy
    made = run(load(text), np.full(COUNT, 256, bf16), np.full(COUNT, 0.5, bf16))
    assert set(np.unique(made.astype(np.float32))) == {256.0, 258.0}
    assert abs(made.astype(np.float64).mean() - 256.5) < 0.05


def test_a_seed_that_is_no_number_is_refused(stochastic):
    stochastic.setenv("NEURON_RT_STOCHASTIC_ROUNDING_SEED", "x")
    with pytest.raises(ValueError, match="ROUNDING_SEED: must be a number, got 'x'"):
        load(convert_to("bf16"))
