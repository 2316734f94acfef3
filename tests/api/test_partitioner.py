"""`torch_neuronx.trace(partitioner_config=)`: parameters, errors, log lines, what comes out."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import torch_neuronx
from neff.errors import CompileError, OptionError
from torch_neuronx import PartitionerConfig
from torch_neuronx.xla_impl.build import trace_model
from torch_neuronx.xla_impl.operator_check import check

analyze = sys.modules["torch_neuronx.xla_impl.analyze"]  # the package has a function of that name

ANY = {"model_support_percentage_threshold": 0}


class MLP(nn.Module):
    """The example of the documents, with an operator that is not supported here, and smaller."""

    def __init__(self, inner=False):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16, 12), nn.Linear(12, 8), nn.Linear(8, 4)
        self.relu = nn.ReLU()
        self.inner = inner

    def forward(self, x):
        r1 = self.relu(self.fc1(x))
        if self.inner:
            r1 = unsupported(r1)
        r2 = self.relu(self.fc2(r1))
        out = torch.log_softmax(self.fc3(r2), dim=1)
        return out if self.inner else unsupported(out)


def unsupported(x):
    return torch.special.i0(x)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MLP().eval()


@pytest.fixture(scope="module")
def inner():
    torch.manual_seed(0)
    return MLP(inner=True).eval()


@pytest.fixture(autouse=True)
def checked_in_this_process(monkeypatch):
    """Starting the processes that check operators takes long; `partitioned` does."""

    def check_all(jobs, max_workers):
        return [check(job, Path(job["file"]) if job["file"] else None) for job in jobs]

    monkeypatch.setattr(analyze, "check_all", check_all)


@pytest.fixture(scope="module")
def partitioned(inner):
    return torch_neuronx.trace(inner, torch.rand(4, 16), partitioner_config=PartitionerConfig())


def close(actual, expected):
    torch.testing.assert_close(actual, expected.detach(), rtol=1e-4, atol=1e-5)


def test_documented_parameters():
    parameters = inspect.signature(PartitionerConfig).parameters.values()
    assert {p.name: p.default for p in parameters} == {
        "trace_kwargs": None,
        "model_support_percentage_threshold": 0.5,
        "min_subgraph_size": -1,
        "max_subgraph_count": -1,
        "ops_to_partition": None,
        "analyze_parameters": None,
    }
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"model_support_percentage_threshold": 1.5}, "a number from 0 to 1, got 1.5"),
        ({"model_support_percentage_threshold": True}, "a number from 0 to 1, got True"),
        ({"min_subgraph_size": 0}, "min_subgraph_size must be -1 or at least 1, got 0"),
        ({"max_subgraph_count": -2}, "max_subgraph_count must be -1 or at least 1, got -2"),
        ({"max_subgraph_count": 2.0}, "max_subgraph_count must be -1 or at least 1, got 2.0"),
        ({"ops_to_partition": {"sort"}}, "names of operators such as 'aten::sort', got 'sort'"),
        ({"ops_to_partition": {7}}, "names of operators such as 'aten::sort', got 7"),
        ({"trace_kwargs": {"func": 1}}, "trace_kwargs may have compiler_args, .*, got 'func'"),
        ({"analyze_parameters": {"cleanup": 1}}, "analyze_parameters may have .*, got 'cleanup'"),
    ],
)
def test_values_that_cannot_be_right(keywords, message):
    with pytest.raises(ValueError, match=message):
        PartitionerConfig(**keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"ops_to_partition": ["aten::sort"]}, "ops_to_partition must be a set, got list"),
        ({"trace_kwargs": "-O1"}, "trace_kwargs must be a dict, got str"),
    ],
)
def test_types_that_cannot_be_right(keywords, message):
    with pytest.raises(TypeError, match=message):
        PartitionerConfig(**keywords)


def test_a_config_must_be_one(model):
    with pytest.raises(TypeError, match="must be a PartitionerConfig, got dict"):
        torch_neuronx.trace(model, torch.rand(4, 16), partitioner_config={})


def test_documented_log(model, caplog):
    caplog.set_level(logging.INFO, "Neuron")
    config = PartitionerConfig(
        model_support_percentage_threshold=0.8, ops_to_partition={"aten::log_softmax"}
    )
    x = torch.rand(4, 16)
    trace = torch_neuronx.trace(model, x, partitioner_config=config)
    close(trace(x), model(x))
    own = [r for r in caplog.records if "record" not in r.__dict__ and "analyze:" not in r.msg]
    lines = [r.getMessage() for r in own]
    line = unsupported.__code__.co_firstlineno + 1
    assert lines[5].startswith(f"aten::i0, {__file__}({line}): unsupported\n")
    assert lines[:5] + lines[6:] == [
        "The following operations are currently supported:",
        "aten::linear",
        "aten::relu",
        "aten::log_softmax",
        "The following operations are currently not supported:",
        "85.71% of arithmetic operations (6 of 7) are supported",
        "Num Partitions: 2",
        "Creating Partition #1 for device: Device.NEURON",
        "The following operators will be included in this partition:",
        "prim::GetAttr:9",
        "aten::linear:3",
        "aten::relu:2",
        "Creating Partition #2 for device: Device.CPU",
        "The following operators will be included in this partition:",
        "prim::Constant:2",
        "aten::log_softmax:1",
        "aten::i0:1",
    ]


def test_what_comes_out(partitioned, inner):
    assert isinstance(partitioned, torch.jit.ScriptModule)
    parts = ["_NeuronGraph#0", "_NeuronGraph#1"]
    assert [name for name, _ in partitioned.named_children()] == parts
    kinds = [n.kind() for n in partitioned.inlined_graph.nodes()]
    assert kinds.count("neuron::forward_v2_1") == 2
    assert [k for k in kinds if k.startswith("aten::")] == ["aten::i0"]
    x = torch.rand(4, 16)
    close(partitioned(x), inner(x))
    with pytest.raises(RuntimeError, match=r"\[3, 16\]"):
        partitioned(x[:3])


def test_save_load_and_placement(partitioned, inner, tmp_path):
    torch.jit.save(partitioned, tmp_path / "parts.pt")
    x = torch.rand(4, 16)
    with torch_neuronx.neuron_cores_context(1):
        loaded = torch.jit.load(tmp_path / "parts.pt")
    assert torch_neuronx.neuron_cores(loaded) == [[1], [1]]
    close(loaded(x), inner(x))
    torch_neuronx.set_neuron_cores(loaded, 0, 2)
    assert torch_neuronx.neuron_cores(loaded) == [[0, 1], [0, 1]]
    torch_neuronx.set_multicore(loaded)
    torch_neuronx.move_trace_to_device(loaded, 0)
    assert torch_neuronx.neuron_cores(loaded) == [[0], [0]]
    close(loaded(x), inner(x))
    torch_neuronx.lazy_load(loaded)
    torch.jit.save(loaded, tmp_path / "lazy.pt")
    lazy = torch.jit.load(tmp_path / "lazy.pt")
    assert torch_neuronx.neuron_cores(lazy) == [[], []]
    close(lazy(x), inner(x))


def test_dynamic_batches_where_all_borders_have_the_batch(inner):
    trace = torch_neuronx.trace(inner, torch.rand(2, 16), partitioner_config=PartitionerConfig())
    batched = torch_neuronx.dynamic_batch(trace)
    for batch in (1, 2, 5):
        x = torch.rand(batch, 16)
        close(batched(x), inner(x))
    parallel = torch_neuronx.DataParallel(trace)
    x = torch.rand(6, 16)
    close(parallel(x), inner(x))


def test_too_little_support(inner):
    config = PartitionerConfig(model_support_percentage_threshold=0.9)
    message = r"85.71% \(6 of 7\) .* below .* threshold of 90.00%. Not supported: aten::i0"
    with pytest.raises(ValueError, match=message):
        torch_neuronx.trace(inner, torch.rand(4, 16), partitioner_config=config)


def test_too_many_and_too_small_subgraphs(inner):
    x = torch.rand(4, 16)
    message = (
        "^The partitioner has found 3 subgraphs which exceeds the specified max subgraph count "
        r"of 2\.$"
    )
    with pytest.raises(ValueError, match=message):
        torch_neuronx.trace(inner, x, partitioner_config=PartitionerConfig(max_subgraph_count=2))
    message = "a subgraph of size 1 which is below the specified min subgraph size of 2"
    with pytest.raises(ValueError, match=message):
        torch_neuronx.trace(inner, x, partitioner_config=PartitionerConfig(min_subgraph_size=2))
    config = PartitionerConfig(max_subgraph_count=3, min_subgraph_size=1)
    close(torch_neuronx.trace(inner, x, partitioner_config=config)(x), inner(x))


def test_keywords_reach_every_subgraph(inner, tmp_path):
    x = torch.rand(4, 16)
    config = PartitionerConfig(
        trace_kwargs={"compiler_args": "--auto-cast=all", "inline_weights_to_neff": False},
        analyze_parameters={"compiler_workdir": str(tmp_path / "operators"), "max_workers": 1},
    )
    trace = torch_neuronx.trace(
        inner, x, compiler_workdir=str(tmp_path / "work"), partitioner_config=config
    )
    for number in (1, 3):
        folder = tmp_path / "work" / f"partition_{number}"
        assert "--auto-cast=all" in (folder / "command.txt").read_text()
        assert (folder / "graph.neff").exists()
    assert not (tmp_path / "work" / "partition_2").exists()
    assert list((tmp_path / "operators").glob("*aten_linear.hlo.pb"))
    names = [name for name, _ in trace.named_parameters()]
    assert "_NeuronGraph#1.weights.fc2->weight" in names
    exact = inner(x).detach()
    assert 0 < (trace(x) - exact).abs().max() < 0.1  # cast to bf16

    with pytest.raises(ValueError, match="compiler_args must be given once"):
        torch_neuronx.trace(inner, x, compiler_args="-O1", partitioner_config=config)
    config = PartitionerConfig(trace_kwargs={"compiler_args": ["--nonsense"]})
    with pytest.raises(OptionError):
        torch_neuronx.trace(inner, x, partitioner_config=config)


def test_a_work_directory_that_cannot_be_written_to(inner, tmp_path):
    (tmp_path / "file").write_text("")
    config = PartitionerConfig(trace_kwargs={"compiler_workdir": str(tmp_path / "file")})
    with pytest.raises(OSError, match="compiler_workdir must be a directory") as caught:
        torch_neuronx.trace(inner, torch.rand(4, 16), partitioner_config=config)
    assert any("in Partition #1" in note for note in caught.value.__notes__)


def test_ignored_operators_are_not_checked(inner):
    config = PartitionerConfig(
        analyze_parameters={"additional_ignored_ops": {"aten::i0", "aten::relu"}}
    )
    with pytest.raises(Exception, match="i0") as caught:
        torch_neuronx.trace(inner, torch.rand(4, 16), partitioner_config=config)
    assert any("in Partition #1 for device: Device.NEURON" in n for n in caught.value.__notes__)


def test_a_compile_that_fails_in_one_subgraph(inner, monkeypatch):
    def failing(func, example_inputs, **keywords):
        if example_inputs[0].shape == (4, 12):
            raise CompileError("[NCC_TEST] no")
        return trace_model(func, example_inputs, **keywords)

    monkeypatch.setattr("torch_neuronx.xla_impl.partition.trace_model", failing)
    with pytest.raises(CompileError, match=r"\[NCC_TEST\] no") as caught:
        torch_neuronx.trace(inner, torch.rand(4, 16), partitioner_config=PartitionerConfig())
    assert any("in Partition #3" in note for note in caught.value.__notes__)


def test_states_are_refused(model):
    with pytest.raises(ValueError, match="input_output_aliases must not be given with"):
        torch_neuronx.trace(
            model,
            torch.rand(4, 16),
            input_output_aliases={model.fc1.weight: 0},
            partitioner_config=PartitionerConfig(),
        )


def test_fully_supported_models_are_one_subgraph(caplog):
    caplog.set_level(logging.INFO, "Neuron")
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.rand(2, 5, 16)
    trace = torch_neuronx.trace(layer, x, partitioner_config=PartitionerConfig())
    assert "Num Partitions: 1" in caplog.messages
    assert len(torch_neuronx.neuron_cores(trace)) == 1
    close(trace(x), layer(x))


def test_nothing_supported():
    config = PartitionerConfig(**ANY)
    trace = torch_neuronx.trace(unsupported, torch.rand(3), partitioner_config=config)
    assert torch_neuronx.neuron_cores(trace) == []
    assert torch.equal(trace(torch.ones(3)), unsupported(torch.ones(3)))
    with pytest.raises(ValueError, match=r"0.00% \(0 of 1\)"):
        torch_neuronx.trace(unsupported, torch.rand(3), partitioner_config=PartitionerConfig())


def test_control_flow_and_results_of_data(caplog):
    @torch.jit.script
    def doubled(x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() < 100.0):
            x = x * 2
        return x

    def program(x):
        y = doubled(torch.sin(x) + 2)
        return torch.cos(y) * 2, y.nonzero()

    config = PartitionerConfig(**ANY)
    trace = torch_neuronx.trace(program, torch.rand(3), partitioner_config=config)
    for x in (torch.rand(3), torch.rand(3) * 100):
        actual, expected = trace(x), program(x)
        close(actual[0], expected[0])
        assert torch.equal(actual[1], expected[1])


def test_untraceable_models_raise_what_torch_raises():
    def returns_a_set(x):
        return {x}

    x = torch.ones(3)
    with pytest.raises(RuntimeError) as ours:
        torch_neuronx.trace(returns_a_set, x, partitioner_config=PartitionerConfig())
    with pytest.raises(RuntimeError) as theirs:
        torch.jit.trace(returns_a_set, x, strict=False, check_trace=False)
    assert str(ours.value) == str(theirs.value)
