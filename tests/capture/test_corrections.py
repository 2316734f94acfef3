"""Operators that torch_xla alone would compute otherwise than PyTorch: corrected or refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hlo_frontend.capture import capture
from hlo_frontend.errors import UnsupportedOperatorError
from tests.capture.judged import check

NAN = torch.tensor([[1.0, float("nan"), 3.0], [5.0, 2.0, 1.0]])
LARGE = torch.tensor([2**40 + 3, 2**53 - 1, -7])
LARGE32 = torch.tensor([2**24 + 3, 2**31 - 1, -(2**31) + 1], dtype=torch.int32)
NEGATIVE = torch.tensor([-3, -1, 5, -128], dtype=torch.int8)
EXACT = {
    "cumsum of booleans": (lambda a: a.cumsum(0), torch.ones(300, dtype=torch.bool)),
    "shift of int8": (lambda a: a >> 1, NEGATIVE),
    "shift of int64": (lambda a: a >> 3, NEGATIVE.long()),
    "shift by a tensor": (lambda a: a >> (a & 7), NEGATIVE.int()),
    "number shifted by a tensor": (lambda a: (5 >> (a & 7), 5 << (a & 7)), NEGATIVE.int()),
    "division of 64 bits": (
        lambda a: (
            a // 7,
            torch.div(a, 7, rounding_mode="trunc"),
            torch.div(2**61 + 1, a, rounding_mode="floor"),
        ),
        torch.tensor([2**63 - 1, -(2**63) + 1, 2**53 + 1, 3 - 2**60, 7, -7]),
    ),
    "floor division": (lambda a: a // 3, LARGE),
    "floor division of int32": (lambda a: a // 3, LARGE32),
    "trunc division": (lambda a: torch.div(a, -3, rounding_mode="trunc"), LARGE32),
    "floor division of floats": (lambda a: a // 2, torch.tensor([3.5, -3.5])),
    "argmax of nan": (lambda a: (a.argmax(), a.argmax(1), a.argmin(0, keepdim=True)), NAN),
    "max of integers": (lambda a: (*a.max(1), a.argmax()), torch.tensor([[1, 5], [9, 3]])),
    "indices of cummax": (lambda a: tuple(torch.cummax(a, 0)), torch.tensor([1.0, 3.0, 2.0])),
    "count": (lambda a: torch.count_nonzero(a, dim=0), torch.eye(3)),
    "indices of pooling": (
        lambda a: F.max_pool2d(a, 3, 2, 1, return_indices=True),
        torch.arange(49.0).reshape(1, 1, 7, 7),
    ),
    "dilated pooling": (lambda a: F.max_pool2d(a, 2, dilation=2), torch.rand(1, 2, 8, 8)),
    "scale": (lambda a: F.interpolate(a, scale_factor=1.7), torch.rand(1, 1, 8, 8)),
    "bilinear scale": (
        lambda a: F.interpolate(a, scale_factor=0.6, mode="bilinear"),
        torch.rand(1, 1, 8, 8),
    ),
    "interpolation by a whole ratio": (
        lambda a: F.interpolate(a, scale_factor=2.0, mode="nearest"),
        torch.arange(16.0).reshape(1, 1, 4, 4),
    ),
}
IMAGE = torch.rand(1, 1, 8, 8)
REFUSED = {
    "mixed halves": (lambda a: a.bfloat16() + a.half(), IMAGE, "bfloat16 and float16"),
}


@pytest.mark.parametrize(("function", "x"), EXACT.values(), ids=EXACT)
def test_equals_eager(function, x):
    check(function, x)


@pytest.mark.parametrize(("function", "x", "message"), REFUSED.values(), ids=REFUSED)
def test_is_refused(function, x, message):
    with pytest.raises(UnsupportedOperatorError, match=message):
        capture(function, x)


def test_an_input_that_is_written_to_is_warned_about():
    with pytest.warns(UserWarning, match="the callable updates x; the update is lost"):
        capture(lambda x: (x.add_(1), x * 2)[1], torch.zeros(3))
