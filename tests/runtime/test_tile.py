"""Ops of tile programs against numpy, and regions that only rename, repeat and pick elements."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

from neff.program import Program
from runtime.units.ffi import call
from runtime.units.ops import CODES, OPS
from runtime.units.registers import Immediate, Step, paired, place
from runtime.units.rows import lower_rows, row_code
from runtime.units.space import UnsaidError
from runtime.units.tile import tile_code
from tests.runtime.tiles import (
    by_jax,
    flushed,
    in_rows,
    members_of,
    program_of,
    same_bits,
    ulps_off,
)

BF16 = np.dtype(ml_dtypes.bfloat16)
EDGES = np.float32(
    [0, 1, 2, 3, 0.5, 1.5, 2.5, 1e-3, 1e5, 8.5e5, 88.7, 88.8, 104, 1.2e-38, 3.4e38, np.inf, np.nan]
)
EDGES = np.concatenate([EDGES, -EDGES])
ALL_BF16 = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)


def numbers(seed: int, count: int = 1 << 17) -> np.ndarray:
    """All of bf16, floats of any bits, and such as models have."""
    draw = np.random.default_rng(seed)
    bits = draw.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32)
    usual = draw.standard_normal(count) * np.exp(draw.uniform(-8, 4, count))
    return flushed(np.concatenate([EDGES, ALL_BF16, bits.view(np.float32), np.float32(usual)]))


def elementwise(op: str, *arrays: np.ndarray, result: str = "f32", operand: str = "f32") -> Program:
    n = arrays[0].size
    parameters = [f"p{k} = {operand}[{n}] parameter({k})" for k in range(len(arrays))]
    names = ", ".join(f"p{k}" for k in range(len(arrays)))
    name, _, attributes = op.partition(",")
    tail = f", {attributes}" if attributes else ""
    return program_of("\n".join([*parameters, f"ROOT r = {result}[{n}] {name}({names}){tail}"]))


def erf(x: np.ndarray) -> np.ndarray:
    return torch.erf(torch.from_numpy(x)).numpy()


def logistic(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


FUNCTIONS = {
    "cbrt": np.cbrt,
    "cosine": np.cos,
    "erf": erf,
    "exponential": np.exp,
    "exponential-minus-one": np.expm1,
    "log": np.log,
    "log-plus-one": np.log1p,
    "logistic": logistic,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sine": np.sin,
    "tanh": np.tanh,
}


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_hold_to_two_ulp(op):
    x = numbers(1)
    made = in_rows(elementwise(op, x), x)
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[op](x.astype(np.float64))
    off = ulps_off(made, exact)
    worst = int(off.argmax())
    assert off[worst] <= 2, (x[worst], made[worst], exact[worst])
    zero = (exact == 0) & (made == 0) & (x == 0)
    assert (np.signbit(made[zero]) == np.signbit(exact[zero])).all()


EXACT = {
    "abs": np.abs,
    "add": np.add,
    "ceil": np.ceil,
    "divide": np.divide,
    "floor": np.floor,
    "multiply": np.multiply,
    "negate": np.negative,
    "round-nearest-even": np.rint,
    "sign": lambda x: np.where(x == 0, x, np.sign(x)),
    "sqrt": np.sqrt,
    "subtract": np.subtract,
}


@pytest.mark.parametrize("op", EXACT)
def test_arithmetic_is_that_of_ieee(op):
    x = numbers(2)
    arrays = [x, numbers(3)] if op in ("add", "subtract", "multiply", "divide") else [x]
    if len(arrays) == 2:
        pairs = np.meshgrid(EDGES, EDGES)
        arrays = [np.concatenate([a, p.ravel()]) for a, p in zip(arrays, pairs, strict=True)]
    arrays = [flushed(a) for a in arrays]
    with np.errstate(all="ignore"):
        expected = flushed(EXACT[op](*arrays))
    made = in_rows(elementwise(op, *arrays), *arrays)
    # A result that is rounded to the smallest normal number may be flushed before it is.
    near = np.abs(expected) == np.finfo(np.float32).tiny
    wrong = ~(same_bits(made, expected) | near)
    assert not wrong.any(), [a[wrong][:3] for a in arrays]


def extreme(greatest: bool, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """As IEEE 754-2019: -0 is less than +0."""
    first = np.where(x == y, np.signbit(x) != greatest, (x > y) == greatest)
    chosen = np.where(first, x, y)
    return np.where(np.isnan(x) | np.isnan(y), np.float32(np.nan), chosen)


@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_maximum_and_minimum_keep_nan_and_the_sign_of_zero(op):
    x, y = (flushed(a.ravel()) for a in np.meshgrid(EDGES, EDGES))
    made = in_rows(elementwise(op, x, y), x, y)
    assert same_bits(made, extreme(op == "maximum", x, y)).all()


@pytest.mark.parametrize("direction", ["EQ", "NE", "LT", "LE", "GT", "GE"])
@pytest.mark.parametrize("dtype", ["f32", "s32", "pred"])
def test_comparisons(direction, dtype):
    values = {
        "f32": EDGES,
        "s32": np.int32([0, 1, -1, 7, 2**31 - 1, -(2**31), 2**24 + 1, 2**24]),
        "pred": np.array([True, False]),
    }[dtype]
    x, y = (a.ravel() for a in np.meshgrid(values, values))
    p = elementwise(f"compare,direction={direction}", x, y, result="pred", operand=dtype)
    of = {"EQ": "equal", "NE": "not_equal", "LT": "less", "LE": "less_equal"}
    of |= {"GT": "greater", "GE": "greater_equal"}
    np.testing.assert_array_equal(in_rows(p, x, y), getattr(np, of[direction])(x, y))


def test_power():
    x, y = numbers(4), np.random.default_rng(5).permutation(numbers(4))
    whole = np.random.default_rng(6).random(y.size) < 0.5
    y = np.where(whole, np.float32(np.random.default_rng(7).integers(-5, 6, y.size)), y)
    edges = [a.ravel() for a in np.meshgrid(EDGES, EDGES)]
    x, y = (flushed(np.concatenate(pair)) for pair in zip((x, y), edges, strict=True))
    made = in_rows(elementwise("power", x, y), x, y)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
    off = ulps_off(made, exact)
    assert off.max() <= 2, (x[off.argmax()], y[off.argmax()])


@pytest.mark.parametrize("exponent", ["2", "3"])
def test_small_powers_are_products(exponent):
    x = numbers(8)
    text = f"p = f32[{x.size}] parameter(0)\nc = f32[] constant({exponent})"
    text += f"\nb = f32[{x.size}] broadcast(c), dimensions={{}}"
    text += f"\nROOT r = f32[{x.size}] power(p, b)"
    with np.errstate(all="ignore"):
        expected = x * x if exponent == "2" else x * x * x
    assert same_bits(in_rows(program_of(text), x), flushed(expected)).mean() > 0.9999


@pytest.mark.parametrize("op", ["add", "multiply", "exponential", "tanh", "divide"])
@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_short_floats_are_rounded_after_each_op(op, dtype):
    kind = {"bf16": BF16, "f16": np.dtype(np.float16)}[dtype]
    bits = np.arange(1 << 16, dtype=np.uint16)
    count = 2 if op in ("add", "multiply", "divide") else 1
    draws = np.random.default_rng(9)
    arrays = [bits.view(kind), draws.permutation(bits).view(kind)][:count]
    p = elementwise(op, *arrays, result=dtype, operand=dtype)
    made, expected = in_rows(p, *arrays), by_jax(p, *arrays)
    made, expected = (flushed(v.astype(np.float32)) for v in (made, expected))
    assert same_bits(made, expected).mean() > (0.9999 if count == 2 else 0.998)
    close = np.isclose(made, expected, rtol=2.0**-7, atol=1e-37, equal_nan=True)
    assert close.all()


# What converts, with what it converts.
CONVERSIONS = [
    ("f32", "bf16", numbers(10)),
    ("f32", "f16", numbers(11)),
    ("f32", "pred", EDGES),
    ("f32", "s32", EDGES),
    ("bf16", "f32", np.arange(1 << 16, dtype=np.uint16).view(BF16)),
    ("f16", "f32", np.arange(1 << 16, dtype=np.uint16).view(np.float16)),
    ("f16", "bf16", np.arange(1 << 16, dtype=np.uint16).view(np.float16)),
    ("pred", "f32", np.array([True, False] * 20)),
    ("pred", "s32", np.array([True, False] * 20)),
    ("s32", "f32", np.int32([0, 1, -1, 2**24 + 1, 2**31 - 1, -(2**31), 33554435])),
    ("s32", "pred", np.int32([0, 1, -1, 256, -(2**31)])),
]


@pytest.mark.parametrize(
    ("source", "to", "x"), CONVERSIONS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_conversions(source, to, x):
    p = elementwise("convert", x, result=to, operand=source)
    made, expected = in_rows(p, x), by_jax(p, x)
    assert made.dtype == expected.dtype
    if to in ("pred", "s32"):
        np.testing.assert_array_equal(made, expected)
    else:
        made, expected = made.astype(np.float32), expected.astype(np.float32)
        assert same_bits(flushed(made), flushed(expected)).all()


OF_SEVERAL_TYPES = {
    "logic": """
        p = pred[40] parameter(0)
        q = pred[40] parameter(1)
        a = pred[40] and(p, q)
        o = pred[40] or(p, q)
        x = pred[40] xor(a, o)
        ROOT r = pred[40] not(x)
    """,
    "integers": """
        p = s32[40] parameter(0)
        q = s32[40] parameter(1)
        m = s32[40] multiply(p, q)
        a = s32[40] add(m, q)
        s = s32[40] subtract(a, p)
        g = s32[40] maximum(s, q)
        l = s32[40] minimum(g, m)
        c = s32[] constant(-5)
        b = s32[40] broadcast(c), dimensions={}
        ROOT r = s32[40] add(l, b)
    """,
    "choice": """
        p = f32[40] parameter(0)
        q = f32[40] parameter(1)
        c = pred[40] compare(p, q), direction=LT
        n = f32[] constant(-0.5)
        h = f32[] constant(0.75)
        k = f32[40] clamp(n, p, h)
        f = pred[40] is-finite(q)
        b = pred[40] and(c, f)
        ROOT r = f32[40] select(b, k, q)
    """,
    "precision": """
        p = f32[40] parameter(0)
        q = f32[40] parameter(1)
        s = f32[40] add(p, q)
        ROOT r = f32[40] reduce-precision(s), exponent_bits=8, mantissa_bits=7
    """,
}


@pytest.mark.parametrize("name", OF_SEVERAL_TYPES)
def test_types_that_meet_in_a_region(name):
    p = program_of(OF_SEVERAL_TYPES[name])
    draws = np.random.default_rng(12)
    arrays = [draws.standard_normal(40).astype(np.float32) for _ in range(2)]
    arrays[1][:4] = np.inf, -np.inf, np.nan, 0
    dtype = p.main.instructions[0].array.dtype
    if dtype != "f32":
        arrays = [draws.integers(-(2**31), 2**31, 40).astype(np.int32) for _ in range(2)]
    if dtype == "pred":
        arrays = [a % 2 == 0 for a in arrays]
    np.testing.assert_array_equal(in_rows(p, *arrays), by_jax(p, *arrays))


MOVEMENTS = {
    "a row for all": """
        p = f32[6,50] parameter(0)
        v = f32[50] parameter(1)
        b = f32[6,50] broadcast(v), dimensions={1}
        ROOT r = f32[6,50] add(p, b)
    """,
    "a value per row": """
        p = f32[6,300] parameter(0)
        v = f32[6] parameter(1)
        b = f32[6,300] broadcast(v), dimensions={0}
        ROOT r = f32[6,300] multiply(b, p)
    """,
    "heads": """
        p = f32[2,5,12] parameter(0)
        v = f32[12] parameter(1)
        b = f32[2,5,12] broadcast(v), dimensions={2}
        a = f32[2,5,12] add(p, b)
        s = f32[2,5,3,4] reshape(a)
        t = f32[2,3,5,4] transpose(s), dimensions={0,2,1,3}
        ROOT r = f32[6,5,4] reshape(t)
    """,
    "a transposed operand": """
        p = f32[7,9] parameter(0)
        v = f32[9,7] parameter(1)
        t = f32[7,9] transpose(v), dimensions={1,0}
        ROOT r = f32[7,9] subtract(p, t)
    """,
    "halves": """
        p = f32[4,40] parameter(0)
        v = f32[40] parameter(1)
        a = f32[4,20] slice(p), slice={[0:4], [0:20]}
        g = f32[4,20] slice(p), slice={[0:4], [20:40]}
        w = f32[20] slice(v), slice={[1:40:2]}
        l = f32[4,20] logistic(g)
        m = f32[4,20] multiply(a, l)
        b = f32[4,20] broadcast(w), dimensions={1}
        ROOT r = f32[4,20] add(m, b)
    """,
    "backwards": """
        p = f32[4,40] parameter(0)
        v = f32[4,40] parameter(1)
        b = f32[4,40] reverse(p), dimensions={0,1}
        ROOT r = f32[4,40] add(b, v)
    """,
    "one of each": """
        p = f32[1,1,5] parameter(0)
        v = f32[1,5] parameter(1)
        a = f32[5] reshape(p)
        b = f32[5] reshape(v)
        s = f32[5] add(a, b)
        ROOT r = f32[1,5,1] reshape(s)
    """,
    "a value at two places": """
        p = f32[3,8] parameter(0)
        v = f32[8] parameter(1)
        b = f32[3,8] broadcast(v), dimensions={1}
        a = f32[3,8] multiply(p, b)
        l = f32[3,4] slice(a), slice={[0:3], [0:4]}
        h = f32[3,4] slice(a), slice={[0:3], [4:8]}
        ROOT r = f32[3,4] add(l, h)
    """,
}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movements_become_strides(name):
    p = program_of(MOVEMENTS[name])
    draws = np.random.default_rng(13)
    shapes = [p.main.instructions[q].array.dims for q in p.main.parameters]
    arrays = [draws.standard_normal(dims).astype(np.float32) for dims in shapes]
    np.testing.assert_allclose(in_rows(p, *arrays), by_jax(p, *arrays), rtol=1e-6)


def test_what_movements_read_is_the_argument_itself():
    p = program_of(MOVEMENTS["heads"])
    code = lower_rows(p, members_of(p))
    assert set(code.operands) == set(p.main.parameters)


def test_rows_whose_neighbours_lie_apart_are_left_to_jax():
    p = program_of(
        """
        p = f32[300,400] parameter(0)
        t = f32[400,300] transpose(p), dimensions={1,0}
        ROOT r = f32[400,300] tanh(t)
        """
    )
    assert row_code(p, members_of(p)) is None


UNSAID = {
    "f64": "p = f64[4] parameter(0)\nROOT r = f64[4] negate(p)",
    "atan2 has no op": "p = f32[4] parameter(0)\nROOT r = f32[4] atan2(p, p)",
    "s32 to bf16": "p = s32[4] parameter(0)\nROOT r = bf16[4] convert(p)",
    "iota": """
        p = f32[4] parameter(0)
        i = f32[4] iota(), iota_dimension=0
        ROOT r = f32[4] add(p, i)
    """,
    "concatenate": """
        p = f32[4] parameter(0)
        c = f32[8] concatenate(p, p), dimensions={0}
        ROOT r = f32[8] negate(c)
    """,
}


@pytest.mark.parametrize("reason", UNSAID)
def test_what_cannot_be_said_is_left_to_jax(reason):
    p = program_of(UNSAID[reason])
    with pytest.raises(UnsaidError, match=reason):
        lower_rows(p, members_of(p))
    assert row_code(p, members_of(p)) is None


AFTER_A_DOT = """
    x = f32[6,8] parameter(0)
    w = f32[8,12] parameter(1)
    v = f32[12] parameter(2)
    d = f32[6,12] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    b = f32[6,12] broadcast(v), dimensions={1}
    a = f32[6,12] add(d, b)
    s = f32[2,3,3,4] reshape(a)
    t = f32[2,3,3,4] transpose(s), dimensions={0,2,1,3}
    ROOT r = f32[2,3,3,4] tanh(t)
"""


def test_the_space_of_an_anchor_is_its_own():
    """Rows and columns are the dot's; that the result lies in another order is in its strides."""
    p = program_of(AFTER_A_DOT)
    position = next(q for q, i in p.main.numbered() if i.op == "dot")
    members = tuple(range(position, len(p.main.instructions)))
    code = tile_code(p.main, members, position, 1)
    assert code is not None
    rank, rows, *rest = code.words
    assert (rank, rows, rest[:4]) == (4, 2, [2, 3, 3, 4])
    uses = [rest[5:11], rest[11:17]]
    assert uses == [[0, 0, 0, 0, 4, 1], [0, 0, 36, 4, 12, 1]]
    assert code.operands == (p.main.parameters[2],)
    ops = [OPS[c] for c in code.words[-18::6]]
    assert ops == ["load", "add.tanh", "store"]


def test_an_anchor_at_two_indices_is_unsaid():
    p = program_of(
        """
        x = f32[6,6] parameter(0)
        d = f32[6,6] dot(x, x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
        t = f32[6,6] transpose(d), dimensions={1,0}
        ROOT r = f32[6,6] add(d, t)
        """
    )
    position = next(q for q, i in p.main.numbered() if i.op == "dot")
    assert tile_code(p.main, (position, position + 1, position + 2), position, 1) is None


def run_steps(steps, read):
    """What the last step stores, with a value for each step by its name and sources."""
    values = {0: "anchor"}
    for step in steps:
        made = (step.op, step.operand, tuple(read(values, s) for s in step.sources))
        values[step.to] = made
    return values[-1]


@pytest.mark.parametrize("seed", range(20))
def test_registers_hold_values_until_they_are_read_last(seed):
    draws = np.random.default_rng(seed)
    steps = [Step("load", 1), Step("load", 2, operand=1, narrow=True)]
    for n in range(3, 30):
        sources = [int(draws.integers(max(0, n - 8), n)) for _ in range(2)]
        steps.append(Step("add", n, (sources[0], Immediate(7) if n % 5 == 0 else sources[1])))
    steps.append(Step("store", -1, (29,)))
    expected = run_steps(steps, lambda values, s: s if isinstance(s, Immediate) else values[s])
    placed = place(steps, preset=True)
    registers = {0: "anchor", placed.registers: Immediate(7)}
    for step, to, sources in placed.steps:
        made = (step.op, step.operand, tuple(registers[s] for s in sources))
        if step.op == "store":
            assert made == expected
        else:
            shared = [s for s in step.sources if s in (1, 2)]
            if shared:  # what was loaded is not written over by what reads it
                assert to not in [sources[step.sources.index(s)] for s in shared]
            registers[to] = made
    assert placed.registers < 15


def test_two_steps_are_one_where_nothing_else_reads_the_first():
    steps = [
        Step("load", 1),
        Step("multiply", 2, (0, 1)),
        Step("subtract", 3, (1, 2)),
        Step("exponential", 4, (3,)),
        Step("add", 5, (4, 3)),
        Step("store", -1, (5,)),
    ]
    made = [(s.op, s.sources) for s in paired(steps, frozenset(OPS))]
    assert made == [
        ("load", ()),
        ("multiply.subtract-from", (0, 1, 1)),
        ("exponential", (3,)),
        ("add", (4, 3)),
        ("store", (5,)),
    ]


def words(*ops: tuple[int, ...], registers: int = 2, operands: int = 1) -> list[int]:
    """A program on f32[2,3], with its ops as they stand."""
    use = [0, 0, 3, 1]
    flat = [n for op in ops for n in op]
    return [2, 1, 2, 3, operands, *use * (operands + 1), registers, 0, 0, len(ops), *flat]


LOAD, ADD, NEGATE, STORE = (CODES[op] for op in ("load", "add", "negate", "store"))
ILL_FORMED = {
    "the rank must be from 0 to 8, got 9": [9],
    "the rank of rows must follow, got the end": [2],
    "a code must be from 0 to": words((10**6, 0, 0, 0, 0, 0)),
    "the last instruction and no other must store": words((LOAD, 0, 0, 0, 0, 0)),
    "a register must be written before it is read": words(
        (NEGATE, 0, 0, 1, 0, 0), (STORE, 0, 0, 0, 0, 0)
    ),
    "a register must be from 0 to 1, got 2": words((LOAD, 0, 2, 0, 0, 0), (STORE, 0, 0, 0, 0, 0)),
    "what lies once for several elements": words(
        (LOAD, 0, 0, 0, 0, 0), (NEGATE, 0, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0)
    ),
    "a value per row must not vary along the columns": words(
        (LOAD, 1, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0)
    ),
    "elements used must lie from 0 to 6, got 0 to 7": [
        *words((LOAD, 0, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0))[:7],
        5,
        *words((LOAD, 0, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0))[8:],
    ],
    "a buffer must have the type of its use": [
        *words((LOAD, 0, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0))[:5],
        1,
        *words((LOAD, 0, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0))[6:],
    ],
    "nothing must follow the last instruction": [
        *words((LOAD, 0, 0, 0, 0, 0), (STORE, 0, 0, 0, 0, 0)),
        0,
    ],
}


@pytest.mark.parametrize("message", ILL_FORMED)
def test_words_that_are_no_program_are_refused(message):
    x = np.ones((2, 3), np.float32)
    shape = program_of("ROOT p = f32[2,3] parameter(0)").main.instructions[0].array
    with pytest.raises(Exception, match=message):
        np.asarray(call("neuron_rows", shape, ILL_FORMED[message], [x]))
