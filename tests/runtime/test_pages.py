"""Weights come to lie in large pages, with the same values, where the system has any."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from neff.undisturbed import undisturbed
from runtime.units.pages import LEAST, PAGE, enlarge

CHOICE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
offered = CHOICE.exists() and "[never]" not in CHOICE.read_text()


def mapping(array: np.ndarray) -> dict[str, str]:
    """What the system says of the memory that the middle of an array is in."""
    middle, inside = array.ctypes.data + array.nbytes // 2, False
    found: dict[str, str] = {}
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            start, end = (int(part, 16) for part in bounds.groups())
            inside = start <= middle < end
        elif inside:
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found


def in_large_pages(array: np.ndarray) -> int:
    """Bytes of its mapping."""
    return int(mapping(array)["AnonHugePages"].split()[0]) * 1024


@pytest.mark.skipif(not offered, reason="this system makes no large pages")
def test_an_array_is_moved_into_large_pages():
    with undisturbed():
        array = np.arange(2 * LEAST, dtype=np.float32)
    assert "hg" not in mapping(array)["VmFlags"].split()
    enlarge(array)
    deadline = time.monotonic() + 30
    while in_large_pages(array) < array.nbytes - 2 * PAGE and time.monotonic() < deadline:
        np.testing.assert_array_equal(array[:: 1 << 12], np.arange(0, array.size, 1 << 12))
    assert in_large_pages(array) >= array.nbytes - 2 * PAGE
    np.testing.assert_array_equal(array, np.arange(2 * LEAST, dtype=np.float32))


def test_an_array_may_be_gone_meanwhile():
    for _ in range(20):
        enlarge(np.ones(4 * LEAST, np.uint8))
