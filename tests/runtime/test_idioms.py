"""Several steps that are one op: which they are, and that it makes what they make."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.units.ffi import call
from runtime.units.idioms import spoken
from runtime.units.ops import CODES, OPS
from runtime.units.registers import Immediate, Step
from runtime.units.rows import lower_rows
from tests.runtime.tiles import flushed, in_rows, members_of, program_of, same_bits, ulps_off

F32 = np.float32


def hard_swish_steps(divisor: float = 6.0) -> list[Step]:
    return [
        Step("add", 1, (0, Immediate.of(3))),
        Step("maximum", 2, (Immediate.of(0), 1)),
        Step("minimum", 3, (2, Immediate.of(6))),
        Step("divide", 4, (3, Immediate.of(divisor))),
        Step("multiply", 5, (0, 4)),
        Step("store", -1, (5,)),
    ]


HARD_SWISH = """
    p = f32[{n}] parameter(0)
    q = f32[{n}] parameter(1)
    x = f32[{n}] add(p, q)
    three = f32[] constant(3)
    b = f32[{n}] broadcast(three), dimensions={{}}
    a = f32[{n}] add(x, b)
    zero = f32[] constant(0)
    z = f32[{n}] broadcast(zero), dimensions={{}}
    m = f32[{n}] maximum(a, z)
    six = f32[] constant(6)
    s = f32[{n}] broadcast(six), dimensions={{}}
    l = f32[{n}] minimum(m, s)
    d = f32[{n}] divide(l, s)
    ROOT r = f32[{n}] multiply(d, x)
"""
SILU = """
    p = f32[{n}] parameter(0)
    q = f32[{n}] parameter(1)
    x = f32[{n}] add(p, q)
    l = f32[{n}] logistic(x)
    ROOT r = f32[{n}] multiply(x, l)
"""


def numbers() -> np.ndarray:
    """Floats of any bits, and many between -4 and 4."""
    draws = np.random.default_rng(1)
    bits = draws.integers(0, 1 << 32, 1 << 16, dtype=np.uint64).astype(np.uint32).view(F32)
    edges = F32([0, -0.0, 3, -3, -3.0000002, -2.9999998, np.inf, -np.inf, np.nan, 100, -88, -88.5])
    return flushed(np.concatenate([edges, bits, F32(draws.uniform(-4, 4, 1 << 18))]))


def test_a_hard_swish_is_one_op_and_what_its_steps_make():
    x = numbers()
    zeros = np.zeros_like(x)
    p = program_of(HARD_SWISH.format(n=x.size))
    assert "add.hard-swish" in [OPS[c] for c in lower_rows(p, members_of(p)).words[-18::6]]
    with np.errstate(all="ignore"):
        sum_ = flushed(x + zeros)
        within = np.minimum(np.maximum(flushed(sum_ + F32(3)), F32(0)), F32(6))
        expected = flushed(flushed(within / F32(6)) * sum_)
    made = in_rows(p, x, zeros)
    near = np.abs(expected) == np.finfo(F32).tiny
    assert (same_bits(flushed(made), expected) | near).all()


def test_a_silu_is_one_op_and_near_the_exact_value():
    x = numbers()
    p = program_of(SILU.format(n=x.size))
    assert "add.silu" in [OPS[c] for c in lower_rows(p, members_of(p)).words[-18::6]]
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        exact = np.where(x < 0, np.exp(wide) / (1 + np.exp(wide)), 1 / (1 + np.exp(-wide))) * wide
    inside = np.abs(x) < 87  # beyond, the logistic is 0 or no normal number
    assert ulps_off(in_rows(p, x, np.zeros_like(x)), exact)[inside].max() <= 3


def test_an_op_of_one_value_computes_what_its_steps_do():
    x = numbers()

    def made(ops: list[tuple[str, int, int, int]], immediates: list[float], registers: int):
        bits = [int(F32(v).view(np.uint32)) for v in immediates]
        words = [1, 0, x.size, 1, 0, 0, 1, 0, 0, 1, registers, 0, len(bits), *bits, len(ops) + 2]
        words += [CODES["load"], 0, 0, 0, 0, 0]
        for op, to, a, b in ops:
            words += [CODES[op], 0, to, a, b, 0]
        words += [CODES["store"], 0, 0, ops[-1][1], 0, 0]
        shape = program_of(f"ROOT p = f32[{x.size}] parameter(0)").main.instructions[0].array
        return np.asarray(call("neuron_rows", shape, words, [x]))

    steps = [("logistic", 1, 0, 0), ("multiply", 2, 1, 0)]
    assert same_bits(made([("silu", 1, 0, 0)], [], 2), made(steps, [], 3)).all()
    steps = [("multiply", 1, 0, 4), ("erf", 1, 1, 0), ("add", 1, 1, 5), ("multiply", 2, 0, 3)]
    steps.append(("multiply", 2, 2, 1))
    whole = made([("gelu", 1, 0, 0)], [], 2)
    assert same_bits(whole, made(steps, [0.5, 0.7071067690849304, 1.0], 3)).all()
    steps = [("add", 1, 0, 3), ("maximum", 1, 1, 4), ("minimum", 1, 1, 5), ("divide", 1, 1, 5)]
    steps.append(("multiply", 2, 1, 0))
    whole = made([("hard-swish", 1, 0, 0)], [], 2)
    assert same_bits(whole, made(steps, [3.0, 0.0, 6.0], 3)).all()


def gelu_steps() -> list[Step]:
    return [
        Step("multiply", 1, (Immediate.of(0.7071067690849304), 0)),
        Step("erf", 2, (1,)),
        Step("add", 3, (Immediate.of(1), 2)),
        Step("multiply", 4, (0, Immediate.of(0.5))),
        Step("multiply", 5, (3, 4)),
        Step("store", -1, (5,)),
    ]


def test_steps_in_any_order_are_one_op():
    assert [s.op for s in spoken(gelu_steps())] == ["gelu", "store"]
    assert [(s.op, s.sources) for s in spoken(hard_swish_steps())] == [
        ("hard-swish", (0,)),
        ("store", (5,)),
    ]


@pytest.mark.parametrize(
    "steps",
    [
        hard_swish_steps(divisor=5.0),
        [*hard_swish_steps()[:-1], Step("add", 6, (5, 3)), Step("store", -1, (6,))],
        [Step("logistic", 1, (0,)), Step("multiply", 2, (1, 1)), Step("store", -1, (2,))],
        [Step("load", 1), Step("logistic", 2, (0,)), Step("multiply", 3, (2, 1))],
    ],
    ids=["another number", "a step that others read", "its own square", "another value"],
)
def test_what_is_no_idiom_stays_as_it_is(steps):
    assert spoken(steps) == steps
