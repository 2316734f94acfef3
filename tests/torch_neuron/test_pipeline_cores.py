"""`--neuroncore-pipeline-cores`: a model takes consecutive NeuronCores, each a part of it."""

from __future__ import annotations

import gc
import threading

import pytest
import torch
from torch import nn

import torch_neuron
from neff.inf1_options import parse_inf1_options
from runtime.core import machine
from runtime.memory import MICROCODE
from runtime.observe import record_executions
from tests.api.machines import instance, loaded, memory
from torch_neuronx import neuron_cores
from torch_neuronx.xla_impl.build import build

X = torch.rand(2, 64)


def model(cores: int) -> torch.jit.ScriptModule:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    options = parse_inf1_options(f"--neuroncore-pipeline-cores {cores}")
    return build(net, X, options=options)


def cores_of(record) -> list[int]:
    return [execution.core for execution in record]


def test_models_take_consecutive_cores_in_turn():
    with instance("inf1.2xlarge"):
        models = [model(2), model(1), model(2), model(2)]
        # The third finds too few cores behind the second, and begins anew.
        assert [neuron_cores(m)[0] for m in models] == [[0, 1], [2], [0, 1], [2, 3]]
        assert loaded() == [2, 2, 2, 1]


def test_an_execution_holds_all_its_cores():
    with instance("inf1.xlarge"):
        pipeline = model(3)
        with record_executions() as record:
            pipeline(X)
        assert cores_of(record) == [0, 1, 2]
        assert [core.executions for core in machine().cores] == [1, 1, 1, 0]
        done = threading.Event()
        with machine().cores[2].queue:
            thread = threading.Thread(target=lambda: (pipeline(X), done.set()))
            thread.start()
            assert not done.wait(0.2)
        thread.join()
        assert done.is_set()


def test_memory_is_spread_over_the_cores():
    with instance("inf1.xlarge"):
        one = model(1)
        whole = memory()[0] - MICROCODE
        del one
    with instance("inf1.xlarge"):
        spread = model(4)
        parts = [used - MICROCODE for used in memory()]
        assert all(whole // 4 <= part <= whole // 4 + 8 for part in parts)
        del spread
        gc.collect()
        assert memory() == [MICROCODE] * 4


def test_a_model_is_replicated_as_often_as_it_fits():
    with instance("inf1.6xlarge"):
        pipeline = model(4)
        torch_neuron.experimental.set_neuron_cores(pipeline, 1, 11)
        assert neuron_cores(pipeline) == [[1, 2, 3, 4, 5, 6, 7, 8]]
        with record_executions() as record:
            for _ in range(3):
                pipeline(X)
        assert cores_of(record) == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]
        torch_neuron.experimental.set_multicore(pipeline)
        assert neuron_cores(pipeline) == [list(range(16))]
        torch_neuron.experimental.set_neuron_cores(pipeline, 3)
        assert neuron_cores(pipeline) == [[3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("start", "count", "message"),
    [
        (0, 3, "nc_count must be at least 4, the NeuronCores that the model takes at once"),
        (1, -1, "must name NeuronCores visible to this process"),
        (0, 5, "nc_count must be -1 or between 1 and 4"),
    ],
)
def test_placements_that_are_refused(start, count, message):
    with instance("inf1.xlarge"):
        pipeline = model(4)
        with pytest.raises(ValueError, match=message):
            torch_neuron.experimental.set_neuron_cores(pipeline, start, count)
        assert neuron_cores(pipeline) == [[0, 1, 2, 3]]


def test_too_few_cores():
    with (
        instance("inf1.xlarge", NEURON_RT_NUM_CORES="2"),
        pytest.raises(RuntimeError, match=r"takes 4 NeuronCores at once.*this process has 2"),
    ):
        model(4)


def test_data_parallel_places_pipelines_side_by_side():
    with instance("inf1.6xlarge"):
        pipeline = model(4)
        expected = pipeline(X)
        parallel = torch_neuron.DataParallel(pipeline)
        assert parallel.device_ids == [0, 4, 8, 12]
        with record_executions() as record:
            result = parallel(torch.cat([X] * 4))
        assert set(cores_of(record)) == set(range(16))
        assert torch.equal(result, torch.cat([expected] * 4))
        assert torch_neuron.DataParallel(pipeline, ["nc:3", 8]).device_ids == [3, 8]
        with pytest.raises(ValueError, match=r"torch_neuron.DataParallel: a device id must be"):
            torch_neuron.DataParallel(pipeline, [16])


def test_contexts_and_saved_models(tmp_path):
    with instance("inf1.xlarge"):
        torch.jit.save(model(2), tmp_path / "m.pt")
        with torch_neuron.experimental.neuron_cores_context(2):
            assert neuron_cores(torch.jit.load(tmp_path / "m.pt")) == [[2, 3]]
        with torch_neuron.experimental.multicore_context():
            assert neuron_cores(torch.jit.load(tmp_path / "m.pt")) == [[0, 1, 2, 3]]
