"""`torch_neuronx.DataParallel`: a batch over several NeuronCores."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import torch_neuronx
from runtime import faults
from runtime.observe import record_executions
from tests.api.machines import instance, loaded, memory


@pytest.fixture(scope="module", autouse=True)
def four_cores() -> Iterator[None]:
    with instance("inf2.24xlarge", NEURON_RT_NUM_CORES="4"):
        yield


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x))


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def traced(net: Net) -> torch.jit.ScriptModule:
    return torch_neuronx.trace(net, torch.rand(1, 6))


def assert_same(made: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(made, expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 4, 5, 6, 17])
def test_any_batch_on_all_cores(traced, net, batch):
    parallel = torch_neuronx.DataParallel(traced)
    x = torch.rand(batch, 6)
    with record_executions() as record:
        made = parallel(x)
    assert_same(made, net(x))
    assert len(made) == batch
    assert {e.core for e in record} == set(range(min(batch, 4)))


@pytest.mark.parametrize(
    ("device_ids", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ([2], [2]),
        ([3, 1], [3, 1]),
        (["nc:0", "nc:3"], [0, 3]),
        ([1, "nc:2"], [1, 2]),
        ([1, 1], [1, 1]),
    ],
)
def test_forms_of_device_ids(traced, net, device_ids, expected):
    parallel = torch_neuronx.DataParallel(traced, device_ids=device_ids)
    x = torch.rand(len(expected) * 2, 6)
    with record_executions() as record:
        assert_same(parallel(x), net(x))
    assert sorted(e.core for e in record) == sorted(expected * 2)
    assert parallel.num_workers == 2 * len(expected)
    assert torch_neuronx.neuron_cores(traced) == [[expected[0]]]


@pytest.mark.parametrize("device_ids", [[4], [-1], ["1"], ["nc:4"], ["cuda:1"], [True], [], [1.0]])
def test_devices_that_are_none_are_refused(traced, device_ids):
    if device_ids == ["1"]:
        assert torch_neuronx.DataParallel(traced, device_ids).device_ids == [1]
        return
    with pytest.raises(ValueError, match=r"DataParallel: (a )?device.id"):
        torch_neuronx.DataParallel(traced, device_ids)


def test_modules_without_a_neuron_model_are_refused(net):
    for module in (net, torch.jit.script(net)):
        with pytest.raises(ValueError, match="must come from a Neuron trace"):
            torch_neuronx.DataParallel(module)


def test_another_dimension_needs_the_traced_size():
    function = lambda x, y: {"sum": x + y, "both": x * y}  # noqa: E731
    examples = torch.rand(2, 3, 8), torch.rand(1, 3, 8)
    traced = torch_neuronx.trace(function, examples)
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1], dim=2)
    inputs = torch.rand(2, 3, 16), torch.rand(1, 3, 16)
    torch.testing.assert_close(parallel(*inputs), function(*inputs))
    assert not parallel.dynamic_batching
    message = "the size that was traced, 8 in dimension 2; got a batch of 24 in parts of 12 on 2"
    with pytest.raises(ValueError, match=message):
        parallel(torch.rand(2, 3, 24), torch.rand(1, 3, 24))
    parallel.split_size = 8
    inputs = torch.rand(2, 3, 24), torch.rand(1, 3, 24)
    torch.testing.assert_close(parallel(*inputs), function(*inputs))
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1], dim=-1)
    inputs = inputs[0][..., :16], inputs[1][..., :16]
    torch.testing.assert_close(parallel(*inputs), function(*inputs))


def test_without_dynamic_batching(traced, net):
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1])
    assert parallel.dynamic_batching
    assert_same(parallel(x := torch.rand(4, 6)), net(x))
    parallel.disable_dynamic_batching()
    for model in (parallel, torch_neuronx.DataParallel(traced, [0, 1], set_dynamic_batching=False)):
        assert not model.dynamic_batching
        with pytest.raises(ValueError, match="got a batch of 4 in parts of 2 on 2 NeuronCores"):
            model(torch.rand(4, 6))
        assert_same(model(x := torch.rand(2, 6)), net(x))


def test_workers_and_size_of_parts(traced, net):
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1])
    assert (parallel.num_workers, parallel.split_size) == (4, None)
    parallel.num_workers, parallel.split_size = 1, 3
    x = torch.rand(7, 6)
    with record_executions() as record:
        assert_same(parallel(x), net(x))
    assert len({e.thread for e in record if e.thread != threading.get_native_id()}) <= 3
    assert len(record) == 7
    with pytest.raises(ValueError, match="num_workers must be at least 1, got 0"):
        parallel.num_workers = 0
    assert_same(parallel(x), net(x))


def test_parts_run_at_once():
    size = 512
    traced = torch_neuronx.trace(lambda x: torch.linalg.multi_dot([x] * 8), torch.rand(size, size))
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1])
    with record_executions() as record:
        parallel(torch.eye(size).repeat(8, 1))
    first, second = (sorted(e.start for e in record if e.core == core) for core in (0, 1))
    ends = [max(e.end for e in record if e.core == core) for core in (0, 1)]
    assert max(first[0], second[0]) < min(ends)


def test_nested_inputs_and_outputs():
    def function(pair: tuple[torch.Tensor, torch.Tensor], table: dict[str, torch.Tensor]) -> Any:
        return (pair[0] + table["a"], [pair[1] * 2]), {"a": table["a"]}

    def inputs(batch: int) -> tuple[Any, ...]:
        return (torch.rand(batch, 2), torch.rand(batch)), {"a": torch.rand(batch, 1)}

    parallel = torch_neuronx.DataParallel(torch_neuronx.trace(function, inputs(2)))
    given = inputs(9)
    torch.testing.assert_close(parallel(*given), function(*given))


def test_arguments_by_name(traced, net):
    x = torch.rand(5, 6)
    assert_same(torch_neuronx.DataParallel(traced)(x=x), net(x))


def test_inputs_must_share_the_batch():
    parallel = torch_neuronx.DataParallel(torch_neuronx.trace(torch.add, (torch.rand(1),) * 2))
    with pytest.raises(ValueError, match=r"the batch in dimension 0, got \[5\], \[4\]"):
        parallel(torch.rand(5), torch.rand(4))
    with pytest.raises(ValueError, match=r"the batch in dimension 0, got \[5\], \[\]"):
        parallel(torch.rand(5), torch.tensor(2.0))


def test_errors_say_on_which_core_and_leave_nothing_behind(traced, net):
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 3])
    caught = (
        r"^Caught RuntimeError on neuroncore 3\.\nOriginal Traceback \(most recent call last\):"
    )
    with (
        faults.inject_fault("execute", core=3, status="NRT_EXEC_HW_ERR_NC_UE"),
        pytest.raises(RuntimeError, match=caught) as raised,
    ):
        parallel(torch.rand(8, 6))
    assert "status=1202" in str(raised.value)
    assert_same(parallel(x := torch.rand(8, 6)), net(x))
    message = r"Caught BatchError on neuroncore 0\.(.|\n)*got float32\[4, 5\]"
    with pytest.raises(ValueError, match=message):
        parallel(torch.rand(8, 5))


def test_a_model_without_a_batch_warns():
    traced = torch_neuronx.trace(lambda x, y: (x + y, y), (torch.rand(2, 3), torch.rand(3)))
    with pytest.warns(
        UserWarning, match="dynamic batching cannot be enabled: dynamic_batch: dimen"
    ):
        parallel = torch_neuronx.DataParallel(traced)
    assert not parallel.dynamic_batching


def test_weights_beside_the_neff(net):
    traced = torch_neuronx.trace(net, torch.rand(3, 6), inline_weights_to_neff=False)
    with pytest.warns(UserWarning, match="cannot be enabled: .*weights/neff non-inlined"):
        parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1])
    x = torch.rand(6, 6)
    assert_same(parallel(x), net(x))
    with pytest.raises(ValueError, match="traced, 3 in dimension 0; got a batch of 8"):
        parallel(torch.rand(8, 6))


def test_lazily_loaded_models_are_loaded_where_they_belong(traced, net, tmp_path):
    torch_neuronx.lazy_load(traced)
    torch.jit.save(traced, tmp_path / "lazy.pt")
    del traced
    gc.collect()
    before = loaded()
    model = torch.jit.load(tmp_path / "lazy.pt")
    assert loaded() == before
    parallel = torch_neuronx.DataParallel(model, device_ids=[1, 2])
    assert [now - then for now, then in zip(loaded(), before, strict=True)] == [0, 1, 1, 0]
    assert_same(parallel(x := torch.rand(5, 6)), net(x))


def test_a_saved_model_that_was_spread_is_one_model(traced, net, tmp_path):
    parallel = torch_neuronx.DataParallel(traced)
    assert parallel.state_dict() == {} and list(parallel.parameters()) == []
    torch.jit.save(traced, tmp_path / "net.pt")
    x = torch.rand(1, 6)
    assert_same(torch.jit.load(tmp_path / "net.pt")(x), net(x))


def test_replicas_share_what_they_can_and_go_away(net, tmp_path):
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    wide = nn.Linear(2048, 2048).eval()
    size = 2048 * 2048 * 4
    traced = torch_neuronx.trace(wide, torch.rand(1, 2048))
    gc.collect()
    threads, empty, before = threading.active_count(), memory(), resident()
    parallel = torch_neuronx.DataParallel(traced, device_ids=[0, 1, 2, 3])
    parallel(torch.rand(8, 2048))
    taken = [now - then for now, then in zip(memory(), empty, strict=True)]
    assert sum(taken) >= 3 * size, "each core's own account holds the weights"
    assert resident() - before < 1.5 * size, "the host holds them once"
    del parallel
    gc.collect()
    assert sum(memory()) == sum(empty)
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        threading.Event().wait(0.01)
    assert threading.active_count() <= threads
