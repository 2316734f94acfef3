"""The modules that stand for functionals, called by a user."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hlo_frontend.model_preparer import modules, prepare_model


def test_arguments_are_those_of_torch():
    x, y = torch.rand(3, 4), torch.rand(3, 4)
    assert torch.equal(modules.Add()(x, y, alpha=2), x + 2 * y)
    assert torch.equal(modules.Sum()(x, dim=1, keepdim=True), x.sum(1, True))
    assert torch.equal(
        modules.Divide()(x, y, rounding_mode="floor"), torch.div(x, y, rounding_mode="floor")
    )
    assert torch.equal(modules.Erf()(x), torch.erf(x))
    assert torch.equal(modules.MaskedFill()(x, x > 0.5, 0.0), x.masked_fill(x > 0.5, 0))


def test_masked_fill_leaves_its_input():
    x = torch.ones(2)
    modules.MaskedFill()(x, x > 0, 3)
    assert torch.equal(x, torch.ones(2))


def test_numbers_and_shapes_are_computed_as_python_does():
    assert modules.Add()(2, 3) == 5
    assert modules.Add()((2,), (3,)) == (2, 3)
    assert modules.FloorDivide()(7, 2) == 3
    assert modules.Pow()(2, 3) == 8


def test_concat_takes_tensors_or_a_list():
    x, y = torch.rand(2, 2), torch.rand(2, 2)
    for arguments in ((x, y), ([x, y],), ((x, y),)):
        assert torch.equal(modules.Concat(1)(*arguments), torch.cat([x, y], 1))
    assert modules.Concat().axis == 0


def test_a_dynamic_convolution():
    x, w, b = torch.rand(1, 4, 5, 5), torch.rand(4, 2, 3, 3), torch.rand(4)
    layer = modules.DynamicConv2d(stride=2, padding=1, groups=2)
    assert torch.equal(layer(x, w, b), F.conv2d(x, w, b, 2, 1, 1, 2))
    assert torch.equal(layer(x, w), F.conv2d(x, w, None, 2, 1, 1, 2))


@pytest.mark.parametrize("inplace", [False, True])
def test_silu_is_torchs_until_somebody_looks(inplace):
    x = torch.randn(1000)
    act = modules.CustomSiLU(inplace)
    assert torch.equal(act(x.clone()), F.silu(x))
    seen = []
    act.sigmoid.register_forward_hook(lambda m, i, output: seen.append(output))
    act.mul.register_forward_hook(lambda m, i, output: seen.append(output))
    given = x.clone()
    result = act(given)
    assert torch.equal(seen[0], x.sigmoid())
    assert torch.equal(seen[1], x * x.sigmoid())
    assert torch.equal(result, seen[1])
    assert (result is given) is inplace


def test_silu_calls_what_replaced_a_part():
    act = modules.CustomSiLU()
    act.sigmoid = nn.Hardsigmoid()
    x = torch.randn(10)
    assert torch.equal(act(x), x * F.hardsigmoid(x))


def test_silu_is_taken_apart_by_a_tracer():
    traced = torch.jit.trace(nn.Sequential(modules.CustomSiLU()), torch.rand(2))
    assert "aten::sigmoid" in str(traced.inlined_graph)
    assert "aten::silu" not in str(traced.inlined_graph)


def test_a_model_that_holds_them_is_not_changed_by_preparing():
    model = nn.Sequential(modules.CustomSiLU(), modules.Sum(), modules.Exponential())
    prepared = prepare_model(model)
    assert prepared.get_submodule("0") is model[0]
    assert not prepared.report.changes
