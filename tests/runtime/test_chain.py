"""Attention as one call of a kernel, against the kernels in JAX."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.units import chain
from runtime.units.plan import plan
from tests.runtime.test_contraction import fused, native
from tests.runtime.tiles import by_jax

# Groups, rows, keys and what each of these has.
SIZES = [(1, 5, 7, 3), (3, 40, 40, 32), (12, 128, 128, 64), (2, 197, 197, 16), (1, 1, 300, 64)]
SUM = "s { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = f32[] add(a, b) }"
MAXIMUM = "m { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = f32[] maximum(a, b) }"


def attention(
    dtype: str, g: int, r: int, k: int, d: int, *, end: str = "ROOT o", tail: str = ""
) -> str:
    """softmax(q kᵀ / 2 + mask) v, with a mask of each row."""
    heads = "lhs_batch_dims={0}, rhs_batch_dims={0}, lhs_contracting_dims={2}"
    rows = f"f32[{g},{r},{k}]"
    return f"""
        q = {dtype}[{g},{r},{d}] parameter(0)
        ks = {dtype}[{g},{k},{d}] parameter(1)
        v = {dtype}[{g},{k},{d}] parameter(2)
        mask = f32[{r},{k}] parameter(3)
        half = f32[] constant(0.5)
        zero = f32[] constant(0)
        low = f32[] constant(-inf)
        scores = {rows} dot(q, ks), {heads}, rhs_contracting_dims={{2}}
        halves = {rows} broadcast(half), dimensions={{}}
        scaled = {rows} multiply(scores, halves)
        masks = {rows} broadcast(mask), dimensions={{1,2}}
        masked = {rows} add(scaled, masks)
        largest = f32[{g},{r}] reduce(masked, low), dimensions={{2}}, to_apply=m
        most = {rows} broadcast(largest), dimensions={{0,1}}
        less = {rows} subtract(masked, most)
        e = {rows} exponential(less)
        total = f32[{g},{r}] reduce(e, zero), dimensions={{2}}, to_apply=s
        totals = {rows} broadcast(total), dimensions={{0,1}}
        p = {rows} divide(e, totals)
        x = {dtype}[{g},{r},{k}] convert(p)
        {end} = f32[{g},{r},{d}] dot(x, v), {heads}, rhs_contracting_dims={{1}}
        {tail}
    """


def kernels(text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Which kernels run a program, what it makes by them, and by JAX."""
    program, arrays = fused(text, weight=None, bodies=f"{SUM}\n{MAXIMUM}")
    used = sorted(unit.kernel for unit in plan(program).units.values())
    return used, native(program, arrays), by_jax(program, *arrays)


def test_few_rows_are_left_to_all_threads():
    """A chain divides rows, a contraction its columns, too."""
    used, _, _ = kernels(attention("f32", 2, 8, 600, 128))
    assert used.count("neuron_contraction") == 2


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("sizes", SIZES)
def test_attention_is_one_call(dtype, sizes):
    used, made, expected = kernels(attention(dtype, *sizes))
    small = sizes[0] * sizes[1] * sizes[2] * sizes[3] < 2048
    assert used == (["neuron_rows"] if small else ["neuron_chain"])
    bound = 2e-6 if dtype == "f32" else 2.0**-8
    np.testing.assert_allclose(made, expected, atol=bound * np.abs(expected).max(), rtol=0)


def test_what_is_read_elsewhere_is_written():
    text = attention(
        "f32", 3, 40, 40, 32, end="o", tail="ROOT t = (f32[3,40,32], f32[3,40,40]) tuple(o, p)"
    )
    used, made, expected = kernels(text)
    assert used == ["neuron_contraction", "neuron_contraction", "neuron_rows"]
    np.testing.assert_allclose(made, expected, atol=2e-6 * np.abs(expected).max(), rtol=0)


def test_rows_that_are_turned_are_no_chain():
    text = attention("f32", 3, 40, 40, 32).replace(
        "dot(x, v), lhs_batch_dims={0}, rhs_batch_dims={0}, lhs_contracting_dims={2}",
        "dot(x, v), lhs_batch_dims={0}, rhs_batch_dims={0}, lhs_contracting_dims={1}",
    )
    used, made, expected = kernels(text)
    assert "neuron_chain" not in used
    np.testing.assert_allclose(made, expected, atol=2e-6 * np.abs(expected).max(), rtol=0)


def test_rows_without_a_number_stay_so():
    program, arrays = fused(
        attention("f32", 3, 40, 40, 32), weight=None, bodies=f"{SUM}\n{MAXIMUM}"
    )
    arrays[3][7] = -np.inf
    arrays[0][1, 3, 5] = np.nan
    made, expected = native(program, arrays), by_jax(program, *arrays)
    np.testing.assert_array_equal(np.isnan(made), np.isnan(expected))
    assert np.isnan(made[:, 7]).all()
    kept = ~np.isnan(expected)
    np.testing.assert_allclose(made[kept], expected[kept], atol=1e-5, rtol=0)


def beside(dtype: str, rows: int, columns: int, *, joined: str = "add", tail: str = "") -> str:
    """Two products, the second of which is joined with what follows the first."""
    made = f"f32[{rows},{columns}]"
    return f"""
        x = {dtype}[{rows},40] parameter(0)
        w = {dtype}[40,{columns}] parameter(1)
        y = {dtype}[{rows},72] parameter(2)
        v = {dtype}[72,{columns}] parameter(3)
        b = f32[{columns}] parameter(4)
        first = {made} dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        gate = {made} logistic(first)
        second = {made} dot(y, v), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        bs = {made} broadcast(b), dimensions={{1}}
        s = {made} add(second, bs)
        {"ROOT o" if not tail else "o"} = {made} {joined}(gate, s)
        {tail}
    """


def unpaired(monkeypatch: pytest.MonkeyPatch, text: str) -> np.ndarray:
    """What two calls make of it."""
    with monkeypatch.context() as patched:
        patched.setattr(chain, "MANY_ROWS", 1 << 40)
        used, made, _ = kernels(text)
    assert used == ["neuron_contraction"] * 2
    return made


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("joined", ["add", "multiply", "subtract"])
@pytest.mark.parametrize(("rows", "columns"), [(2100, 300), (4099, 131)])
def test_two_products_beside_each_other_are_one_call(dtype, joined, rows, columns, monkeypatch):
    text = beside(dtype, rows, columns, joined=joined)
    used, made, expected = kernels(text)
    assert used == ["neuron_pair"]
    np.testing.assert_array_equal(made, unpaired(monkeypatch, text))
    np.testing.assert_allclose(made, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)


def test_a_shortcut_is_computed_where_it_is_added(monkeypatch):
    """Of every second pixel, as where a residual network becomes smaller."""
    text = """
        x = f32[2,80,80,16] parameter(0)
        w = f32[1,1,16,520] parameter(1)
        y = f32[2,40,40,24] parameter(2)
        v = f32[3,3,24,520] parameter(3)
        short = f32[2,40,40,520] convolution(x, w), window={size=1x1 stride=2x2},
          dim_labels=b01f_01io->b01f
        long = f32[2,40,40,520] convolution(y, v), window={size=3x3 pad=1_1x1_1},
          dim_labels=b01f_01io->b01f
        s = f32[2,40,40,520] add(long, short)
        zero = f32[] constant(0)
        zeros = f32[2,40,40,520] broadcast(zero), dimensions={}
        ROOT r = f32[2,40,40,520] maximum(s, zeros)
    """
    used, made, expected = kernels(text)
    assert used == ["neuron_pair"]
    np.testing.assert_array_equal(made, unpaired(monkeypatch, text))
    np.testing.assert_allclose(made, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(
    "text",
    [
        beside("f32", 2000, 300),
        beside("f32", 2100, 200),
        beside("f32", 2100, 300, tail="ROOT t = (f32[2100,300], f32[2100,300]) tuple(o, gate)"),
    ],
    ids=["few rows", "little is made", "read elsewhere"],
)
def test_other_products_are_calls_of_their_own(text):
    used, made, expected = kernels(text)
    assert used == ["neuron_contraction"] * 2
    np.testing.assert_allclose(made, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)
