"""Other batches than the traced one: `dynamic_batch_size` and `torch_neuron.DataParallel`."""

from __future__ import annotations

import pytest
import torch

import torch_neuron
from runtime.observe import record_executions
from tests.api.machines import instance
from tests.torch_neuron.models import Cut, Net, assert_close, operators

X = torch.rand(2, 8)


def test_every_segment_takes_any_batch(tmp_path):
    net = Cut()
    traced = torch_neuron.trace(net, X, dynamic_batch_size=True)
    torch.jit.save(traced, tmp_path / "m.pt")
    loaded = torch.jit.load(tmp_path / "m.pt")
    for size in (1, 2, 5, 8):
        batch = torch.rand(size, 8)
        assert_close(traced(batch), net(batch))
        assert torch.equal(loaded(batch), traced(batch))


def test_without_it_segments_take_the_traced_shapes_only():
    traced = torch_neuron.trace(Net(), X)
    with pytest.raises(RuntimeError, match=r"\[2, 8\].*\[3, 8\]"):
        traced(torch.rand(3, 8))


def test_what_is_on_the_cpu_takes_any_shape():
    def func(x, y):
        return torch.relu(x) * 2, torch.cumsum(y, 0)

    traced = torch_neuron.trace(func, (X, X))
    assert traced(X, torch.ones(5, 3))[1][-1].tolist() == [5, 5, 5]


def test_batches_that_do_not_fit():
    def func(x, y):
        return (x + y) * 2

    traced = torch_neuron.trace(func, (X, X), dynamic_batch_size=True)
    with pytest.raises(ValueError, match="dynamic batching: "):
        traced(torch.rand(3, 8), torch.rand(4, 8))
    with pytest.raises(RuntimeError, match="dynamic batching: "):
        traced(torch.rand(3, 7), torch.rand(3, 7))


def test_a_segment_without_a_batch_says_so(caplog):
    def func(x, y):
        return (x + y) * 2

    traced = torch_neuron.trace(func, (X, torch.rand(8)), dynamic_batch_size=True)
    warning = next(r.message for r in caplog.records if r.levelname == "WARNING")
    assert warning.startswith("dynamic_batch_size: _NeuronGraph$0 takes the traced sizes only: ")
    assert_close(traced(X, torch.ones(8)), (X + 1) * 2)


def test_data_parallel_over_segments_and_operators():
    with instance("inf1.xlarge"):
        net = Cut()
        traced = torch_neuron.trace(net, X)
        assert operators(traced).count("aten::cumsum") == 2
        parallel = torch_neuron.DataParallel(traced)
        assert parallel.device_ids == [0, 1, 2, 3] and parallel.num_workers == 8
        batch = torch.rand(16, 8)
        with record_executions() as record:
            assert_close(parallel(batch), net(batch))
        assert {execution.core for execution in record} == {0, 1, 2, 3}
        parallel.disable_dynamic_batching()
        assert_close(parallel(torch.cat([X] * 4)), net(torch.cat([X] * 4)))
        # Each part fits no segment.
        with pytest.raises(RuntimeError, match="on neuroncore"):
            parallel(batch)


def test_data_parallel_warns_where_batches_cannot_be_dynamic():
    def func(x, y):
        return (x + y) * 2

    traced = torch_neuron.trace(func, (X, torch.rand(8)))
    with pytest.warns(UserWarning, match=r"torch_neuron.DataParallel: dynamic batching cannot be"):
        torch_neuron.DataParallel(traced)
    with pytest.raises(ValueError, match=r"torch_neuron.DataParallel: the model must come from"):
        torch_neuron.DataParallel(torch.nn.ReLU())
