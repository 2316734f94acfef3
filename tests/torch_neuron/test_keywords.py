"""The keywords of `torch_neuron.trace`, and what it answers to wrong ones."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest
import torch

import torch_neuron
from hlo_frontend.hlo.proto import read_module
from neff.container import read_neff
from neff.errors import OptionError, RefusedError
from tests.api.machines import instance
from tests.torch_neuron.models import Cut, Net, assert_close, operators, segments
from torch_neuronx import neuron_cores

X = torch.rand(2, 8)
ONE = "neuron::forward_v2_1"


def header(traced: torch.jit.ScriptModule, number: int = 0):
    model = getattr(traced, f"_NeuronGraph#{number}").model
    return read_neff(model.neff().numpy())


def test_f32_is_bf16_unless_fast_math_is_off():
    def func(x):
        return (x + 1) * 3

    fast = torch_neuron.trace(func, X)(X)
    exact = torch_neuron.trace(func, X, compiler_args=["--fast-math", "none"])(X)
    half = torch_neuron.trace(func, X, compiler_args="--fast-math fp32-cast-all-fp16")(X)
    assert torch.equal(exact, func(X))
    bf16 = ((X.bfloat16() + 1) * 3).float()
    assert torch.equal(fast, bf16) and not torch.equal(fast, func(X))
    assert torch.equal(half, ((X.half() + 1) * 3).float())


def test_options_apply_to_every_segment():
    with instance("inf1.xlarge"):
        traced = torch_neuron.trace(Cut(), X, compiler_args=["--neuroncore-pipeline-cores", "2"])
        assert [header(traced, n).header.num_tpb for n in range(3)] == [2, 2, 2]
        assert neuron_cores(traced) == [[0, 1], [2, 3], [0, 1]]
        torch_neuron.experimental.set_neuron_cores(traced, 2)
        assert neuron_cores(traced) == [[2, 3]] * 3
        assert_close(traced(X), Cut()(X))
    assert header(traced).program.target == "inf1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--neuroncore-pipeline-cores", "no"], "from 1 to 64, got 'no'"),
        (["--target", "inf2"], "unknown compiler option '--target'"),
        (["--fast-math", "some"], "must be one of all, none"),
        (7, "must be a string or a list of them, got 7"),
    ],
)
def test_options_that_are_wrong(arguments, message):
    with pytest.raises(OptionError, match=message):
        torch_neuron.trace(Net(), X, compiler_args=arguments)


def test_a_compile_that_takes_too_long_is_ended():
    with pytest.raises(subprocess.TimeoutExpired):
        torch_neuron.trace(Net(), X, compiler_timeout=0.01)


def test_a_compile_in_a_child_gives_the_same():
    here = torch_neuron.trace(Net(), X)
    there = torch_neuron.trace(Net(), X, compiler_timeout=120)
    assert header(here).header.digest == header(there).header.digest
    assert torch.equal(here(X), there(X))


def test_the_work_directory_has_a_folder_for_each_segment(tmp_path):
    workdir = tmp_path / "deep" / "work"
    torch_neuron.trace(Cut(), X, compiler_workdir=str(workdir), compiler_args="--fast-math none")
    assert sorted(p.name for p in workdir.iterdir() if p.is_dir()) == ["0", "1", "2"]
    folder = workdir / "1"
    assert read_neff((folder / "graph_def.neff").read_bytes()).program.target == "inf1"
    assert read_module((folder / "graph_def.hlo").read_bytes()).entry.instructions
    assert (folder / "graph_def.neuron-cc.log").read_text().startswith("neuron emulator")
    assert (folder / "metaneff.pb").stat().st_size
    command = (folder / "command.txt").read_text()
    assert command.startswith("neuron-cc compile ") and command.endswith("--fast-math none\n")


def test_a_work_directory_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"torch_neuron.trace: compiler_workdir must be") as raised:
        torch_neuron.trace(Net(), X, compiler_workdir=str(tmp_path / "file"))
    assert raised.value.errno == errno.EEXIST
    missing = Path("/proc/nowhere")
    with pytest.raises(OSError, match=r"torch_neuron.trace: compiler_workdir must be"):
        torch_neuron.trace(Net(), X, compiler_workdir=str(missing))


def test_the_builder_sees_the_node():
    seen = []

    def builder(node):
        seen.append((node.name, node.kind(), len(list(node.inputs()))))
        return node.kind() != "aten::softmax"

    traced = torch_neuron.trace(Net(), X, subgraph_builder_function=builder)
    assert operators(traced) == [ONE, "aten::softmax"]
    assert [(name, kind) for name, kind, _ in seen] == [
        (("Net", "Linear"), "aten::linear"),
        (("Net",), "aten::relu"),
        (("Net", "Linear"), "aten::linear"),
        (("Net",), "aten::softmax"),
    ]
    assert seen[0][2] == 3


def test_a_builder_that_raises():
    def builder(node):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as raised:
        torch_neuron.trace(Net(), X, subgraph_builder_function=builder)
    assert "was asked about aten::linear at " in raised.value.__notes__[0]


@pytest.mark.parametrize("answer", [None, 1, "yes"])
def test_a_builder_that_returns_no_bool(answer):
    message = f"subgraph_builder_function must return a bool, got {answer!r} for aten::linear at "
    with pytest.raises(TypeError, match=message):
        torch_neuron.trace(Net(), X, subgraph_builder_function=lambda node: answer)


def test_small_segments_stay_on_the_cpu():
    def func(x):
        return torch.relu(torch.cumsum(torch.relu(x * 2 + 1), 0)) * 2

    traced = torch_neuron.trace(func, X, single_fusion_ratio_threshold=1.0)
    assert operators(traced) == [ONE, "aten::cumsum", ONE]
    traced = torch_neuron.trace(func, X, minimum_segment_size=3)
    assert operators(traced) == [ONE, "aten::cumsum", "aten::relu", "aten::mul"]
    assert_close(traced(X), func(X))


def test_one_large_segment_stands_alone():
    def func(x):
        y = torch.relu(x * 2 + 1)  # 3 of 5 operators
        return torch.relu(torch.cumsum(y, 0)) * 2

    assert len(segments(torch_neuron.trace(func, X))) == 2
    alone = torch_neuron.trace(func, X, single_fusion_ratio_threshold=0.59)
    assert operators(alone) == [ONE, "aten::cumsum", "aten::relu", "aten::mul"]


@pytest.mark.parametrize(
    ("keyword", "value", "error", "message"),
    [
        ("minimum_segment_size", -1, ValueError, "must be at least 0, got -1"),
        ("minimum_segment_size", 2.0, TypeError, "must be a number of operators, got 2.0"),
        ("single_fusion_ratio_threshold", 1.1, ValueError, "must be from 0 to 1, got 1.1"),
        ("single_fusion_ratio_threshold", "1", TypeError, "must be a fraction, got '1'"),
        ("fallback", 0, TypeError, "must be a bool, got 0"),
        ("dynamic_batch_size", 8, TypeError, "must be a bool, got 8"),
        ("separate_weights", None, TypeError, "must be a bool, got None"),
        ("compiler_timeout", 0, ValueError, "must be above 0, got 0"),
        ("compiler_timeout", "60", TypeError, "must be a number of seconds, got '60'"),
        ("subgraph_builder_function", "Net", TypeError, "must be a function or None, got 'Net'"),
        ("optimizations", ["fp16"], TypeError, "must be of torch_neuron.Optimization, got 'fp16'"),
    ],
)
def test_values_that_are_wrong(keyword, value, error, message):
    with pytest.raises(error, match=f"torch_neuron.trace: {keyword} {message}"):
        torch_neuron.trace(Net(), X, **{keyword: value})


def test_without_fallback_every_operator_must_be_supported():
    with pytest.raises(AttributeError, match=r"got aten::cumsum at \S*models.py\(\d+\)"):
        torch_neuron.trace(Cut(), X, fallback=False)
    assert operators(torch_neuron.trace(Net(), X, fallback=False)) == [ONE]
    assert operators(torch_neuron.trace(torch.relu, X, fallback=False)) == [ONE]  # of any size


class Refused(torch.nn.Module):
    """Three segments, of which the compiler refuses the second: it has 128-bit numbers."""

    def forward(self, x):
        x = torch.cumsum(torch.relu(x) + 1, 0)
        x = torch.real(x.to(torch.complex128) * 2 + 1)
        return torch.relu(x.to(torch.float32)) * 2


def test_a_segment_that_does_not_compile_runs_on_the_cpu(caplog):
    with caplog.at_level("INFO", "Neuron"):
        traced = torch_neuron.trace(Refused(), X)
    assert segments(traced) == ["_NeuronGraph#0", "_NeuronGraph#2"]
    on_cpu = ["aten::cumsum", "aten::to", "aten::mul", "aten::add", "aten::real"]
    assert operators(traced) == [ONE, *on_cpu, ONE]
    assert_close(traced(X), Refused()(X))
    assert (
        "torch.neuron.trace failed on _NeuronGraph$1; falling back to native python function call"
        in caplog.messages
    )
    reason = next(r for r in caplog.records if r.levelname == "ERROR")
    assert reason.message.startswith("RefusedError: [NCC_EVRF004]")
    assert " => aten::mul: 1 [supported]" in caplog.messages
    assert any("successfully compiled = 66.67%" in message for message in caplog.messages)


def test_a_segment_that_does_not_compile_is_an_error_without_fallback():
    with pytest.raises(RefusedError, match="NCC_EVRF004"):
        torch_neuron.trace(lambda x: x.to(torch.complex128) * 2 + 1, X, fallback=False)
    with pytest.raises(RuntimeError, match="No operations were successfully"):
        torch_neuron.trace(lambda x: x.to(torch.complex128) * 2 + 1, X)


def test_half_of_the_bits_cross_the_borders():
    optimizations = [torch_neuron.Optimization.FLOAT32_TO_FLOAT16]
    places = torch.tensor([1, 0])

    def func(x, y):
        return torch.index_select(x * 3 + 1, 0, y), y + 1

    traced = torch_neuron.trace(
        func, (X, places), optimizations=optimizations, compiler_args="--fast-math none"
    )
    inputs, outputs = header(traced).program.inputs, header(traced).program.outputs
    assert sorted(v.shape.dtype for v in inputs) == ["f16", "s64"]
    assert sorted(v.shape.dtype for v in outputs) == ["f16", "s64"]
    expected = (X.half().float() * 3 + 1)[places].half().float()
    for x in (X, X.half()):
        made, numbers = traced(x, places)
        assert made.dtype == torch.float32
        torch.testing.assert_close(made, expected, rtol=0, atol=0)
        assert torch.equal(numbers, places + 1)


def test_separate_weights_changes_nothing():
    assert torch.equal(
        torch_neuron.trace(Net(), X, separate_weights=True)(X), torch_neuron.trace(Net(), X)(X)
    )
