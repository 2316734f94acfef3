"""Gathers at known indices are slices, where what they pick is one."""

from __future__ import annotations

import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.passes.cleanup import eliminate_dead_code
from neff.passes.constants import fold_constants
from neff.passes.gathers import Runs, runs_of
from neff.program import Program
from tests.runtime.tiles import by_jax

BLOCK = (np.arange(3)[:, None] * 8 + np.arange(2, 6)).ravel()  # columns 2 to 5 of rows of 8


def flat(indices: np.ndarray) -> Program:
    """A gather of so many of 24 numbers, one by one, as torch's views come."""
    listed = ", ".join(map(str, indices))
    return lower(
        parse_module(f"""HloModule m
ENTRY main {{
  x = f32[3,8] parameter(0)
  r = f32[24] reshape(x)
  i = s32[{len(indices)}] constant({{{listed}}})
  ROOT g = f32[{len(indices)}] gather(r, i), offset_dims={{}}, collapsed_slice_dims={{0}},
    start_index_map={{0}}, index_vector_dim=1, slice_sizes={{1}}
}}""")
    )


def of(program: Program) -> set[str]:
    return {i.op for i in eliminate_dead_code(program).main.instructions}


@pytest.mark.parametrize(
    ("indices", "made"),
    [
        (BLOCK, {"parameter", "reshape", "slice"}),
        (np.arange(5, 11), {"parameter", "reshape", "slice"}),
        (np.arange(1, 24, 2), {"parameter", "reshape", "slice"}),
        (np.arange(24), {"parameter", "reshape"}),
        (np.array([7]), {"parameter", "reshape", "slice"}),
        (np.array([3, 2, 1]), {"parameter", "reshape", "constant", "gather"}),
        (np.array([1, 1]), {"parameter", "reshape", "constant", "gather"}),
        (np.array([0, 1, 8, 9, 10, 11]), {"parameter", "reshape", "constant", "gather"}),
        (np.array([6, 7, 8, 14, 15, 16]), {"parameter", "reshape", "constant", "gather"}),
        (np.array([22, 23, 24]), {"parameter", "reshape", "constant", "gather"}),  # out of it
    ],
)
def test_what_a_gather_picks(indices, made):
    program = flat(indices)
    folded = fold_constants(program)
    assert of(folded) == made
    x = np.arange(24, dtype=np.float32).reshape(3, 8) * 3
    wanted, got = (by_jax(p, x) for p in (program, folded))
    np.testing.assert_array_equal(got, wanted)


def test_rows_by_number_are_a_slice():
    program = lower(
        parse_module("""HloModule m
ENTRY main {
  x = f32[5,3] parameter(0)
  i = s32[2] constant({2, 3})
  ROOT g = f32[2,3] gather(x, i), offset_dims={1}, collapsed_slice_dims={0},
    start_index_map={0}, index_vector_dim=1, slice_sizes={1,3}
}""")
    )
    folded = fold_constants(program)
    assert "gather" not in of(folded)
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    np.testing.assert_array_equal(by_jax(folded, x), x[2:4])


def test_runs():
    assert runs_of(BLOCK, 24) == Runs(2, 3, 4, 8)
    assert runs_of(np.arange(3, 7), 24) == Runs(3, 1, 4, 24)
    assert runs_of(np.array([0, 5]), 24) is None  # no rows of 5
