"""Every function of the table, in every way to call it, becomes the right module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hlo_frontend.model_preparer import modules, prepare_model
from hlo_frontend.model_preparer.rules import RULES
from tests.model_preparer.calls import CASES, Twice, block, inputs


@torch.fx.wrap
def add(x):
    return x + 4


def equal(got, wanted) -> bool:
    if isinstance(wanted, torch.Tensor):
        return got.dtype == wanted.dtype and torch.equal(got, wanted)
    return len(got) == len(wanted) and all(map(equal, got, wanted))


def agrees(prepared, model) -> bool:
    """On inputs of their own, since some calls are in place."""
    with torch.no_grad():
        return equal(prepared(*inputs()), model(*inputs()))


def made(prepared) -> dict[str, str]:
    return {path: type(prepared.get_submodule(path)).__name__ for path in new_paths(prepared)}


def new_paths(prepared) -> list[str]:
    return [change.new.split(" ")[0] for change in prepared.report.changes]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.expression)
def test_a_call_becomes_a_module(case):
    model = block(case.expression)
    prepared = prepare_model(model)
    expected = {case.name(0): case.module}
    assert expected.items() <= made(prepared).items()
    assert agrees(prepared, model)
    assert not prepared.report.kept


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.expression)
def test_calls_in_the_same_module_are_numbered(case):
    model = block(f"({case.expression}, {case.expression})")
    prepared = prepare_model(model)
    kinds = made(prepared)
    assert [p for p, kind in kinds.items() if kind == case.module][:1] == [case.name(0)]
    assert agrees(prepared, model)
    if len(kinds) == 2:  # else the expression holds other calls of the table
        assert kinds == {case.name(n): case.module for n in (0, 1)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.expression)
def test_calls_in_two_modules_are_numbered_together(case):
    model = Twice(case.expression)
    prepared = prepare_model(model)
    kinds = made(prepared)
    assert kinds[f"first.{case.name(0)}"] == case.module
    assert agrees(prepared, model)
    if len(kinds) == 2:
        assert kinds[f"second.{case.name(1)}"] == case.module


def test_the_table_has_every_function():
    """Each is called by some case: the rules that the cases of the table reach are all of them."""
    reached = set()
    for case in CASES:
        graph = torch.fx.symbolic_trace(block(case.expression)).graph
        reached |= {n.target for n in graph.nodes if n.op in ("call_function", "call_method")}
    assert RULES.keys() <= reached


KEPT = (
    *("torch.sqrt(y)", "torch.abs(x)", "torch.log(y)", "-x", "torch.neg(x)", "torch.maximum(x, y)"),
    *("torch.minimum(x, y)", "torch.concat([x, y])", "torch.stack([x, y])", "x.chunk(2)"),
    *("x.split(1)", "x.flatten(1)", "x.view(-1)", "x.permute(1, 0, 2, 3)", "x[0]"),
    *("F.linear(m, m)", "F.layer_norm(x, (6,))", "F.normalize(x)", "F.dropout(x, training=False)"),
    *("F.mish(x)", "torch.einsum('ij,jk', m, m)", "F.hardswish(x)", "x.clone().relu_()"),
    *(
        "x.clone().add_(y)",
        "torch.multiply(x, y)",
        "torch.divide(x, y)",
        "torch.floor_divide(x, y)",
    ),
)


@pytest.mark.parametrize("expression", KEPT)
def test_other_functions_stay(expression):
    model = block(expression)
    prepared = prepare_model(model)
    assert not list(prepared.children())
    assert agrees(prepared, model)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("torch.softmax(x, x.dim() - 1)", "its dim is computed"),
        ("torch.cat([x, y], x.dim() - 1)", "its dim is computed"),
        ("F.conv2d(x, w, stride=x.size(0))", "its stride is computed"),
        ("torch.exp(x, out=torch.empty(2, 4, 6, 6))", "it writes into `out`"),
        ("torch.cat([x, y], out=torch.empty(4, 4, 6, 6))", "it writes into `out`"),
        ("torch.tanh(x, out=torch.empty(2, 4, 6, 6))", "its out has no place in a module"),
    ],
)
def test_a_call_that_no_module_can_stand_for_stays_and_the_report_says_why(expression, reason):
    model = block(expression)
    prepared = prepare_model(model)
    assert [change.new for change in prepared.report.kept] == [f"stays: {reason}"]
    assert agrees(prepared, model)


def test_parameters_of_new_layers_are_the_models_own():
    model = block("F.conv2d(x, self.kernel, self.bias), F.prelu(x, self.slope)")
    prepared = prepare_model(model)
    assert prepared.module_conv2d.weight is model.kernel is prepared.kernel
    assert prepared.module_conv2d.bias is model.bias
    assert prepared.module_prelu.weight is model.slope
    assert isinstance(prepared.module_conv2d, nn.Conv2d)
    assert "in_channels" in vars(prepared.module_conv2d)


def test_a_grouped_convolution_has_all_its_channels():
    layer = prepare_model(block("F.conv2d(x, self.grouped, groups=2)")).module_conv2d
    assert (layer.in_channels, layer.out_channels, layer.groups) == (4, 4, 2)


def test_preparing_draws_no_random_numbers():
    model = block("F.conv2d(x, self.kernel)")
    before = torch.get_rng_state()
    prepare_model(model)
    assert torch.equal(before, torch.get_rng_state())


def test_settings_are_attributes_of_the_module():
    prepared = prepare_model(block("F.leaky_relu(x, 0.2) + torch.softmax(x, 1)"))
    assert prepared.module_leaky_relu.negative_slope == 0.2
    assert prepared.module_softmax.dim == 1
    assert prepare_model(block("torch.cat([x, y], axis=1)")).module_cat.axis == 1


def test_a_function_of_the_users_that_shares_a_name_is_not_torchs():
    class Model(nn.Module):
        def forward(self, x):
            return add(x)

    prepared = prepare_model(Model())
    assert [n.name for n in prepared.graph.nodes if n.target is add] == ["add"]
    assert not prepared.report.changes
    assert prepared(torch.ones(1)) == 5


def test_every_module_class_says_what_it_is():
    kinds = [
        v
        for v in vars(modules).values()
        if isinstance(v, type) and v.__module__ == modules.__name__
    ]
    assert len(kinds) > 70
    assert all(kind.__doc__ for kind in kinds)
    assert all(getattr(modules, kind.__name__) is kind for kind in kinds)
