"""A prepared model is traced for Neuron, and its modules' names are seen in every tool."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torch_neuronx
from hlo_frontend.__main__ import main
from hlo_frontend.model_preparer import prepare_model


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return self.relu(F.softmax(self.relu(self.conv(x)), 1) + x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 4, 3), nn.SiLU()
        self.layer, self.fc = nn.Sequential(Block(), Block()), nn.Linear(4, 2)

    def forward(self, x):
        x = self.layer(self.act(self.stem(x)))
        return self.fc(x.mean((2, 3)))


LAYERS = (
    *("stem", "act.sigmoid", "act.mul", "layer.0.module_softmax", "layer.0.module_add"),
    *("layer.0.module_relu_1", "layer.1.module_softmax_1", "layer.1.module_relu_1"),
    *("module_mean", "fc"),
)


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    model, x = Model().eval(), torch.rand(2, 3, 8, 8)
    prepared = prepare_model(model)
    trace = torch_neuronx.trace(prepared, x, compiler_workdir=str(folder))
    return model, prepared, trace, x, folder


def test_the_numbers_are_those_of_the_model(traced):
    model, _, trace, x, _ = traced
    assert torch.equal(trace(x), torch_neuronx.trace(model, x)(x))
    torch.testing.assert_close(trace(x), model(x))


def test_names_are_layers_of_the_hlo(traced):
    _, prepared, _, _, folder = traced
    text = (folder / "graph.hlo.txt").read_text()
    assert all(f'op_name="{layer}/' in text for layer in LAYERS)
    assert all(prepared.get_submodule(layer) for layer in LAYERS)
    assert text.startswith("HloModule Model")


def test_names_are_shown(traced, capsys):
    """A layer of one instruction is not folded: its instruction is listed where it is asked for."""
    file = str(traced[-1] / "graph.hlo")
    assert main(["show", file, "--depth", "3"]) == 0
    shown = capsys.readouterr().out
    assert all(f"▸ {layer} " in shown for layer in LAYERS if not layer.startswith("act"))
    for layer, operation in (("act.sigmoid", "logistic("), ("act.mul", "multiply(")):
        assert main(["show", file, "--layer", layer]) == 0
        assert operation in capsys.readouterr().out


def test_names_are_layers_of_the_accuracy_report(traced):
    _, prepared, _, x, _ = traced
    report = torch_neuronx.accuracy_report(prepared, (x,), settings=["--auto-cast=all"])
    [setting] = report.settings
    assert set(LAYERS) <= {layer.layer for layer in setting.layers}
