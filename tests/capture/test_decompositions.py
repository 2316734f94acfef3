"""Operators that torch_xla cannot lower, or lowers wrongly, made of others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hlo_frontend.capture import capture
from hlo_frontend.errors import CaptureError, UnsupportedOperatorError
from tests.capture.judged import check

torch.manual_seed(0)
X = torch.randn(4, 6)
TIES = torch.tensor([[3, 1, 3, 2], [5, 5, 0, 5]])
IMAGE = torch.rand(1, 2, 7, 9)
NAN = torch.tensor([[1.0, float("nan"), 3.0, 0.5], [5.0, 2.0, 1.0, 4.0]])
SCALAR = torch.tensor(2.5)
EQUAL = {
    "unfold": (lambda a: a.unfold(1, 3, 2), X),
    "diagonal": (lambda a: torch.diagonal(a, -1), X),
    "diagonal scatter": (lambda a: torch.diagonal_scatter(a, a[0, :4], 2), X),
    "as_strided_scatter": (
        lambda a: torch.as_strided_scatter(a, a[:2, :2], (2, 2), (1, 2), 3),
        X,
    ),
    "cummax of ties": (lambda a: tuple(torch.cummax(a, 1)), TIES),
    "cummin of ties": (lambda a: tuple(torch.cummin(a, 1)), TIES),
    "cummin of nan": (lambda a: tuple(torch.cummin(a, 1)), NAN),
    "median": (lambda a: (a.median(), a.nanmedian(), a.median(1)[0]), NAN),
    "mode": (lambda a: a.mode(1)[0], TIES),
    "searchsorted": (
        lambda a: torch.searchsorted(torch.tensor([0.5, 1.0, 3.0]), a, right=True),
        NAN,
    ),
    "searchsorted in rows": (lambda a: torch.searchsorted(a.sort(1)[0], a), X),
    "bucketize": (lambda a: torch.bucketize(a, torch.tensor([-1.0, 0.0, 1.0])), X),
    "isin": (lambda a: torch.isin(a, torch.tensor([1, 5])), TIES),
    "adaptive average": (lambda a: F.adaptive_avg_pool2d(a, (3, 4)), IMAGE),
    "adaptive maximum": (
        lambda a: F.adaptive_max_pool2d(a, (3, 4), return_indices=True),
        IMAGE,
    ),
    "dilated maximum": (
        lambda a: F.max_pool2d(a, 3, 2, 1, dilation=2, return_indices=True),
        IMAGE,
    ),
    "average that rounds sizes up": (lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True), IMAGE),
    "average with a divisor": (lambda a: F.avg_pool2d(a, 2, divisor_override=3), IMAGE),
    "infinite norm": (lambda a: torch.norm(a, float("inf")), X),
    "distances": (lambda a: F.pdist(a, float("inf")), X),
    "embedding bag": (
        lambda a: F.embedding_bag(
            torch.tensor([0, 1, 2, 3]), a, torch.tensor([0, 3]), padding_idx=1
        ),
        X,
    ),
    "scatter mean": (
        lambda a: a.scatter_reduce(
            0, torch.tensor([[0, 1, 0, 1, 0, 1]]), a, "mean", include_self=False
        ),
        X,
    ),
    "floor of an exact quotient": (
        lambda a: torch.div(a, 0.1, rounding_mode="floor"),
        torch.tensor([0.3, 0.7, -0.3, 1e-40]),
    ),
    "bicubic": (lambda a: F.interpolate(a, size=(5, 4), mode="bicubic"), IMAGE),
    "grid sample": (lambda a: F.grid_sample(a, a.permute(0, 2, 3, 1), align_corners=False), IMAGE),
    "softmax of a scalar": (lambda a: a.softmax(0), SCALAR),
    "sort of a scalar": (lambda a: tuple(a.sort(0)), SCALAR),
    "gather of a scalar": (lambda a: a.gather(0, torch.tensor([0])), SCALAR),
    "sums of nothing": (lambda a: a[:0].cumsum(0), X),
    "nuclear norms": (lambda a: torch.linalg.matrix_norm(a.reshape(2, 3, 4), "nuc"), X),
}


@pytest.mark.parametrize(("function", "x"), EQUAL.values(), ids=EQUAL)
def test_equals_eager(function, x) -> None:
    check(function, x, tolerance=1e-4)


HALVES = {
    "batch norm": lambda a: F.batch_norm(a, a.mean(0).detach(), a.var(0), training=False),
    "lerp": lambda a: torch.lerp(a, a.flip(0), 0.3),
    "cumsum": lambda a: a.cumsum(0),
    "remainder": lambda a: torch.fmod(a, 0.7),
}


@pytest.mark.parametrize("function", HALVES.values(), ids=HALVES)
def test_halves_are_rounded_once(function) -> None:
    check(function, X.bfloat16(), tolerance=2**-8)


def test_recurrent_layers_stay_those_of_pytorch() -> None:
    check(lambda a: (a.cumsum(0), a.prod(0)), X > 0)
    assert nn.GRU.__module__ == "torch.nn.modules.rnn"
    check(nn.GRU(6, 5).eval(), X)


def test_stateless_call_is_captured() -> None:
    layer = nn.Linear(6, 3)
    check(lambda x: torch.func.functional_call(layer, {"bias": layer.bias * 2}, (x,)), X)


def test_encoder_with_a_padding_mask_takes_the_slow_path() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1).eval()
    x, mask = torch.randn(2, 3, 8), torch.tensor([[False] * 3, [False, False, True]])
    captured = capture(lambda x, m: encoder(x, src_key_padding_mask=m)[:, :2], (x, mask))
    assert captured.outputs[0].dims == (2, 2, 8)
    assert torch.backends.mha.get_fastpath_enabled()


def test_rows_are_scaled_to_the_norm_of_an_embedding() -> None:
    table = nn.Embedding(10, 4, max_norm=0.5)
    with torch.no_grad(), pytest.warns(UserWarning, match="the callable updates weight"):
        check(table, torch.tensor([1, 7, 1]))


def test_random_order_is_one() -> None:
    with pytest.warns(UserWarning, match="draws random numbers"):
        captured = capture(lambda a: a[torch.randperm(4)], X)
    assert captured.outputs[0].dims == (4, 6)


def test_none_in_an_output_names_the_remedy() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with pytest.raises(CaptureError, match=r"take the tensors \(`attention\(x, x, x\)\[0\]`"):
        capture(lambda x: attention(x, x, x, need_weights=False), torch.randn(2, 3, 8))


def test_split_at_places_that_are_not_known_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="aten::tensor_split needs a value"):
        capture(lambda x, i: torch.tensor_split(x, i), (X, torch.tensor([1, 2])))


def test_operands_that_torch_xla_refuses_are_named() -> None:
    with pytest.raises(UnsupportedOperatorError, match="has no lowering to HLO for such operands"):
        capture(lambda x: x.to(torch.complex32), X)
