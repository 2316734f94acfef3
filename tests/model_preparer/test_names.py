"""Names follow AIMET's rules exactly, also where two calls want the same one."""

from __future__ import annotations

import copy
import io

import torch
import torch.nn.functional as F
from torch import nn

from hlo_frontend.model_preparer import modules, prepare_model


def new(prepared) -> list[str]:
    return [change.new.partition(" ")[0] for change in prepared.report.changes]


def test_functions_are_beside_the_children_of_the_module_that_calls_them():
    class Block(nn.Module):
        def forward(self, x):
            return F.relu(x) + x

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Block(), Block()])

        def forward(self, x):
            x = x + 1
            for layer in self.layers:
                x = layer(x)
            return x * 2

    prepared = prepare_model(Model())
    assert new(prepared) == [
        *("module_add", "layers.0.module_relu", "layers.0.module_add_1"),
        *("layers.1.module_relu_1", "layers.1.module_add_2", "module_mul"),
    ]
    assert [n.name for n in prepared.graph.nodes if n.op == "call_module"] == [
        *("module_add", "layers_0_module_relu", "layers_0_module_add_1"),
        *("layers_1_module_relu_1", "layers_1_module_add_2", "module_mul"),
    ]
    assert type(prepared.layers) is type(prepared.layers.get_submodule("0")) is nn.Module


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()
        self.same = self.relu

    def forward(self, x):
        return self.same(self.relu(self.relu(x) - 1) - 1)


def test_later_calls_are_beside_the_module_under_the_suffix_of_their_node():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2), Reused()])

        def forward(self, x):
            return self.layers[1](self.layers[0](self.layers[0](x)))

    prepared = prepare_model(Model())
    assert new(prepared) == [
        *("layers.module_0_1", "layers.1.module_sub"),
        *("layers.1.module_relu_1", "layers.1.module_sub_1", "layers.1.module_relu_2"),
    ]


def test_a_name_that_a_reuse_and_a_function_want():
    """The later one moves to the top, under the name of a node called again, as in AIMET."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            x = F.relu(x - 1)
            x = self.relu(F.relu(x - 1))  # the second function: module_relu_1
            return self.relu(x - 1)  # the second call: module_relu_1 as well

    model = nn.Sequential(Block())
    prepared = prepare_model(model)
    assert [name for name in new(prepared) if "relu" in name] == [
        *("0.module_relu", "0.module_relu_1", "module__0_module_relu_2"),
    ]
    x = torch.rand(5) * 6
    assert torch.equal(prepared(x), model(x))


def test_a_clash_in_a_list_of_layers():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU6()

        def forward(self, x):
            return self.relu(F.relu(self.relu(F.relu(x)) - 1))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Block()])

        def forward(self, x):
            return self.layers[0](x)

    model = Model()
    prepared = prepare_model(model)
    assert new(prepared)[-1] == "module_layers_0_module_relu_2"
    kinds = {n: type(prepared.get_submodule(n)) for n in new(prepared)}
    assert kinds["layers.0.module_relu_1"] is nn.ReLU  # which the reference gives to the later one
    assert kinds["module_layers_0_module_relu_2"] is nn.ReLU6
    x = torch.randn(9) * 9
    assert torch.equal(prepared(x), model(x))


class Owner(nn.Module):
    """Has a child and a parameter with the names that functions want."""

    def __init__(self):
        super().__init__()
        self.module_add = nn.Linear(2, 2)
        self.module_mul = nn.Parameter(torch.rand(2))

    def forward(self, x):
        return self.module_add(x + 1) * self.module_mul


def test_a_users_attribute_keeps_its_name():
    model = Owner()
    prepared = prepare_model(model)
    assert prepared.module_add is model.module_add
    assert prepared.module_mul is model.module_mul
    assert new(prepared) == ["module_module_add_1", "module_module_mul_1"]
    x = torch.rand(3, 2)
    assert torch.equal(prepared(x), model(x))
    assert prepared.state_dict().keys() == model.state_dict().keys()


def test_an_attribute_that_is_not_used_does_not_count():
    class Model(Owner):
        def forward(self, x):
            return x + 1

    assert new(prepare_model(Model())) == ["module_add"]


def test_a_model_without_functions_has_the_same_weights_under_the_same_names():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), nn.Dropout())
    model.load_state_dict(prepare_model(model).state_dict(), strict=True)
    prepared = prepare_model(model)
    assert prepared.get_submodule("1.1") is model[1][1]
    assert not prepared.report.changes


def test_unused_members_are_dropped():
    model = Reused()
    model.unused, model.note = nn.Linear(2, 2), "a note"
    prepared = prepare_model(model)
    assert not hasattr(prepared, "unused") and not hasattr(prepared, "note")


def test_a_second_preparation_changes_nothing():
    prepared = prepare_model(Reused())
    again = prepare_model(prepared)
    assert again.code == prepared.code
    assert again.relu is prepared.relu
    assert again.report.changes == ()


def test_the_result_can_be_copied_and_saved():
    x = torch.randn(4)
    prepared = prepare_model(Reused())
    file = io.BytesIO()
    torch.save(prepared, file)
    file.seek(0)
    for other in (copy.deepcopy(prepared), torch.load(file, weights_only=False)):
        assert torch.equal(other(x), prepared(x))
        assert str(other.graph) == str(prepared.graph)
        assert other.report == prepared.report
        assert isinstance(other.module_sub, modules.Subtract)


def test_the_report_is_a_table():
    table = prepare_model(Reused()).report.table().splitlines()
    assert table[0].split() == ["node", "old", "new", "module"]
    assert table[2].split() == ["sub", "operator.sub", "module_sub", "(Subtract)"]
    assert table[3].split("  ")[0] == "relu_1"
    assert "relu, called again" in table[3] and "module_relu_1 (ReLU)" in table[3]


def test_a_models_own_report_keeps_its_name():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.report = nn.ReLU()

        def forward(self, x):
            return self.report(x) + 1

    model = Model()
    prepared = prepare_model(model)
    assert prepared.report is model.report
    assert len(prepared.meta["report"].changes) == 1


def test_the_class_has_the_models_name():
    assert type(prepare_model(Reused())).__name__ == "Reused"
