"""`torch_neuron.trace`: what it returns, for all that it may be given."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import torch_neuron
from tests.torch_neuron.models import Cut, Net, assert_close, operators, segments

X = torch.rand(2, 8)
ONE = "neuron::forward_v2_1"


def test_what_is_supported_is_one_segment():
    net = Net()
    traced = torch_neuron.trace(net, X)
    assert isinstance(traced, torch.jit.ScriptModule)
    assert operators(traced) == [ONE] and segments(traced) == ["_NeuronGraph#0"]
    held = getattr(traced, "_NeuronGraph#0").model
    assert "neuron.Model" in str(held._type())
    assert not list(traced.parameters())
    result = traced(X)
    assert_close(result, net(X))
    assert not result.requires_grad


def test_what_is_not_stays_on_the_cpu_between_segments(tmp_path):
    net = Cut()
    traced = torch_neuron.trace(net, X)
    assert operators(traced) == [ONE, "aten::cumsum", ONE, "aten::cumsum", ONE]
    assert segments(traced) == [f"_NeuronGraph#{n}" for n in range(3)]
    assert_close(traced(X), net(X))
    torch.jit.save(traced, tmp_path / "cut.pt")
    loaded = torch.jit.load(tmp_path / "cut.pt")
    assert torch.equal(loaded(X), traced(X))
    assert torch.equal(torch.jit.freeze(loaded.eval())(X), traced(X))
    assert torch.equal(copy.deepcopy(traced)(X), traced(X))


@pytest.mark.parametrize("single", [True, False])
def test_functions_and_methods(single):
    net, inputs = Net(), X if single else (X,)
    for func in (net.twice, net.forward, lambda x: net(x) + 1):
        assert_close(torch_neuron.trace(func, inputs)(X), func(X))


def test_lists_of_inputs_and_several_outputs():
    def func(x, y):
        return (x + y) * 2, [x - y], torch.relu(x).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch_neuron.trace(func, [X, X.T.contiguous().T * 2], strict=False)
    assert operators(traced) == ["neuron::forward_v2"]
    assert_close(traced(X, X * 2), func(X, X * 2))


def test_dicts_need_strict_to_be_off():
    class Named(nn.Module):
        def forward(self, x):
            return {"twice": x * 2 + x, "sum": torch.cumsum(x, 0)}

    with pytest.raises(RuntimeError, match="strict"):
        torch_neuron.trace(Named(), X)
    assert_close(torch_neuron.trace(Named(), X, strict=False)(X), Named()(X))


def test_other_keywords_go_to_torch():
    with pytest.raises(TypeError, match="compiler_workdirs"):
        torch_neuron.trace(Net(), X, compiler_workdirs="x")
    traced = torch_neuron.trace(Net(), None, example_kwarg_inputs={"x": X})
    assert_close(traced(X), Net()(X))


def test_a_model_that_is_not_traceable_raises_pytorchs_own_error():
    def func(x):
        return "text"

    with pytest.raises(RuntimeError) as here:
        torch_neuron.trace(func, X)
    with pytest.raises(RuntimeError) as there:
        torch.jit.trace(func, (X,))
    assert str(here.value).splitlines()[0] == str(there.value).splitlines()[0]

    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        torch_neuron.trace(fails, X)


def test_nothing_to_compile():
    with pytest.raises(RuntimeError, match="No operations were successfully partitioned"):
        torch_neuron.trace(lambda x: torch.cumsum(x, 0), X)
    with pytest.raises(RuntimeError, match="No operations were successfully partitioned"):
        torch_neuron.trace(torch.relu, X)  # one operator: too small a segment
    assert operators(torch_neuron.trace(torch.relu, X, minimum_segment_size=1)) == [ONE]


def test_the_traced_module_does_not_follow_the_model():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return torch.cumsum(self.linear(x) + 1, -1) * self.linear.bias

    net = Mixed()
    traced = torch_neuron.trace(net, X)
    expected = traced(X)
    with torch.no_grad():
        net.linear.bias.fill_(100)
    assert torch.equal(traced(X), expected)
    net.train(True)
    assert net.training and net.linear.weight.requires_grad


def test_updates_in_place_and_views_across_a_border():
    def func(x):
        x = x * 2 + 1
        x += 1
        y = x.view(-1)[4:12]
        y = torch.cumsum(y, 0)
        y.mul_(2)
        return torch.relu(y.view(2, 4)) + 1, x

    given = X.clone()
    traced = torch_neuron.trace(func, given)
    assert torch.equal(given, X)
    assert_close(traced(X), func(X))


def test_a_shared_module_and_a_constant_on_both_sides():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(8, 8)
            self.other = self.one
            self.scale = nn.Parameter(torch.rand(8))

        def forward(self, x):
            y = torch.cumsum(self.one(x) * self.scale, -1) * self.scale
            return torch.relu(self.other(y)) + self.scale

    net = Shared().eval()
    assert_close(torch_neuron.trace(net, X)(X), net(X))


def test_control_flow_of_scripted_parts():
    @torch.jit.script
    def halved(x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() > 1):
            x = x / 2
        return x

    def func(x):
        return torch.relu(halved(torch.relu(x) * 2)) * 2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch_neuron.trace(func, X, single_fusion_ratio_threshold=1.0)
    assert "prim::Loop" in {node.kind() for node in traced.inlined_graph.nodes()}
    for x in (X, X * 40):
        assert_close(traced(x), func(x))


def test_the_alias_and_its_modules():
    code = (
        "import torch_neuron, torch, torch.neuron\n"
        "import torch.neuron.experimental as e\n"
        "assert torch.neuron is torch_neuron\n"
        "assert e.set_neuron_cores is torch_neuron.experimental.set_neuron_cores\n"
        "import sys\n"
        "heavy = 'torch_xla jax hlo_frontend.capture hlo_frontend.partition neff.compile'\n"
        "print([m for m in heavy.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_result_of_another_process_runs_here(tmp_path):
    torch.jit.save(torch_neuron.trace(Cut(), X), tmp_path / "m.pt")
    code = (
        "import sys, torch, torch_neuron\n"
        "model = torch.jit.load(sys.argv[1])\n"
        "torch.save(model(torch.ones(2, 8)), sys.argv[2])\n"
        "assert 'torch_xla' not in sys.modules and 'neff.compile' not in sys.modules"
    )
    out = tmp_path / "y.pt"
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.pt", out], check=True)
    assert_close(torch.load(out), Cut()(torch.ones(2, 8)))


@pytest.mark.parametrize("inputs", [None, 3, "x"])
def test_inputs_that_are_wrong(inputs):
    message = (
        f"example_inputs must be a tensor or a tuple of arguments, got {type(inputs).__name__}"
    )
    with pytest.raises(TypeError, match=message):
        torch_neuron.trace(Net(), inputs)
