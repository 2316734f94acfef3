"""Regions that reduce rows: those of models as torch has them, and every length of a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import torch_neuronx
from neff.container import read_neff
from neff.program import Program, Region
from runtime.units.ops import OPS
from runtime.units.rows import lower_rows, reduction_of, row_code
from tests.runtime.tiles import (
    SMALLEST,
    by_jax,
    flushed,
    in_rows,
    members_of,
    program_of,
    same_bits,
)

BODIES = """
add { p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] add(p, q) }
max { p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] maximum(p, q) }
min { p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] minimum(p, q) }
mul { p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] multiply(p, q) }
sub { p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] subtract(p, q) }
all { p = pred[] parameter(0) q = pred[] parameter(1) ROOT r = pred[] and(p, q) }
any { p = pred[] parameter(0) q = pred[] parameter(1) ROOT r = pred[] or(q, p) }
both {
  p = pred[] parameter(0)
  q = pred[] parameter(1)
  no = pred[] constant(false)
  yes = pred[] constant(true)
  a = pred[] compare(p, no), direction=NE
  b = pred[] compare(q, no), direction=NE
  c = pred[] and(b, a)
  ROOT r = pred[] select(c, yes, no)
}
first { p = pred[] parameter(0) q = pred[] parameter(1) ROOT r = pred[] select(p, p, p) }
"""


def reducing(text: str) -> Program:
    return program_of(f"HloModule m\n{BODIES}\nENTRY main {{\n{text}\n}}")


SOFTMAX = """
    x = f32[{rows},{columns}] parameter(0)
    low = f32[] constant(-inf)
    zero = f32[] constant(0)
    m = f32[{rows}] reduce(x, low), dimensions={{1}}, to_apply=max
    mb = f32[{rows},{columns}] broadcast(m), dimensions={{0}}
    d = f32[{rows},{columns}] subtract(x, mb)
    e = f32[{rows},{columns}] exponential(d)
    s = f32[{rows}] reduce(e, zero), dimensions={{1}}, to_apply=add
    sb = f32[{rows},{columns}] broadcast(s), dimensions={{0}}
    {end} = f32[{rows},{columns}] divide(e, sb)
"""


def softmax(rows: int, columns: int) -> Program:
    return reducing(SOFTMAX.format(rows=rows, columns=columns, end="ROOT r"))


@pytest.mark.parametrize("columns", [1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 1000, 5000])
def test_rows_of_any_length(columns):
    x = np.random.default_rng(columns).standard_normal((13, columns)).astype(np.float32) * 4
    made = in_rows(softmax(13, columns), x)
    exact = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(made, exact, rtol=2e-6)


def test_rows_have_the_same_bits_whatever_lies_beside_them():
    """A row does not depend on the tile or the thread that it is in."""
    x = np.random.default_rng(0).standard_normal((2000, 100)).astype(np.float32)
    whole = in_rows(softmax(2000, 100), x)
    for rows in (1, 7, 512):
        np.testing.assert_array_equal(in_rows(softmax(rows, 100), x[:rows]), whole[:rows])


def test_a_sum_is_at_least_as_near_as_one_after_the_other():
    x = np.float32(np.random.default_rng(1).uniform(0, 1, (4, 100_000)))
    p = reducing("""
        x = f32[4,100000] parameter(0)
        zero = f32[] constant(0)
        ROOT r = f32[4] reduce(x, zero), dimensions={1}, to_apply=add
    """)
    made, exact = in_rows(p, x), x.astype(np.float64).sum(1)
    one_by_one = np.cumsum(x, axis=1, dtype=np.float32)[:, -1]
    assert (np.abs(made - exact) <= np.abs(one_by_one - exact)).all()
    np.testing.assert_allclose(made, exact, rtol=1e-6)


@pytest.mark.parametrize("columns", [16, 37])
def test_quotients_by_a_number_of_the_row_are_those_of_a_division(columns):
    """To the last bit, also where a row has numbers of any size, and for divisors of any."""
    draws = np.random.default_rng(9)
    y = np.float32(
        [*draws.uniform(1, 2, 3000), *np.exp2(draws.uniform(-120, 120, 500)), -3, 0, np.inf, np.nan]
    )
    y[:2] = np.nextafter(np.float32([1, 2]), np.float32([2, 1]))
    x = np.float32(draws.uniform(1, 2, (y.size, columns)))
    x[::3] *= np.exp2(draws.integers(-88, 88, x[::3].shape)).astype(np.float32)
    x[::5, 3:7] = np.float32([0, -0.0, 1e-38, -np.inf])
    x[7] = np.nan
    p = reducing(f"""
        x = f32[{y.size},{columns}] parameter(0)
        y = f32[{y.size}] parameter(1)
        yb = f32[{y.size},{columns}] broadcast(y), dimensions={{0}}
        ROOT r = f32[{y.size},{columns}] divide(x, yb)
    """)
    x, y = flushed(x), flushed(y)
    with np.errstate(all="ignore"):
        exact = x / y[:, None]
    near = np.abs(exact) <= SMALLEST
    assert (same_bits(in_rows(p, x, y), flushed(exact)) | near).all()


def test_a_softmax_of_rows_of_nothing_is_zero_without_a_choice_for_each_element():
    p = reducing(
        SOFTMAX.format(rows=40, columns=37, end="p")
        + """
        lows = f32[40] broadcast(low), dimensions={}
        none = pred[40] compare(m, lows), direction=EQ
        nb = pred[40,37] broadcast(none), dimensions={0}
        zeros = f32[40,37] broadcast(zero), dimensions={}
        ROOT r = f32[40,37] select(nb, zeros, p)
    """
    )
    x = np.random.default_rng(10).standard_normal((40, 37)).astype(np.float32)
    x[3], x[4, 5:], x[6, 2], x[9, 1] = -np.inf, -np.inf, np.nan, np.inf
    made, expected = in_rows(p, x), by_jax(p, x)
    np.testing.assert_allclose(made, expected, rtol=2e-6)
    assert (made[3] == 0).all()
    code = lower_rows(p, members_of(p))
    ops = [code.words[n : n + 2] for n in range(len(code.words) - 6 * 11, len(code.words), 6)]
    assert [narrow for op, narrow in ops if OPS[op] == "select"] == [1, 1]


@pytest.mark.parametrize("channels", [5, 16, 48, 300])
def test_a_pass_over_an_image_with_a_number_of_each_channel(channels):
    """Its columns are those that all it reads is walked along as one."""
    p = program_of(f"""
        x = f32[3,9,11,{channels}] parameter(0)
        s = f32[3,{channels}] parameter(1)
        b = f32[3,9,11,{channels}] broadcast(s), dimensions={{0,3}}
        y = f32[3,9,11,{channels}] multiply(x, b)
        ROOT r = bf16[3,9,11,{channels}] convert(y)
    """)
    draws = np.random.default_rng(11)
    x = draws.standard_normal((3, 9, 11, channels)).astype(np.float32)
    s = draws.standard_normal((3, channels)).astype(np.float32)
    assert lower_rows(p, members_of(p)).columns == channels
    np.testing.assert_array_equal(in_rows(p, x, s), by_jax(p, x, s))


EXTREMES = [("max", np.max, "-inf"), ("min", np.min, "inf")]


@pytest.mark.parametrize(("body", "of", "initial"), EXTREMES, ids=["max", "min"])
@pytest.mark.parametrize("columns", [5, 16, 70])
def test_extremes_keep_nan_and_the_sign_of_zero(body, of, initial, columns):
    x = np.random.default_rng(2).standard_normal((6, columns)).astype(np.float32)
    x[0, columns // 2] = np.nan
    x[1, -1] = -np.nan
    x[2] = -np.inf if body == "max" else np.inf
    x[3] = 0.0
    x[3, 1] = -0.0
    x[4] = -0.0
    x[4, 2] = 0.0
    x[5] = -0.0
    p = reducing(f"""
        x = f32[6,{columns}] parameter(0)
        i = f32[] constant({initial})
        ROOT r = f32[6] reduce(x, i), dimensions={{1}}, to_apply={body}
    """)
    expected = of(x, axis=1)
    expected[3:] = [0.0, 0.0, -0.0] if body == "max" else [-0.0, -0.0, -0.0]
    assert same_bits(in_rows(p, x), expected).all()


STARTS = {
    "add": (3.0, lambda x: 3 + x.sum(1)),
    "max": (0.5, lambda x: np.maximum(0.5, x.max(1))),
    "min": (-1.0, lambda x: np.minimum(-1, x.min(1))),
    "mul": (2.0, lambda x: 2 * x.prod(1)),
}


@pytest.mark.parametrize("body", STARTS)
def test_reductions_start_once_with_what_they_are_given(body):
    start, of = STARTS[body]
    x = np.random.default_rng(3).standard_normal((5, 37)).astype(np.float32)
    p = reducing(f"""
        x = f32[5,37] parameter(0)
        i = f32[] constant({start})
        ROOT r = f32[5] reduce(x, i), dimensions={{1}}, to_apply={body}
    """)
    np.testing.assert_allclose(in_rows(p, x), of(x.astype(np.float64)), rtol=1e-5)


def test_several_dimensions_make_a_row_and_a_result_of_any_shape():
    """As a group normalization has them: statistics of a group, a scale per channel."""
    p = reducing("""
        x = f32[2,12,5,7] parameter(0)
        w = f32[12] parameter(1)
        zero = f32[] constant(0)
        n = f32[] constant(105)
        g = f32[2,4,105] reshape(x)
        s = f32[2,4] reduce(g, zero), dimensions={2}, to_apply=add
        nb = f32[2,4] broadcast(n), dimensions={}
        m = f32[2,4] divide(s, nb)
        mb = f32[2,4,105] broadcast(m), dimensions={0,1}
        c = f32[2,4,105] subtract(g, mb)
        q = f32[2,4,105] multiply(c, c)
        v = f32[2,4] reduce(q, zero), dimensions={2}, to_apply=add
        i = f32[2,4] rsqrt(v)
        ib = f32[2,4,105] broadcast(i), dimensions={0,1}
        o = f32[2,4,105] multiply(c, ib)
        b = f32[2,12,5,7] reshape(o)
        wb = f32[2,12,5,7] broadcast(w), dimensions={1}
        ROOT r = f32[2,12,5,7] multiply(b, wb)
    """)
    draws = np.random.default_rng(4)
    x, w = (draws.standard_normal(dims).astype(np.float32) for dims in ((2, 12, 5, 7), (12,)))
    assert row_code(p, members_of(p)) is not None
    np.testing.assert_allclose(in_rows(p, x, w), by_jax(p, x, w), rtol=2e-5, atol=1e-7)


def test_reductions_of_different_rows_are_left_to_jax():
    p = reducing("""
        x = f32[8,8] parameter(0)
        zero = f32[] constant(0)
        a = f32[8] reduce(x, zero), dimensions={1}, to_apply=add
        b = f32[8] reduce(x, zero), dimensions={0}, to_apply=add
        ab = f32[8,8] broadcast(a), dimensions={0}
        bb = f32[8,8] broadcast(b), dimensions={1}
        ab2 = f32[8,8] multiply(ab, x)
        ROOT r = f32[8,8] add(ab2, bb)
    """)
    assert row_code(p, members_of(p)) is None


KNOWN = {
    "add": "reduce-add",
    "max": "reduce-maximum",
    "min": "reduce-minimum",
    "mul": "reduce-multiply",
    "sub": None,
    "all": "reduce-minimum",
    "any": "reduce-maximum",
    "both": "reduce-minimum",
    "first": None,
}


@pytest.mark.parametrize("body", KNOWN)
def test_reductions_are_known_by_what_their_bodies_compute(body):
    dtype = "pred" if body in ("all", "any", "both", "first") else "f32"
    p = reducing(f"""
        x = {dtype}[3,20] parameter(0)
        i = {dtype}[] parameter(1)
        ROOT r = {dtype}[3] reduce(x, i), dimensions={{1}}, to_apply={body}
    """)
    assert reduction_of(p.functions[0]) == KNOWN[body]
    draws = np.random.default_rng(5)
    x = draws.standard_normal((3, 20)).astype(np.float32)
    i = np.float32(body == "mul")
    if dtype == "pred":
        x, i = x > [[1.0], [-9.0], [9.0]], np.array(body != "any")
    if KNOWN[body] is None:
        assert row_code(p, members_of(p)) is None
    else:
        np.testing.assert_allclose(in_rows(p, x, i), by_jax(p, x, i), rtol=1e-5, atol=1e-6)


class RmsNorm(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(size) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * (wide * scale).to(x.dtype)


class Masked(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x * 0.125 + mask, -1)


def captured(folder: Path, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Program:
    """What a module is after the compiler's passes."""
    torch_neuronx.trace(
        module.eval(), inputs, compiler_workdir=folder, compiler_args=["--auto-cast=none"]
    )
    return read_neff((folder / "graph.neff").read_bytes()).program


MODELS: dict[str, Callable[[], tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]] = {
    "layer-norm": lambda: (torch.nn.LayerNorm(96), (torch.randn(1, 12, 96),)),
    "rms-norm": lambda: (RmsNorm(96), (torch.randn(1, 12, 96),)),
    "softmax": lambda: (torch.nn.Softmax(-1), (torch.randn(2, 3, 12, 50),)),
    "log-softmax": lambda: (torch.nn.LogSoftmax(-1), (torch.randn(12, 50),)),
    "masked": lambda: (Masked(), (torch.randn(1, 3, 12, 50), torch.zeros(1, 1, 1, 50))),
    "group-norm": lambda: (torch.nn.GroupNorm(4, 12), (torch.randn(2, 12, 5, 7),)),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_torch_captures_is_one_native_call(name, tmp_path):
    torch.manual_seed(0)
    module, inputs = MODELS[name]()
    p = captured(tmp_path, module, inputs)
    regions: list[Region] = [r for r in p.regions if r.anchor == "reduce"]
    assert len(regions) == 1
    assert row_code(p, regions[0].members) is not None
    assert set(members_of(p)) == set(regions[0].members)
    draws = np.random.default_rng(6)
    arrays = [
        v.weight.array if v.weight else draws.standard_normal(v.shape.dims).astype(v.shape.numpy)
        for v in p.inputs
    ]
    made = in_rows(p, *arrays, members=regions[0].members)
    np.testing.assert_allclose(made, by_jax(p, *arrays), rtol=1e-5, atol=1e-6)
