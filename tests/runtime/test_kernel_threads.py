"""Kernels on several threads: whoever computes what, the bits are the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from runtime.executable import Executable, Mode, prepared
from tests.runtime.test_contraction import fused

# A product, what follows it row by row, and another: large enough for two threads.
TEXT = """
    x = {0}[{1},256] parameter(0)
    w = {0}[256,256] parameter(1)
    v = {0}[256,64] parameter(2)
    d = f32[{1},256] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
    t = f32[{1},256] tanh(d)
    c = {0}[{1},256] convert(t)
    ROOT o = f32[{1},64] dot(c, v), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
"""
# A call site tries how it runs best within its first calls: see tuner.h.
CALLS = 100


def ready(dtype: str, rows: int) -> tuple[Executable, list[np.ndarray]]:
    program, arrays = fused(TEXT.format(dtype, rows), weight=None)
    return prepared(program, Mode(native=True)), arrays


def call(executable: Executable, arrays: list[np.ndarray]) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(executable.start(arrays, executable.initial_state).outputs[0])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("rows", [20, 197])
def test_all_calls_make_the_same_bits(dtype, rows):
    executable, arrays = ready(dtype, rows)
    first = call(executable, arrays)
    for _ in range(CALLS):
        np.testing.assert_array_equal(call(executable, arrays), first)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_calls_at_once_do_not_disturb_each_other(dtype):
    """Helpers that wait are handed the loops of whoever comes."""
    made = [ready(dtype, rows) for rows in (31, 64, 150)]
    expected = [call(*one) for one in made]

    def many(n: int) -> None:
        for _ in range(CALLS):
            np.testing.assert_array_equal(call(*made[n]), expected[n])

    with ThreadPoolExecutor(6) as pool:
        for result in [pool.submit(many, n % 3) for n in range(6)]:
            result.result()
