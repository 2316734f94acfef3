"""Weights beside the NEFF, and new ones for them."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from torch import nn

import torch_neuronx


class Network(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        self.layers[1].running_mean.uniform_()
        self.register_buffer("scale", torch.rand(4), persistent=False)
        self.unused = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) * self.scale


@pytest.fixture
def first() -> Network:
    return Network(1).eval()


@pytest.fixture
def second(first: Network) -> Network:
    network = Network(2).eval()
    network.scale.copy_(first.scale)
    return network


@pytest.fixture
def traced(first: Network) -> torch.jit.ScriptModule:
    return torch_neuronx.trace(first, torch.rand(2, 4), inline_weights_to_neff=False)


def assert_same(model: nn.Module, expected: nn.Module) -> None:
    x = torch.rand(2, 4)
    torch.testing.assert_close(model(x), expected(x).detach())


def test_the_code_lists_the_weights_by_their_path(traced):
    (listed,) = re.findall(r"__parameters__ = \[(.*)\]", traced.weights._c.code)
    names = [name.strip('", ') for name in listed.split(",") if name.strip()]
    assert {"layers->0->weight", "layers->0->bias", "layers->2->weight"} <= set(names)
    assert not any("unused" in name for name in names)


def test_weights_of_a_module_or_of_a_state_dict(traced, first, second, tmp_path):
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    with pytest.warns(UserWarning, match="no weight for scale: the model keeps its own"):
        assert torch_neuronx.replace_weights(traced, second.state_dict()) is None
    assert_same(traced, second)
    torch_neuronx.replace_weights(traced, first)
    assert_same(traced, first)
    torch_neuronx.replace_weights(traced, second)
    torch.jit.save(traced, tmp_path / "second.pt")
    loaded = torch.jit.load(tmp_path / "second.pt")
    assert_same(loaded, second)
    torch_neuronx.move_trace_to_device(loaded, 0)
    torch_neuronx.replace_weights(loaded, {**first.state_dict(), "scale": first.scale})
    assert_same(loaded, first)
    torch.testing.assert_close(dict(first.state_dict()), before)


def test_a_module_gives_what_no_state_dict_holds(traced, second):
    second.scale.fill_(7)
    torch_neuronx.replace_weights(traced, second)
    assert_same(traced, second)


def test_weights_in_the_neff_warn_and_stay(first, second):
    traced = torch_neuronx.trace(first, torch.rand(2, 4))
    with pytest.warns(UserWarning, match="weights are in its NEFF .* inline_weights_to_neff=False"):
        torch_neuronx.replace_weights(traced, second)
    assert_same(traced, first)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda w: w.clear(), KeyError, "no weight for layers.0.bias, layers.0.weight, .*, scale"),
        (
            lambda w: w.update({"layers.2.weight": torch.ones(4, 5)}),
            ValueError,
            r"layers.2.weight must be torch.float32 \[4, 4\], got torch.float32 \[4, 5\]",
        ),
        (
            lambda w: w.update({"layers.2.bias": torch.ones(4).double()}),
            ValueError,
            r"layers.2.bias must be torch.float32 \[4\], got torch.float64 \[4\]",
        ),
    ],
    ids=["missing", "another shape", "another type"],
)
def test_weights_that_do_not_fit_replace_nothing(traced, first, second, change, error, message):
    weights = {**second.state_dict(), "scale": second.scale}
    change(weights)
    with pytest.raises(error, match=message):
        torch_neuronx.replace_weights(traced, weights)
    assert_same(traced, first)


def test_names_that_the_trace_does_not_use_are_passed_over(traced, second):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        others = {"scale": second.scale, "other": torch.ones(1)}
        torch_neuronx.replace_weights(traced, {**second.state_dict(), **others})
    assert_same(traced, second)


def test_a_module_that_lacks_a_weight_is_refused(traced, first):
    with pytest.raises(KeyError, match=r"no weight for layers.0.bias, layers.0.weight"):
        torch_neuronx.replace_weights(traced, nn.Linear(4, 4))
    other = Network(3)
    other.layers[2].bias = None
    with pytest.raises(KeyError, match=r"no weight for layers.2.bias"):
        torch_neuronx.replace_weights(traced, other)
    assert_same(traced, first)


@pytest.mark.parametrize(
    ("kind", "target"),
    [("inf2.xlarge", "inf2"), ("trn1n.32xlarge", "trn1"), ("trn2u.48xlarge", "trn2")],
)
def test_the_platform_is_that_of_the_instance_type(kind, target, monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", kind)
    assert torch_neuronx.utils.get_platform_target() == target


def test_results_are_compared():
    torch_neuronx.testing.assert_close({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-7})
    torch_neuronx.testing.assert_close(torch.ones(2), torch.ones(2) + 0.1, rtol=0.2, atol=0)
    with pytest.raises(AssertionError, match="not close"):
        torch_neuronx.testing.assert_close(torch.ones(2), torch.ones(2) + 0.1)
