"""Pooling with channels last on the native kernel, against the kernels in JAX."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

import torch_neuronx
from hlo_frontend.hlo.parse import parse_module
from neff.container import read_neff
from neff.lower import lower
from neff.passes.fuse import fuse
from neff.program import Program
from runtime.executable import Mode, prepared
from runtime.units.native import available
from runtime.units.plan import plan
from tests.runtime.tiles import by_jax, same_bits

OPS = {"add": "0", "maximum": "-inf", "minimum": "inf", "multiply": "1"}
TYPES = {"f32": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16)}
TYPES["f16"] = np.dtype(np.float16)
SHORT = ("bf16", "f16")


def pooled(
    op: str, operand: str, result: str, window: str, dtype: str = "f32", tail: str = ""
) -> Program:
    """A reduce-window, and what follows it: `tail` reads `s` and ends in the root."""
    text = f"""
      {"" if tail else "ROOT "}s = {dtype}[{result}]
        reduce-window(x, i), window={{{window}}}, to_apply=body
      {tail}
    """
    return combining(op, operand, text, dtype)


def combining(op: str, operand: str, text: str, dtype: str = "f32") -> Program:
    """What the text makes of an array `x`, with `i` and `body` for what combines its elements."""
    module = f"""HloModule m
    body {{
      p = {dtype}[] parameter(0)
      q = {dtype}[] parameter(1)
      ROOT r = {dtype}[] {op}(p, q)
    }}
    ENTRY main {{
      x = {dtype}[{operand}] parameter(0)
      i = {dtype}[] constant({OPS[op]})
      {text}
    }}"""
    return fuse(lower(parse_module(module)))


def natively(program: Program, *arrays: np.ndarray) -> np.ndarray:
    """The only output, which a call of the kernel for windows must make."""
    assert available(), "the native kernels must be there: is a C++ compiler installed?"
    made = plan(program)
    assert [u.kernel for u in made.units.values()] == ["neuron_windows"]
    assert set(made.units) == set(program.main.results)
    executable = prepared(program, Mode(native=True))
    return np.asarray(executable.start(arrays, ()).outputs[0])


def drawn(dims: str, dtype: str = "f32", seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).standard_normal([int(d) for d in dims.split(",")])
    return draw.astype(np.float32).astype(TYPES[dtype])


CASES = {
    "usual": ("1,16,16,64", "1,8,8,64", "size=1x3x3x1 stride=1x2x2x1 pad=0_0x1_1x1_1x0_0"),
    "odd": ("2,13,11,37", "2,7,4,37", "size=1x3x5x1 stride=1x2x3x1 pad=0_0x1_1x2_1x0_0"),
    "dilated": ("1,19,17,5", "1,11,9,5", "size=1x5x5x1 rhs_dilate=1x2x2x1"),
    "of no depth": ("3,40,40,9,1", "3,20,20,9,1", "size=1x2x2x1x1 stride=1x2x2x1x1"),
    "wide": ("1,9,9,1100", "1,3,3,1100", "size=1x3x3x1 stride=1x3x3x1"),
    "whole": ("2,20,20,48", "2,1,1,48", "size=1x20x20x1"),
    "one dimension": ("4,300,24", "4,298,24", "size=1x3x1"),
    "three dimensions": ("1,6,7,8,20", "1,3,3,4,20", "size=1x2x2x2x1 stride=1x2x2x2x1"),
    "over batches": ("6,5,5,48", "3,5,5,48", "size=2x1x1x1 stride=2x1x1x1"),
    "beyond": ("1,4,4,300", "1,4,4,300", "size=1x9x9x1 pad=0_0x4_4x4_4x0_0"),
    "many": ("2,70,70,64", "2,69,69,64", "size=1x2x2x1"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("op", OPS)
def test_windows_of_any_shape(op, case):
    operand, result, window = CASES[case]
    x = drawn(operand)
    if op == "multiply":
        x = np.float32(1) + x / np.float32(100)
    program = pooled(op, operand, result, window)
    made, expected = natively(program, x), by_jax(program, x)
    if op in ("maximum", "minimum"):
        assert same_bits(made, expected).all()
    else:
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_extremes_of_short_floats(op, dtype):
    operand, result, window = CASES["odd"]
    program, x = pooled(op, operand, result, window, dtype), drawn(operand, dtype)
    assert same_bits(natively(program, x), by_jax(program, x)).all()


@pytest.mark.parametrize("dtype", SHORT)
def test_short_floats_are_summed_in_f32(dtype):
    program = fuse(
        lower(
            parse_module(f"""HloModule m
    body {{ p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] add(p, q) }}
    ENTRY main {{
      x = {dtype}[1,12,12,40] parameter(0)
      i = f32[] constant(0)
      w = f32[1,12,12,40] convert(x)
      s = f32[1,3,3,40] reduce-window(w, i), window={{size=1x4x4x1 stride=1x4x4x1}}, to_apply=body
      ROOT r = {dtype}[1,3,3,40] convert(s)
    }}""")
        )
    )
    x = drawn("1,12,12,40", dtype)
    exact = x.astype(np.float64).reshape(3, 4, 3, 4, 40).sum((1, 3))
    made = natively(program, x)
    assert made.dtype == TYPES[dtype]
    assert (made.reshape(3, 3, 40) == exact.astype(np.float32).astype(made.dtype)).mean() > 0.999


@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_nan_infinities_and_the_sign_of_zero(op):
    x = np.zeros((1, 8, 8, 35), np.float32)
    x[0, 2, 2, ::3] = -0.0
    x[0, 4:, :4] = -0.0
    x[0, 5, 5, 1] = np.nan
    x[0, 7, 0, 34] = -np.nan
    x[0, 0, 6, :5] = np.inf
    x[0, 1, 7, 3:9] = -np.inf
    of = np.max if op == "maximum" else np.min
    expected = of(x.reshape(1, 4, 2, 4, 2, 35), (2, 4))
    zeros = x.reshape(1, 4, 2, 4, 2, 35)
    negative = np.signbit(zeros).all((2, 4)) if op == "maximum" else np.signbit(zeros).any((2, 4))
    expected = np.where(
        expected == 0, np.where(negative, np.float32(-0.0), np.float32(0)), expected
    )
    program = pooled(op, "1,8,8,35", "1,4,4,35", "size=1x2x2x1 stride=1x2x2x1")
    assert same_bits(natively(program, x), expected).all()


def test_a_sum_is_at_least_as_near_as_one_after_the_other():
    x = np.random.default_rng(1).uniform(0, 1, (1, 100, 100, 3)).astype(np.float32)
    program = pooled("add", "1,100,100,3", "1,1,1,3", "size=1x100x100x1")
    made, exact = natively(program, x).ravel(), x.astype(np.float64).sum((0, 1, 2))
    one_by_one = np.cumsum(x.reshape(-1, 3), axis=0, dtype=np.float32)[-1]
    assert (np.abs(made - exact) <= np.abs(one_by_one - exact)).all()


def test_a_result_has_the_same_bits_whatever_lies_beside_it():
    """It does not depend on the tile or the thread that it is in."""
    x = drawn("8,33,33,70")
    window = "size=1x3x3x1 stride=1x2x2x1 pad=0_0x1_1x1_1x0_0"
    whole = natively(pooled("add", "8,33,33,70", "8,17,17,70", window), x)
    alone = pooled("add", "1,33,33,70", "1,17,17,70", window)
    for n in range(8):
        np.testing.assert_array_equal(natively(alone, x[n : n + 1])[0], whole[n])


def test_what_follows_is_computed_on_the_way():
    """An average, its channels' factors, a residual that is added, and a rounding."""
    program = pooled(
        "add",
        "2,14,14,45",
        "2,7,7,45",
        "size=1x2x2x1 stride=1x2x2x1",
        tail="""
      f = f32[45] parameter(1)
      y = f32[2,7,7,45] parameter(2)
      n = f32[] constant(4)
      nb = f32[2,7,7,45] broadcast(n), dimensions={}
      fb = f32[2,7,7,45] broadcast(f), dimensions={3}
      a = f32[2,7,7,45] divide(s, nb)
      b = f32[2,7,7,45] multiply(a, fb)
      c = f32[2,7,7,45] add(b, y)
      ROOT r = bf16[2,7,7,45] convert(c)""",
    )
    arrays = drawn("2,14,14,45"), drawn("45", seed=1), drawn("2,7,7,45", seed=2)
    made, expected = natively(program, *arrays), by_jax(program, *arrays)
    assert (made == expected).mean() > 0.99  # sums in another order may round to a neighbour
    np.testing.assert_allclose(
        made.astype(np.float32), expected.astype(np.float32), rtol=2**-7, atol=1e-6
    )


PADDINGS = {
    "neutral": ("-inf", "0_0x2_1x0_3x0_0", True),
    "of another value": ("0", "0_0x2_1x0_3x0_0", False),
    "between": ("-inf", "0_0x2_1_0x0_3_1x0_0", False),
    "of channels": ("-inf", "0_0x2_1x0_3x1_0", False),
}


@pytest.mark.parametrize("case", PADDINGS)
def test_padding_before_is_part_of_the_windows(case):
    value, padding, absorbed = PADDINGS[case]
    dims = {"between": "1,17,24,40", "of channels": "1,17,14,41"}.get(case, "1,17,14,40")
    made = {"between": "1,8,11,40", "of channels": "1,8,6,41"}.get(case, "1,8,6,40")
    program = fuse(
        lower(
            parse_module(f"""HloModule m
    body {{ p = f32[] parameter(0) q = f32[] parameter(1) ROOT r = f32[] maximum(p, q) }}
    ENTRY main {{
      x = f32[1,14,11,40] parameter(0)
      i = f32[] constant(-inf)
      v = f32[] constant({value})
      w = f32[{dims}] pad(x, v), padding={padding}
      ROOT s = f32[{made}]
        reduce-window(w, i), window={{size=1x3x3x1 stride=1x2x2x1}}, to_apply=body
    }}""")
        )
    )
    x = drawn("1,14,11,40")
    assert same_bits(natively(program, x), by_jax(program, x)).all()
    (unit,) = plan(program).units.values()
    assert (unit.operands == tuple(program.main.parameters)) is absorbed


LEFT = {
    "along the last dimension": pooled("maximum", "1,64,64", "1,64,32", "size=1x1x2 stride=1x1x2"),
    "one channel": pooled("maximum", "3,40,40,1", "3,20,20,1", "size=1x2x2x1 stride=1x2x2x1"),
    "few": pooled("maximum", "1,4,4,8", "1,2,2,8", "size=1x2x2x1 stride=1x2x2x1"),
    "no elements": pooled("maximum", "0,16,16,64", "0,8,8,64", "size=1x2x2x1 stride=1x2x2x1"),
    "sums of bf16": pooled(
        "add", "1,16,16,64", "1,8,8,64", "size=1x2x2x1 stride=1x2x2x1", dtype="bf16"
    ),
    "an array that is spread": pooled(
        "maximum",
        "1,16,16,64",
        "1,15,15,64",
        "size=1x2x2x1 stride=1x2x2x1 lhs_dilate=1x2x2x1 pad=0_0x0_0x0_0x0_0",
    ),
}


@pytest.mark.parametrize("why", LEFT)
def test_the_rest_is_left_to_jax(why):
    assert not plan(LEFT[why]).units


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("dims", "reduced", "result"),
    [
        ("3,14,15,40", "1,2", "3,40"),
        ("2,5,60,7,16", "1,3", "2,60,16"),
        ("2,14,15,40,1", "1,2,4", "2,40"),
        ("700,33", "0", "33"),
        ("500,700", "0", "700"),  # one row's columns, on several threads
    ],
)
def test_a_reduction_of_other_dimensions_than_the_last(op, dims, reduced, result):
    """As a mean over an image; what follows is computed with it."""
    text = f"""
      n = f32[] constant(0.25)
      s = f32[{result}] reduce(x, i), dimensions={{{reduced}}}, to_apply=body
      ns = f32[{result}] broadcast(n), dimensions={{}}
      ROOT r = f32[{result}] multiply(s, ns)
    """
    p = combining(op, dims, text)
    x = drawn(dims)
    if op == "multiply":
        x = np.exp(x / 50).astype(np.float32)
    np.testing.assert_allclose(natively(p, x), by_jax(p, x), rtol=1e-5, atol=1e-5)


def test_what_is_computed_to_be_summed_is_left_to_jax():
    """Which does both in one pass."""
    text = """
      s = f32[300,40] multiply(x, x)
      ROOT r = f32[40] reduce(s, i), dimensions={0}, to_apply=body
    """
    p = combining("add", "300,40", text)
    assert not plan(p).units


class Pools(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 24, 3, padding=1)
        self.largest = torch.nn.MaxPool2d(3, 2, 1)
        self.mean = torch.nn.AvgPool2d(2)
        self.last = torch.nn.Conv2d(24, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.mean(torch.relu(self.largest(self.convolution(x)))))


def test_torchs_pooling_is_native(tmp_path: Path):
    torch.manual_seed(0)
    module, x = Pools().eval(), torch.rand(1, 3, 32, 32)
    traced = torch_neuronx.trace(
        module, x, compiler_workdir=tmp_path, compiler_args=["--auto-cast=none"]
    )
    program = read_neff((tmp_path / "graph.neff").read_bytes()).program
    kernels = [u.kernel for u in plan(program).units.values()]
    assert kernels.count("neuron_windows") == 2
    with torch.no_grad():
        torch.testing.assert_close(traced(x), module(x), rtol=1e-5, atol=1e-5)
