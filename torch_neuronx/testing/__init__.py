"""Comparison of results, under the module path that AWS's packages give it."""

from __future__ import annotations

from typing import Any

import torch


def assert_close(actual: Any, expected: Any, **tolerance: Any) -> None:
    """Raise AssertionError where two results, nested alike, differ by more than the tolerance.

    Takes the keywords of torch.testing.assert_close, whose defaults depend on the element type.
    """
    torch.testing.assert_close(actual, expected, **tolerance)
