"""What is excluded stays whole; the model that was prepared stays as it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hlo_frontend.model_preparer import modules, prepare_model


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(F.relu(x) + 1)


class Derived(Custom):
    pass


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.d, self.act = Custom(), Derived(), nn.SiLU()
        self.seq = nn.Sequential(Custom(), nn.ReLU())

    def forward(self, x):
        return self.seq(self.act(self.d(self.c(self.c(x)))))


def state(model) -> list[tuple]:
    """Everything about a model that preparing must not change, by identity."""
    return [
        (path, id(module), type(module), module.training, sorted(vars(module)), [*module._modules])
        for path, module in model.named_modules()
    ]


def prepared_and_equal(model, **exclusions):
    x = torch.randn(3, 5)
    before, wanted = state(model), model(x)
    prepared = prepare_model(model, **exclusions)
    assert state(model) == before
    assert torch.equal(prepared(x), wanted)
    assert torch.equal(model(x), wanted)
    return prepared


def test_a_module_is_excluded_by_identity():
    model = Model()
    prepared = prepared_and_equal(model, modules_to_exclude=[model.c])
    assert prepared.c is model.c
    assert type(prepared.module_c_1) is Custom and prepared.module_c_1 is not model.c
    assert "d.module_relu" in prepared.report.table()
    assert type(prepared.act) is modules.CustomSiLU


def test_what_is_inside_an_excluded_module_stays():
    model = Model()
    act = model.c.act
    prepared = prepared_and_equal(model, modules_to_exclude=[model.c])
    assert prepared.c.act is act and type(act) is nn.SiLU
    assert type(prepared.module_c_1.act) is nn.SiLU


def test_a_class_is_excluded_without_its_subclasses():
    model = Model()
    prepared = prepared_and_equal(model, module_classes_to_exclude=[Custom])
    assert prepared.c is model.c
    assert prepared.seq.get_submodule("0") is model.seq[0]
    assert "d.module_relu" in prepared.report.table()


def test_a_parent_is_excluded_with_all_that_is_in_it():
    model = Model()
    prepared = prepared_and_equal(model, module_classes_to_exclude=[nn.Sequential])
    assert prepared.seq is model.seq


def test_a_silu_can_be_excluded():
    model = Model()
    prepared = prepared_and_equal(model, modules_to_exclude=[model.act])
    assert prepared.act is model.act
    assert type(prepared.c.act) is modules.CustomSiLU


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_nothing_is_excluded(nothing):
    prepared = prepared_and_equal(
        Model(), modules_to_exclude=nothing, module_classes_to_exclude=nothing
    )
    assert "c.module_relu" in prepared.report.table()


def test_a_child_of_an_excluded_module_that_is_called_alone_is_not_exchanged():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = Custom()

        def forward(self, x):
            return self.c.act(self.c.act(self.c(x)))

    model = Outer()
    prepared = prepared_and_equal(model, modules_to_exclude=[model.c])
    assert type(model.c.act) is nn.SiLU
    assert [c.new for c in prepared.report.changes] == ["module_c_module_act_1 (CustomSiLU)"]


@pytest.mark.parametrize("training", [True, False])
def test_modes(training):
    model = Model().train(training)
    model.d.train(not training)
    before = state(model)
    prepared = prepare_model(model)
    assert state(model) == before
    assert not prepared.training
    assert prepared.c.module_relu.training is training
    assert prepared.d.module_relu_2.training is not training
    assert {m.training for m in prepared.seq.modules()} == {training}


def test_a_model_that_keeps_what_it_computes_is_left_as_it_was():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.cache = {}

        def forward(self, x):
            self.cache.setdefault("x", x + torch.ones(2))
            return self.cache["x"]

    model = Keeps()
    names = sorted(vars(model))
    assert torch.equal(prepare_model(model)(torch.ones(2)), torch.full((2,), 2.0))
    assert model.cache == {} and sorted(vars(model)) == names  # torch.fx adds _tensor_constant0
    assert len(prepare_model(model).report.changes) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"modules_to_exclude": nn.ReLU()},
            "modules_to_exclude must be a list of modules, got a ReLU module\n"
            "  try: modules_to_exclude=[...]",
        ),
        (
            {"module_classes_to_exclude": nn.ReLU},
            "module_classes_to_exclude must be a list of classes, got the class ReLU",
        ),
        (
            {"modules_to_exclude": ["relu"]},
            "modules_to_exclude must hold modules, got 'relu' (str)",
        ),
        (
            {"module_classes_to_exclude": [nn.ReLU()]},
            "module_classes_to_exclude must hold classes, got a ReLU module",
        ),
    ],
)
def test_what_cannot_be_excluded_is_refused(arguments, message):
    with pytest.raises(TypeError) as raised:
        prepare_model(Model(), **arguments)
    assert str(raised.value).startswith(f"prepare_model: {message}")


def test_a_module_of_another_model_is_warned_of():
    with pytest.warns(UserWarning, match="modules_to_exclude has a ReLU that is not in the model"):
        prepare_model(Model(), modules_to_exclude=[nn.ReLU()])


@pytest.mark.parametrize("model", [torch.relu, None, "x"])
def test_only_modules_can_be_prepared(model):
    with pytest.raises(TypeError, match=r"prepare_model: model must be a torch.nn.Module, got \w+"):
        prepare_model(model)
