"""Dots and convolutions on the native kernel, against the kernels in JAX."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff.lower import lower
from neff.passes.fuse import fuse
from neff.program import Kind, Program, Variable, Weight
from runtime.executable import Mode, prepared
from runtime.units.plan import plan
from runtime.units.unit import Slot
from runtime.units.weights import ALIGNMENT, Copied, Memory, Packed
from tests.runtime.tiles import by_jax

# Sums of so many rounded products, in another order.
TOLERANCE = 2e-6


def fused(
    text: str, *, weight: int | None = 1, bodies: str = ""
) -> tuple[Program, list[np.ndarray]]:
    """A program in regions, with parameter `weight` bound, and arrays for all its parameters."""
    program = lower(parse_module(f"HloModule m\n{bodies}\nENTRY main {{\n{text}\n}}"))
    random = np.random.default_rng(sum(map(ord, text)))
    arrays = [_random(v.shape, random) for v in program.inputs]
    if weight is not None:
        bound = Variable("w", program.inputs[weight].shape, Kind.WEIGHT, Weight.of(arrays[weight]))
        inputs = tuple(bound if n == weight else v for n, v in enumerate(program.inputs))
        program = replace(program, inputs=inputs)
    return fuse(program), arrays


def _random(shape: Shape, random: np.random.Generator) -> np.ndarray:
    return random.standard_normal(shape.dims).astype(np.float32).astype(shape.numpy)


def native(program: Program, arrays: list[np.ndarray]) -> np.ndarray:
    """The only output on the kernels; at least one unit must have been found."""
    assert plan(program).units
    ready = prepared(program, Mode(native=True))
    given = [a for a, v in zip(arrays, program.inputs, strict=True) if v.kind is Kind.INPUT]
    with jax.enable_x64(True):
        return np.asarray(ready.start(given, ready.initial_state).outputs[0])


def check(text: str, *, weight: int | None = 1, products: int, units: int = 1) -> None:
    program, arrays = fused(text, weight=weight)
    made, expected = native(program, arrays), by_jax(program, *arrays)
    assert len(plan(program).units) == units
    assert made.shape == expected.shape
    assert made.dtype == expected.dtype
    bound = TOLERANCE * np.sqrt(products) * max(1.0, float(np.abs(expected).max()))
    if made.dtype != np.float32:
        bound += 2.0**-7 * float(np.abs(expected.astype(np.float32)).max())
    difference = np.abs(made.astype(np.float64) - expected.astype(np.float64))
    assert difference.max() <= bound


DOTS = [
    (1, 64, 33),
    (1, 77, 515),
    (2, 50, 64),
    (7, 33, 17),
    (12, 65, 32),
    (13, 128, 100),
    (49, 5, 31),
    (100, 200, 64),
    (33, 74, 48),  # a depth whose pairs have no divisors
    (70, 148, 31),
    (17, 720, 16),
    (500, 560, 1000),  # each thread's rows, through all of a weight
]


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize(("m", "k", "n"), DOTS)
@pytest.mark.parametrize("weight", [1, None], ids=["packed", "as it lies"])
def test_dots(dtype, m, k, n, weight):
    check(
        f"""
        x = {dtype}[{m},{k}] parameter(0)
        w = {dtype}[{k},{n}] parameter(1)
        ROOT d = f32[{m},{n}] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        """,
        weight=weight,
        products=k,
    )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("k", [40, 700])
def test_a_result_that_no_cache_keeps(dtype, k):
    """It and the residual are fetched ahead; rows go before panels where these are few."""
    check(
        f"""
        x = {dtype}[1801,{k}] parameter(0)
        w = {dtype}[{k},131] parameter(1)
        y = f32[1801,131] parameter(2)
        d = f32[1801,131] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        ROOT a = f32[1801,131] add(d, y)
        """,
        products=k,
    )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("columns", [23, 31, 64, 100, 1000, 3000])
def test_a_row_has_the_same_bits_alone(dtype, columns):
    """One row goes along several panels at once; each of its sums is made in the same order."""
    text = """
        x = {0}[{1},90] parameter(0)
        w = {0}[90,{2}] parameter(1)
        b = f32[{2}] parameter(2)
        d = f32[{1},{2}] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        bs = f32[{1},{2}] broadcast(b), dimensions={{1}}
        ROOT a = f32[{1},{2}] add(d, bs)
    """
    many, (x, w, b) = fused(text.format(dtype, 12, columns), weight=None)
    one, _ = fused(text.format(dtype, 1, columns), weight=None)
    np.testing.assert_array_equal(native(one, [x[:1], w, b]), native(many, [x, w, b])[:1])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("depth", [44, 74, 148, 768])
def test_rows_have_the_same_bits_among_any_others(dtype, depth):
    """However they are divided into tiles."""
    text = """
        x = {0}[{1},{2}] parameter(0)
        w = {0}[{2},40] parameter(1)
        ROOT d = f32[{1},40] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
    """
    many, (x, w) = fused(text.format(dtype, 49, depth), weight=None)
    made = native(many, [x, w])
    for rows in (2, 12, 13, 17, 33, 48):
        some, _ = fused(text.format(dtype, rows, depth), weight=None)
        np.testing.assert_array_equal(native(some, [x[:rows], w]), made[:rows])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("rows", [2, 5, 8, 12])
@pytest.mark.parametrize("columns", [23, 31, 64, 65, 300, 1000])
def test_what_follows_few_rows_sees_several_panels(dtype, rows, columns):
    """What is added is a part of something larger, which is fetched ahead."""
    check(
        f"""
        x = {dtype}[{rows},90] parameter(0)
        w = {dtype}[90,{columns}] parameter(1)
        y = f32[64,{rows},{columns}] parameter(2)
        b = f32[{columns}] parameter(3)
        d = f32[{rows},{columns}] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        one = f32[1,{rows},{columns}] slice(y), slice={{[63:64], [0:{rows}], [0:{columns}]}}
        step = f32[{rows},{columns}] reshape(one)
        bs = f32[{rows},{columns}] broadcast(b), dimensions={{1}}
        a = f32[{rows},{columns}] add(step, bs)
        ROOT r = f32[{rows},{columns}] add(a, d)
        """,
        products=90,
    )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_one_row_of_each_group(dtype):
    check(
        f"""
        x = {dtype}[5,1,40] parameter(0)
        w = {dtype}[5,40,150] parameter(1)
        d = f32[5,1,150] dot(x, w), lhs_batch_dims={{0}}, rhs_batch_dims={{0}},
          lhs_contracting_dims={{2}}, rhs_contracting_dims={{1}}
        t = f32[5,1,150] tanh(d)
        ROOT a = {dtype}[5,1,150] convert(t)
        """,
        products=40,
    )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_what_follows_a_dot(dtype):
    check(
        f"""
        x = {dtype}[3,20,64] parameter(0)
        w = {dtype}[48,64] parameter(1)
        b = f32[48] parameter(2)
        r = f32[3,20,48] parameter(3)
        z = f32[] constant(0)
        zs = f32[3,20,48] broadcast(z), dimensions={{}}
        d = f32[3,20,48] dot(x, w), lhs_contracting_dims={{2}}, rhs_contracting_dims={{1}}
        bs = f32[3,20,48] broadcast(b), dimensions={{2}}
        a = f32[3,20,48] add(d, bs)
        m = f32[3,20,48] maximum(a, zs)
        s = f32[3,20,48] add(m, r)
        ROOT c = {dtype}[3,20,48] convert(s)
        """,
        products=64,
    )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_heads_are_read_where_they_lie(dtype):
    numbers = "lhs_batch_dims={0}, rhs_batch_dims={0}, "
    numbers += "lhs_contracting_dims={2}, rhs_contracting_dims={1}"
    check(
        f"""
        q = {dtype}[40,96] parameter(0)
        k = {dtype}[40,96] parameter(1)
        qs = {dtype}[40,3,32] reshape(q)
        ks = {dtype}[40,3,32] reshape(k)
        qt = {dtype}[3,40,32] transpose(qs), dimensions={{1,0,2}}
        kt = {dtype}[3,32,40] transpose(ks), dimensions={{1,2,0}}
        ROOT d = f32[3,40,40] dot(qt, kt), {numbers}
        """,
        weight=None,
        products=32,
    )


def test_a_depth_of_two_dimensions():
    check(
        """
        p = f32[3,40,32] parameter(0)
        w = f32[96,24] parameter(1)
        t = f32[40,3,32] transpose(p), dimensions={1,0,2}
        x = f32[40,96] reshape(t)
        ROOT d = f32[40,24] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        """,
        products=96,
    )


def test_slices_and_broadcasts_are_read_as_they_lie():
    check(
        """
        x = f32[9,64] parameter(0)
        w = f32[32,24] parameter(1)
        s = f32[9,32] slice(x), slice={[0:9], [16:48]}
        ROOT d = f32[9,24] dot(s, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        """,
        products=32,
    )


def test_a_value_that_others_read_is_rounded_in_passing():
    program, arrays = fused(
        """
        x = f32[16,64] parameter(0)
        w = bf16[64,64] parameter(1)
        n = f32[16,64] tanh(x)
        c = bf16[16,64] convert(n)
        d = f32[16,64] dot(c, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        ROOT s = f32[16,64] add(d, n)
        """
    )
    made = native(program, arrays)
    np.testing.assert_allclose(made, by_jax(program, *arrays), atol=2e-5)
    (unit,) = plan(program).units.values()
    assert program.main.instructions[unit.contraction.left].op == "tanh"


def test_what_several_round_is_rounded_once_by_a_kernel():
    text = """
        x = f32[{rows},256] parameter(0)
        w = bf16[256,32] parameter(1)
        n = f32[{rows},256] add(x, x)
        f = f32[{rows},256] reshape(n)
        c = bf16[{rows},256] convert(f)
        d = f32[{rows},32] dot(c, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        s = f32[{rows},32] slice(n), slice={{[0:{rows}], [0:32]}}
        a = f32[{rows},32] add(d, s)
        e = f32[{rows},32] dot(c, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
        t = f32[{rows},32] tanh(e)
        ROOT r = f32[{rows},32] multiply(a, t)
    """
    for rows, passes in ((300, ["add", "convert"]), (20, [])):
        program, arrays = fused(text.format(rows=rows))
        units = plan(program).units
        found = [program.main.instructions[p].op for p, u in units.items() if not u.contraction]
        assert found == passes
        assert len(units) == len(passes) + 2
        made, expected = native(program, arrays), by_jax(program, *arrays)
        np.testing.assert_allclose(made, expected, atol=2e-6 * np.abs(expected).max(), rtol=0)


def test_what_was_only_moved_is_rounded_with_its_denormals():
    """Kernels take these for zeros; what is computed has none."""
    program, arrays = fused(
        """
        x = f32[300,256] parameter(0)
        t = f32[256,300] transpose(x), dimensions={1,0}
        ROOT c = bf16[256,300] convert(t)
        """,
        weight=None,
    )
    arrays[0][:] *= np.float32(1e-39)
    made = np.asarray(prepared(program, Mode(native=True)).start(arrays, ()).outputs[0])
    np.testing.assert_array_equal(made, arrays[0].T.astype(made.dtype))
    assert (made != 0).any()


def test_what_is_repeated_is_read_from_where_it_is_once():
    """A mask that several layers repeat for each head: not what it is repeated to."""
    program, arrays = fused(
        """
        x = f32[16,64] parameter(0)
        w = f32[64,64] parameter(1)
        m = f32[64] parameter(2)
        t = f32[64] tanh(m)
        ts = f32[16,64] broadcast(t), dimensions={1}
        d = f32[16,64] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        a = f32[16,64] add(d, ts)
        e = f32[16,64] dot(a, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        ROOT r = f32[16,64] add(e, ts)
        """
    )
    read = {program.main.instructions[p].op for u in plan(program).units.values() for p in u.reads}
    assert "tanh" in read
    assert "broadcast" not in read
    np.testing.assert_allclose(native(program, arrays), by_jax(program, *arrays), atol=2e-4)


# batch, height, width, channels, out, kernel, stride, dilation, padding, groups
IMAGES = [
    (1, 9, 9, 16, 32, 3, 1, 1, 1, 1),
    (2, 8, 11, 32, 24, 3, 2, 1, 1, 1),
    (1, 10, 10, 8, 40, 1, 1, 1, 0, 1),
    (1, 10, 10, 8, 40, 1, 2, 1, 0, 1),
    (1, 1, 1, 16, 8, 1, 1, 1, 0, 1),  # next to nothing
    (1, 12, 12, 9, 16, 3, 1, 2, 2, 1),  # an odd depth
    (1, 15, 15, 3, 16, 7, 2, 1, 3, 1),  # few channels
    (2, 17, 16, 1, 16, 4, 4, 1, 0, 1),
    (1, 9, 9, 40, 40, 3, 1, 1, 1, 40),  # depthwise
    (2, 8, 8, 33, 33, 5, 2, 1, 2, 33),
    (1, 14, 14, 72, 72, 5, 1, 1, 2, 72),
    (2, 9, 31, 33, 33, 7, 1, 1, 3, 33),
    (3, 70, 14, 16, 16, 3, 1, 1, 0, 16),  # several threads' rows
    (1, 8, 20, 16, 16, 3, 1, 2, 2, 16),
    (1, 20, 5, 8, 8, 5, 1, 1, 4, 8),  # windows in the padding
    (1, 9, 13, 16, 16, 3, 1, 5, 5, 1),  # a row of padding at the end of a tile
    (1, 9, 13, 16, 16, 3, 1, 5, 5, 16),
    (2, 33, 30, 40, 40, 3, 2, 1, 1, 40),  # depthwise, two elements at a time
    (1, 29, 57, 72, 72, 7, 2, 1, 3, 72),
    (1, 20, 7, 8, 8, 5, 2, 1, 4, 8),
    (3, 70, 28, 16, 16, 3, 2, 1, 0, 16),
    (1, 9, 20, 16, 16, 3, 3, 1, 1, 16),
    (1, 12, 20, 16, 16, 3, 2, 2, 2, 16),
    (2, 7, 7, 64, 70, 3, 1, 1, 1, 1),  # lines of less than a tile of a matrix unit, and of more
    (1, 40, 35, 24, 16, 3, 1, 1, 1, 1),
    (1, 41, 37, 88, 40, 3, 2, 1, 1, 1),
    (1, 30, 33, 148, 24, 1, 1, 1, 0, 1),
    (1, 40, 1, 16, 24, 3, 1, 1, 1, 1),  # windows that fill the last dimension
    (1, 26, 26, 16, 20, 3, 1, 1, 0, 1),  # no padding
]


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("image", IMAGES, ids=str)
def test_convolutions(dtype, image):
    b, h, w, ci, co, k, stride, dilation, pad, groups = image
    out = [(s + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for s in (h, w)]
    window = f"size={k}x{k} stride={stride}x{stride} pad={pad}_{pad}x{pad}_{pad}"
    window += f" rhs_dilate={dilation}x{dilation}"
    labels = f"dim_labels=b01f_01io->b01f, feature_group_count={groups}"
    check(
        f"""
        x = {dtype}[{b},{h},{w},{ci}] parameter(0)
        w = {dtype}[{k},{k},{ci // groups},{co}] parameter(1)
        ROOT c = f32[{b},{out[0]},{out[1]},{co}] convolution(x, w), window={{{window}}}, {labels}
        """,
        products=k * k * ci // groups,
    )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize(
    ("channels", "columns"), [(1, 16), (2, 16), (3, 16), (3, 40), (4, 32), (16, 24), (74, 16)]
)
def test_channels_first_and_a_bias(dtype, channels, columns):
    """An image of rows longer than two vectors, and more of them than a program takes at once."""
    labels = "window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=bf01_oi01->b01f"
    check(
        f"""
        x = {dtype}[2,{channels},19,77] parameter(0)
        w = {dtype}[{columns},{channels},3,3] parameter(1)
        b = f32[{columns}] parameter(2)
        c = f32[2,10,39,{columns}] convolution(x, w), {labels}
        bs = f32[2,10,39,{columns}] broadcast(b), dimensions={{3}}
        s = f32[2,10,39,{columns}] add(c, bs)
        t = f32[2,10,39,{columns}] tanh(s)
        ROOT m = f32[2,10,39,{columns}] multiply(t, s)
        """,
        products=9 * channels,
    )


@pytest.mark.parametrize(
    "convolution",
    [
        "window={size=3x3 lhs_dilate=2x2}, dim_labels=b01f_01io->b01f",
        "window={size=3x3 rhs_reversal=1x1}, dim_labels=b01f_01io->b01f",
        "window={size=3x3}, dim_labels=b01f_01io->bf01",
    ],
)
def test_what_the_kernel_does_not_take_is_left_to_jax(convolution):
    size = 17 if "lhs_dilate" in convolution else 8
    dims = f"1,{size - 2 if size == 17 else 6},{size - 2 if size == 17 else 6},16"
    dims = "1,16,6,6" if "bf01" in convolution else dims
    if size == 17:
        dims = "1,13,13,16"
    program, _ = fused(
        f"""
        x = f32[1,8,8,16] parameter(0)
        w = f32[3,3,16,16] parameter(1)
        ROOT c = f32[{dims}] convolution(x, w), {convolution}
        """
    )
    assert not plan(program).units


def test_nan_and_infinity_pass_through():
    program, arrays = fused(
        """
        x = f32[16,64] parameter(0)
        w = f32[64,40] parameter(1)
        ROOT d = f32[16,40] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        """
    )
    arrays[0][3, 5], arrays[0][4, 6] = np.nan, np.inf
    made = native(program, arrays)
    assert np.isnan(made[3]).all()
    assert np.isinf(made[4]).all()
    assert np.isfinite(np.delete(made, [3, 4], axis=0)).all()


HEADS = """
    q = f32[2,40,96] parameter(0)
    k = f32[2,40,96] parameter(1)
    qs = f32[2,40,3,32] reshape(q)
    qt = f32[2,3,40,32] transpose(qs), dimensions={0,2,1,3}
    qh = f32[6,40,32] reshape(qt)
    ks = f32[2,40,3,32] reshape(k)
    kt = f32[2,3,32,40] transpose(ks), dimensions={0,2,3,1}
    kh = f32[6,32,40] reshape(kt)
    ROOT d = f32[6,40,40] dot(qh, kh), lhs_batch_dims={0}, rhs_batch_dims={0},
        lhs_contracting_dims={2}, rhs_contracting_dims={1}
"""


def test_heads_of_several_sequences_are_read_where_they_lie():
    program, _ = fused(HEADS, weight=None)
    (unit,) = plan(program).units.values()
    assert unit.operands == (0, 1)
    check(HEADS, weight=None, products=32)


def test_heads_beside_each_other_are_read_where_they_lie():
    text = """
        h = f32[6,40,32] parameter(0)
        w = f32[96,50] parameter(1)
        hs = f32[2,3,40,32] reshape(h)
        ht = f32[2,40,3,32] transpose(hs), dimensions={0,2,1,3}
        x = f32[80,96] reshape(ht)
        ROOT d = f32[80,50] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    """
    program, _ = fused(text)
    (unit,) = plan(program).units.values()
    assert unit.operands == (0, Slot(0))
    check(text, products=96)


def test_parts_that_operands_do_not_have_in_common_are_not_read_so():
    text = HEADS.replace("f32[2,40,96] parameter(1)", "f32[3,40,64] parameter(1)")
    text = text.replace("f32[2,40,3,32] reshape(k)", "f32[3,40,2,32] reshape(k)")
    text = text.replace("f32[2,3,32,40] transpose(ks)", "f32[3,2,32,40] transpose(ks)")
    check(text, weight=None, products=32)


def test_a_weight_that_only_the_kernel_reads_is_kept_once():
    program, _ = fused(
        """
        x = f32[16,64] parameter(0)
        w = f32[64,64] parameter(1)
        ROOT d = f32[16,64] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        """
    )
    made = plan(program)
    assert made.inputs == {0}
    (packed,) = made.held
    assert packed.bytes == prod((64, 64, 4))


def test_held_weights_lie_side_by_side_each_where_vectors_begin():
    program, _ = fused(
        """
        x = f32[16,65] parameter(0)
        w = f32[65,3] parameter(1)
        ROOT d = f32[16,3] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        """
    )
    (packed,) = plan(program).held
    memory = Memory.of([packed, Copied("", Shape("bf16", (3,))), packed])
    first, second, third = memory.places
    assert memory.array.ctypes.data % ALIGNMENT == 0
    assert all(place.start % ALIGNMENT == 0 for place in memory.places)
    assert 0 <= second.start - first.start - first.bytes < ALIGNMENT
    assert (second.bytes, third.start - second.start) == (6, ALIGNMENT)
    assert Memory.of([]).array.size == 0
    with pytest.raises(ValueError, match="the words must be a contraction"):
        Memory.of([Packed("", (1, 2, 3))])


BIASED = """
    x = f32[16,64] parameter(0)
    w = f32[64,64] parameter(1)
    b = f32[64] parameter(2)
    d = f32[16,64] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    bs = f32[16,64] broadcast(b), dimensions={1}
    ROOT s = f32[16,64] add(d, bs)
"""


@pytest.mark.parametrize("read_elsewhere", [False, True])
def test_small_weights_are_held_beside_the_packed_ones(read_elsewhere):
    text = BIASED
    if read_elsewhere:
        text = text.replace("ROOT s", "s") + "ROOT t = (f32[16,64], f32[64]) tuple(s, b)"
    program, arrays = fused(text)
    bound = Variable("b", program.inputs[2].shape, Kind.WEIGHT, Weight.of(arrays[2]))
    program = replace(program, inputs=(*program.inputs[:2], bound))
    made = plan(program)
    assert [type(h) for h in made.held] == [Packed, Copied]
    assert made.inputs == ({0, 2} if read_elsewhere else {0})
    expected = arrays[0] @ arrays[1] + arrays[2]
    np.testing.assert_allclose(native(program, arrays), expected, atol=1e-4)


# A gate as squeeze-and-excitation has it: less than the result, read over and over.
GATE = """
    y = f32[1,9,9,48] parameter(2)
    b = f32[1,1,1,48] parameter(3)
    three = f32[] constant(3)
    threes = f32[1,1,1,48] broadcast(three), dimensions={{}}
    d = f32[1,1,1,48] convolution(x, w), window={{size=1x1}}, dim_labels=b01f_01io->b01f
    a = f32[1,1,1,48] add(d, b)
    {gate}
    g = f32[1,48] reshape(e)
    gs = f32[1,9,9,48] broadcast(g), dimensions={{0,3}}
    ROOT r = f32[1,9,9,48] multiply(y, gs)
"""
GATES = {
    "a chain": "e = f32[1,1,1,48] divide(a, threes)",
    "that comes together again": """l = f32[1,1,1,48] logistic(a)
    e = f32[1,1,1,48] multiply(a, l)""",
}


@pytest.mark.parametrize("gate", GATES)
def test_what_is_less_than_the_result_follows_where_it_is_made(gate):
    text = "x = f32[1,1,1,64] parameter(0)\n    w = f32[1,1,64,48] parameter(1)"
    text += GATE.format(gate=GATES[gate])
    check(text, products=64)
    program, _ = fused(text)
    (unit,) = plan(program).units.values()
    assert program.main.instructions[unit.result].op == (
        "divide" if gate == "a chain" else "multiply"
    )
    assert program.main.instructions[unit.result].array.dims == (1, 1, 1, 48)


def test_parts_of_a_dot_are_read_after_what_follows_it():
    """As the gates of an LSTM are: each a part of sums that a bias was added to."""
    text = """
    x = f32[1,64] parameter(0)
    w = f32[64,96] parameter(1)
    b = f32[1,96] parameter(2)
    d = f32[1,96] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    a = f32[1,96] add(d, b)
    i = f32[1,48] slice(a), slice={[0:1], [0:48]}
    o = f32[1,48] slice(a), slice={[0:1], [48:96]}
    it = f32[1,48] tanh(i)
    ol = f32[1,48] logistic(o)
    ROOT r = f32[1,48] multiply(it, ol)
    """
    check(text, products=64)
    program, _ = fused(text)
    (unit,) = plan(program).units.values()
    assert program.main.instructions[unit.result].op == "add"


def test_a_convolution_that_makes_nothing_is_left_to_jax():
    text = """
        x = f32[2,5,5,3] parameter(0)
        w = f32[3,3,3,0] parameter(1)
        ROOT c = f32[2,3,3,0] convolution(x, w), window={size=3x3}, dim_labels=b01f_01io->b01f
    """
    program, arrays = fused(text, weight=None)
    assert not plan(program).units
    assert by_jax(program, *arrays).shape == (2, 3, 3, 0)
