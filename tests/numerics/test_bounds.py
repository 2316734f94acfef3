"""What is measured now is within what docs/numerics_bounds.md says."""

from __future__ import annotations

import pytest

from tests.numerics.classes import CLASSES
from tests.numerics.measure import OFF, SETTINGS, bound, error, written

BY_NAME = {c.name: c for c in CLASSES}
# One of each kind; `scripts/numerics` measures them all.
FAST = [
    *[("matmul K=512", s) for s in SETTINGS],
    *[("softmax of 128", s) for s in ("none", "all bf16", "all tf32")],
    *[("layernorm of 768", s) for s in ("none", "all bf16, accumulation off")],
    *[("gelu", s) for s in ("none", "all fp16")],
    *[("sum of 1024", s) for s in ("all bf16", "all fp8_e4m3")],
    ("convolution 3x3 of 64", "none"),
    ("cumulative sum of 256", "all bf16"),
]  # fmt: skip


def test_the_page_has_every_class_and_setting():
    table = written()
    assert list(table) == list(BY_NAME)
    assert {tuple(row) for row in table.values()} == {tuple(SETTINGS)}


@pytest.mark.parametrize(("name", "setting"), FAST)
def test_measured_error_is_within_the_bound(name, setting):
    assert error(BY_NAME[name], SETTINGS[setting]) <= written()[name][setting]


def test_a_bound_leaves_room_and_is_one_digit():
    assert [bound(x) for x in (1e-7, 1.4e-3, 0.0)] == [2e-7, 3e-3, 0.0]


@pytest.mark.parametrize("name", ["sum of 1024", "layernorm of 768", "softmax of 1024"])
def test_accumulating_in_the_short_type_is_worse(name):
    wide, short = (error(BY_NAME[name], f"--auto-cast all {o}") for o in ("", OFF))
    assert short > 1.2 * wide
