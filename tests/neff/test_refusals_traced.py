"""What PyTorch programs are refused for, and that the user's line says where."""

from __future__ import annotations

import logging
import re

import pytest
import torch
from torch import nn

import torch_neuronx
from hlo_frontend.capture import capture
from neff.errors import RefusedError
from neff.options import CompileOptions, parse_options
from neff.support.refusals import check_support


def topk(x):
    return torch.topk(x, 2)


def positions(x):
    return nn.functional.embedding(torch.arange(20), x)


def transposed(x):
    weight = torch.ones(1, 1, 3)
    return nn.functional.conv_transpose1d(x, weight, stride=2, dilation=2)


@pytest.mark.parametrize(
    ("func", "example", "code", "line"),
    [
        (topk, torch.arange(9), "NCC_EVRF013", 1),
        (positions, torch.rand(10, 4), "NCC_EVRF056", 1),
        (transposed, torch.rand(1, 1, 8), "NCC_EVRF010", 2),
    ],
)
def test_refused_with_the_users_line(func, example, code, line):
    with pytest.raises(RefusedError, match=rf"^\[{code}\] ") as caught:
        torch_neuronx.trace(func, example)
    at = func.__code__.co_firstlineno + line
    assert re.search(rf"\n  from \S*test_refusals_traced\.py:{at}\n", str(caught.value))


def allowed(func, *examples, options=None):
    check_support(capture(func, examples).module, options or CompileOptions())


def test_what_models_do_with_integers_compiles(caplog):
    x, i = torch.rand(6, 4), torch.tensor([[1, 2], [5, 0]])
    allowed(lambda x, i: (x[i], x.gather(0, i), x.index_select(0, i[0])), x, i)
    allowed(lambda x, i: x.scatter_add(0, i, x[:2, :2]), x, i)
    allowed(lambda i: (i.cumsum(0), i.argmax(1), i // 2, i >> 1, i.sort().values), i)
    allowed(lambda i: nn.functional.one_hot(i, 7), i)
    allowed(lambda x: (torch.topk(x, 2), x.sort(), nn.functional.max_pool1d(x, 2)), x)
    allowed(lambda x, i: x.masked_fill(i.bool().repeat(3, 2), 0), x, i)
    assert not any("lose precision" in r.message for r in caplog.records)


def test_integer_scatter_compiles_with_a_warning_and_can_be_refused(caplog):
    def count(i):
        return torch.zeros(7, dtype=torch.int64).index_add(0, i, torch.ones_like(i))

    i = torch.tensor([1, 5, 1])
    with caplog.at_level(logging.WARNING, "Neuron"):
        allowed(count, i)
    assert "NCC_EVRF060" in caplog.text and "test_refusals_traced.py:" in caplog.text
    with pytest.raises(RefusedError, match="NCC_EVRF060"):
        allowed(count, i, options=parse_options("--implicit-integer-downcast=none"))


def test_a_flag_scattered_by_or_is_refused():
    def seen(i):
        return torch.zeros(7, dtype=torch.bool).index_put((i,), i > 1, accumulate=True)

    with pytest.raises(RefusedError, match="NCC_EVRF016"):
        allowed(seen, torch.tensor([1, 5, 1]))


def test_inverse_is_the_documented_way_round(caplog):
    with caplog.at_level(logging.WARNING, "Neuron"):
        allowed(torch.inverse, torch.rand(3, 3))
    assert "custom-call to Qr" in caplog.text
    with pytest.raises(RefusedError, match="NCC_EVRF001"):
        allowed(lambda b, a: torch.triangular_solve(b, a)[0], torch.rand(3, 1), torch.rand(3, 3))
