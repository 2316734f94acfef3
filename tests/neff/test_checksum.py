"""A checksum is of the whole, however it is given, and finds damage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neff.checksum import BLOCK, ROW, checksum

NOISE = np.random.default_rng(0).integers(0, 256, 2 * BLOCK + 3 * ROW + 77, np.uint8)
WHOLE = checksum([NOISE.data])


@given(st.lists(st.integers(0, NOISE.size), max_size=5))
def test_parts_make_no_difference(cuts: list[int]):
    ends = [*sorted(cuts), NOISE.size]
    starts = [0, *ends[:-1]]
    assert checksum([NOISE.data[a:b] for a, b in zip(starts, ends, strict=True)]) == WHOLE


def test_files_of_other_sizes_are_other_files():
    found = [checksum([bytes(n)]) for n in (0, 1, 8, ROW - 1, ROW, ROW + 1, 2 * ROW, BLOCK)]
    assert len(set(found)) == len(found)


@given(st.integers(0, NOISE.size - 1), st.integers(0, 7))
def test_a_flipped_bit_is_found(position: int, bit: int):
    damaged = NOISE.copy()
    damaged[position] ^= 1 << bit
    assert checksum([damaged.data]) != WHOLE


@pytest.mark.parametrize("size", [8, 512, 4096, ROW, BLOCK])
@pytest.mark.parametrize("what", ["zeros", "repeated", "exchanged"])
def test_damaged_stretches_are_found(size: int, what: str):
    """As of a sector, a page or a read that went wrong."""
    damaged = NOISE.copy()
    first, second = damaged[size : 2 * size], damaged[-size:]
    if what == "zeros":
        first[:] = 0
    elif what == "repeated":
        first[:] = damaged[:size]
    else:
        first[:], second[:] = second.copy(), first.copy()
    assert checksum([damaged.data]) != WHOLE


def test_an_array_need_not_lie_where_words_do():
    moved = np.empty(NOISE.size + 3, np.uint8)[3:]
    moved[:] = NOISE
    assert checksum([moved.data]) == WHOLE
