"""`torch_neuronx.analyze`: the documented result, and what each operator is checked for."""

from __future__ import annotations

import inspect
import json
import logging

import pytest
import torch
from torch import nn

import neuronxcc.version
import torch_neuronx
from hlo_frontend.hlo.proto import read_module
from torch_neuronx.xla_impl import operator_check
from torch_neuronx.xla_impl.operator_check import check, describe
from torch_neuronx.xla_impl.operators import operators_of


class MLP(nn.Module):
    """The example of the documents, with the layer that its text leaves out."""

    def __init__(self, input_size=28 * 28, output_size=10, layers=(120, 84)):
        super().__init__()
        self.fc1 = nn.Linear(input_size, layers[0])
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(layers[0], layers[1])
        self.fc3 = nn.Linear(layers[1], output_size)

    def forward(self, x):
        f1 = self.fc1(x)
        r1 = self.relu(f1)
        f2 = self.fc2(r1)
        r2 = self.relu(f2)
        f3 = self.fc3(r2)
        return torch.log_softmax(f3, dim=1)


def mixed(x, k):
    y = torch.fft.fft(x).real
    best, _ = torch.topk(k, 2)
    rows = y.view(y.size(0), -1)
    return rows.relu(), best, [torch.cat([rows, rows], 1)]


def checked(func, *inputs):
    """The kind of each operator, and where it fails, checked in this process."""
    calls = operators_of(func, inputs)
    return [(c.kind, check(json.loads(json.dumps(describe(c))), None)[0]) for c in calls]


def test_documented_signature():
    parameters = inspect.signature(torch_neuronx.analyze).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == {
        "compiler_workdir": None,
        "additional_ignored_ops": set(),
        "max_workers": 4,
        "is_hf_transformers": False,
        "cleanup": False,
    }
    assert [p.name for p in parameters][:2] == ["func", "example_inputs"]


def test_documented_example_of_a_supported_model(tmp_path):
    support = torch_neuronx.analyze(MLP(), torch.rand([32, 784]), compiler_workdir=str(tmp_path))
    assert support == {
        "torch_neuronx_version": torch_neuronx.__version__,
        "neuronx_cc_version": neuronxcc.version.__version__,
        "support_percentage": "100.00%",
        "supported_operators": {"aten::linear": 3, "aten::relu": 2, "aten::log_softmax": 1},
        "unsupported_operators": [],
    }
    assert list(support) == [
        "torch_neuronx_version",
        "neuronx_cc_version",
        "support_percentage",
        "supported_operators",
        "unsupported_operators",
    ]
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [
        "0001-aten_linear.hlo.pb",
        "0002-aten_relu.hlo.pb",
        "0003-aten_linear.hlo.pb",
        "0004-aten_relu.hlo.pb",
        "0005-aten_linear.hlo.pb",
        "0006-aten_log_softmax.hlo.pb",
    ]
    module = read_module((tmp_path / files[0]).read_bytes())
    assert [str(s) for s in module.entry.signature[0]] == [
        "f32[32,784]",
        "f32[120,784]",
        "f32[120]",
    ]


def test_unsupported_operators_and_a_crash(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "Neuron")
    real = operator_check.describe

    def crashing(call):
        job = real(call)
        return job | {"arguments": 7} if call.kind == "aten::cat" else job  # the worker ends

    monkeypatch.setattr(operator_check, "describe", crashing)
    k = torch.arange(9)
    support = torch_neuronx.analyze(
        mixed, (torch.rand(2, 4), k), additional_ignored_ops={"aten::view"}, cleanup=True
    )
    assert support["supported_operators"] == {"aten::real": 1, "aten::relu": 1}
    assert support["support_percentage"] == "40.00%"
    failed = {u["kind"]: u for u in support["unsupported_operators"]}
    assert {kind: u["failureAt"] for kind, u in failed.items()} == {
        "aten::fft_fft": "Lowering to HLO",
        "aten::topk": "neuronx-cc",
        "aten::cat": "Lowering to HLO",
    }
    assert "aten::cat fails at Lowering to HLO: the process that checked it ended" in caplog.text
    assert "aten::topk fails at neuronx-cc: [NCC_EVRF013] TopK does not support" in caplog.text
    first = failed["aten::fft_fft"]
    assert list(first) == ["kind", "failureAt", "call", "opGraph"]
    line = mixed.__code__.co_firstlineno + 1
    assert first["call"].startswith(f"{__file__}({line}): mixed\n")
    assert first["opGraph"].startswith(
        "graph(%x : Float(2, 4, strides=[4, 1], requires_grad=0, device=cpu),\n      %neuron_"
    )
    assert " = aten::fft_fft(%x, %neuron_" in first["opGraph"]
    assert json.loads(json.dumps(support)) == support


def test_arguments_are_those_of_the_model():
    weight = torch.rand(6, 3)

    def func(x, flags):
        table = torch.arange(6).reshape(2, 3)
        picked = nn.functional.embedding(table, weight)
        moved = x.to(torch.float16).add_(1).half()
        return picked, moved.expand(2, -1), x.masked_fill(flags, float("-inf"))

    found = checked(func, torch.rand(4), torch.ones(4, dtype=torch.bool))
    assert {failure for _, failure in found} == {""}
    assert {"aten::arange", "aten::embedding", "aten::add_", "aten::masked_fill"} <= {
        kind for kind, _ in found
    }


def test_values_the_inputs_decide_are_not_taken_for_known():
    def from_input(x, n):
        return x.repeat_interleave(n)

    def from_constant(x):
        return x.repeat_interleave(torch.tensor([1, 2]))

    x, n = torch.rand(2), torch.tensor([1, 2])
    assert ("aten::repeat_interleave", "Lowering to HLO") in checked(from_input, x, n)
    assert ("aten::repeat_interleave", "") in checked(from_constant, x)


def test_whatever_can_be_traced_can_be_analyzed():
    x, layer = torch.rand(2, 3), nn.Linear(3, 3)

    def nested(given, pair):
        return {"a": layer(given["x"]).relu(), "b": [pair[0] + 1, None]}

    expected = [("aten::linear", ""), ("aten::relu", ""), ("aten::add", "")]
    assert checked(nested, {"x": x}, (x, x)) == expected
    assert checked(layer.forward, x) == expected[:1]
    assert checked(torch.jit.script(nn.Sequential(layer, nn.ReLU())), x) == expected[:2]
    assert checked(torch.jit.trace(layer, x), x) == expected[:1]


def test_attention_is_analyzed_as_it_is_traced():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
    found = checked(layer, torch.rand(1, 5, 4))
    assert ("aten::softmax", "") in found or ("aten::scaled_dot_product_attention", "") in found
    assert {failure for _, failure in found} == {""}
    assert torch.backends.mha.get_fastpath_enabled()


def test_control_flow_of_scripted_code_is_followed():
    @torch.jit.script
    def scripted(x: torch.Tensor, n: int):
        for i in range(n):
            if i > 0:  # noqa: SIM108 - a branch is what is tested
                x = torch.sin(x)
            else:
                x = torch.cos(x)
        return x

    kinds = [kind for kind, _ in checked(lambda x: scripted(x, 3), torch.rand(2))]
    assert kinds == ["aten::cos", "aten::sin", "aten::sin"]


def test_the_model_and_the_random_state_stay_as_they_were():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    state, before = torch.get_rng_state(), [p.clone() for p in model.parameters()]
    operators_of(model, (torch.rand(1, 2, generator=torch.Generator()),))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_max_workers_must_be_a_count(workers):
    with pytest.raises(ValueError, match="max_workers must be at least 1, got"):
        torch_neuronx.analyze(MLP(), torch.rand(1, 784), max_workers=workers)


def test_func_must_be_callable():
    with pytest.raises(TypeError, match="func must be callable, got int"):
        torch_neuronx.analyze(3, torch.rand(1))
