"""Which NeuronCores models are on, and move to."""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import torch_neuronx
from runtime.core import machine
from runtime.observe import record_executions
from tests.api.machines import instance, loaded, memory
from torch_neuronx.models import neuron_models

CORES = 12


@pytest.fixture(scope="module", autouse=True)
def many_cores() -> Iterator[None]:
    with instance("inf2.24xlarge"):
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("placement") / "model.pt")
    torch.manual_seed(0)
    torch.jit.save(torch_neuronx.trace(nn.Linear(64, 64).eval(), torch.rand(1, 64)), path)
    return path


@pytest.fixture
def model(saved: str) -> torch.jit.ScriptModule:
    return torch.jit.load(saved)


def ran_on(model: torch.nn.Module, calls: int = 3) -> list[int]:
    """The cores on which some calls ran, in order."""
    with record_executions() as record:
        for _ in range(calls):
            model(torch.rand(1, 64))
    return [execution.core for execution in record]


def test_loads_take_the_cores_in_turn(saved):
    models = [torch.jit.load(saved) for _ in range(CORES + 2)]
    first = torch_neuronx.neuron_cores(models[0])[0][0]
    turns = [[[(first + n) % CORES]] for n in range(CORES + 2)]
    assert [torch_neuronx.neuron_cores(m) for m in models] == turns
    assert [ran_on(m, 2) for m in models[:3]] == [t[0] * 2 for t in turns[:3]]


def test_replicas_are_called_in_turn(model):
    torch_neuronx.set_neuron_cores(model, start_nc=2, nc_count=3)
    assert torch_neuronx.neuron_cores(model) == [[2, 3, 4]]
    assert ran_on(model, 5) == [2, 3, 4, 2, 3]


def test_all_cores(model):
    torch_neuronx.set_multicore(model)
    assert torch_neuronx.neuron_cores(model) == [list(range(CORES))]
    assert ran_on(model, CORES + 1) == [*range(CORES), 0]


def test_contexts_load_where_they_say_and_no_more(saved):
    with torch_neuronx.neuron_cores_context(start_nc=5, nc_count=2):
        first = torch.jit.load(saved)
        with torch_neuronx.multicore_context():
            second = torch.jit.load(saved)
        third = torch.jit.load(saved)
    fourth = torch.jit.load(saved)
    assert torch_neuronx.neuron_cores(first) == torch_neuronx.neuron_cores(third) == [[5, 6]]
    assert torch_neuronx.neuron_cores(second) == [list(range(CORES))]
    assert len(torch_neuronx.neuron_cores(fourth)[0]) == 1
    assert ran_on(first) == [5, 6, 5]


def test_a_context_ends_with_an_error(saved):
    with pytest.raises(KeyError), torch_neuronx.neuron_cores_context(3):
        raise KeyError
    places = {torch_neuronx.neuron_cores(torch.jit.load(saved))[0][0] for _ in range(2)}
    assert len(places) == 2


def test_the_least_used_core(saved):
    with torch_neuronx.neuron_cores_context(0, CORES):
        everywhere = torch.jit.load(saved)
    with torch_neuronx.neuron_cores_context(0, 7):
        more = torch.jit.load(saved)
    with torch_neuronx.neuron_cores_context():
        first = torch.jit.load(saved)
    assert torch_neuronx.neuron_cores(first) == [[7]]
    with torch_neuronx.neuron_cores_context(-1, -1):
        second = torch.jit.load(saved)
    assert torch_neuronx.neuron_cores(second) == [[8]]
    torch_neuronx.set_neuron_cores(more)
    assert torch_neuronx.neuron_cores(more) == [[9]]
    assert len(torch_neuronx.neuron_cores(everywhere)[0]) == CORES


def test_move_trace_to_device(model):
    assert torch_neuronx.move_trace_to_device(model, 7) is None
    assert torch_neuronx.neuron_cores(model) == [[7]]
    assert ran_on(model) == [7, 7, 7]


def test_placement_gives_back_the_memory_of_the_old_core(saved):
    gc.collect()
    empty = memory()
    with torch_neuronx.neuron_cores_context(4):
        model = torch.jit.load(saved)
    size = memory()[4] - empty[4]
    assert size > 64 * 64 * 4, "the weights at least"
    torch_neuronx.set_neuron_cores(model, 6, 2)
    moved = [used - before for used, before in zip(memory(), empty, strict=True)]
    assert moved == [0] * 6 + [size] * 2 + [0] * 4
    del model
    gc.collect()
    assert memory() == empty


@pytest.mark.parametrize(
    ("start", "count", "message"),
    [
        (0, 0, "nc_count must be -1 or between 1 and 12, .* got 0"),
        (0, 13, "nc_count must be -1 or between 1 and 12, .* got 13"),
        (0, -2, "nc_count must be -1 or between 1 and 12, .* got -2"),
        (11, 2, "start_nc=11 with nc_count=2 must name NeuronCores .*0 to 11"),
        (12, 1, "start_nc=12 with nc_count=1 must name NeuronCores"),
        (-2, 1, "start_nc=-2 with nc_count=1 must name NeuronCores"),
        (-1, 13, "nc_count must be -1 or between 1 and 12"),
    ],
)
def test_cores_that_are_not_there_are_refused(model, start, count, message):
    before = torch_neuronx.neuron_cores(model)
    with pytest.raises(ValueError, match=message):
        torch_neuronx.set_neuron_cores(model, start, count)
    with (
        pytest.raises(ValueError, match=message),
        torch_neuronx.neuron_cores_context(start, count),
    ):
        pytest.fail("the context must not be entered")
    assert torch_neuronx.neuron_cores(model) == before
    assert len(ran_on(model)) == 3


@pytest.mark.parametrize("device", [12, -1, "0", True])
def test_move_trace_to_a_device_that_is_none(model, device):
    with pytest.raises(ValueError, match="NeuronCore"):
        torch_neuronx.move_trace_to_device(model, device)


class Pipeline(nn.Module):
    """Two Neuron models, one of them behind a condition, and a step on the host."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            x = self.first(x)
        return torch.relu(self.second(x) + 1)


class Parent(nn.Module):
    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.child(x)


def scripted(saved: str) -> torch.jit.ScriptModule:
    return torch.jit.script(Pipeline(torch.jit.load(saved), torch.jit.load(saved)))


@pytest.mark.parametrize(
    "make",
    [
        scripted,
        lambda saved: torch.jit.script(Parent(scripted(saved))),
        lambda saved: torch.jit.freeze(scripted(saved).eval()),
        lambda saved: Parent(scripted(saved)),
        lambda saved: Pipeline(torch.jit.load(saved), torch.jit.load(saved)),
        lambda saved: nn.Sequential(torch.jit.load(saved), nn.Sequential(torch.jit.load(saved))),
    ],
    ids=["scripted", "nested", "frozen", "plain parent", "plain", "sequential"],
)
def test_every_subgraph_of_a_module_is_placed(saved, make):
    module = make(saved)
    torch_neuronx.set_neuron_cores(module, 3, 2)
    assert torch_neuronx.neuron_cores(module) == [[3, 4], [3, 4]]
    assert sorted(ran_on(module, 2)) in ([3, 3, 4, 4], [3, 4])
    torch_neuronx.set_multicore(module)
    assert torch_neuronx.neuron_cores(module) == [list(range(CORES))] * 2
    for model in neuron_models(module):
        model.unload()  # torch.jit.freeze never frees a module with submodules


def test_64_threads_on_several_cores_give_the_serial_results(model):
    torch_neuronx.set_neuron_cores(model, 1, 4)
    inputs = [torch.rand(1, 64) for _ in range(256)]
    serial = [model(x) for x in inputs]
    with record_executions() as record, ThreadPoolExecutor(64) as pool:
        results = list(pool.map(model, inputs))
    assert all(map(torch.equal, results, serial))
    cores = [execution.core for execution in record]
    assert [cores.count(core) for core in (1, 2, 3, 4)] == [64] * 4
    for core in (1, 2, 3, 4):
        spans = sorted((e.start, e.end) for e in record if e.core == core)
        assert all(a[1] <= b[0] for a, b in pairwise(spans)), "one execution at a time"


class Twice(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.first = self.second = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(self.second(x)) + self.first(x)


def test_one_model_used_twice_is_one_subgraph(model):
    module = torch.jit.script(Twice(model))
    torch_neuronx.set_neuron_cores(module, 9, 1)
    assert torch_neuronx.neuron_cores(module) == torch_neuronx.neuron_cores(model) == [[9]]
    assert ran_on(module, 1) == [9, 9, 9]


def test_plain_modules_are_left_alone():
    plain = nn.Sequential(nn.Linear(64, 2))
    for module in (plain, torch.jit.script(plain), torch.jit.trace(plain, torch.rand(1, 64))):
        weights = copy.deepcopy(module.state_dict())
        torch_neuronx.set_neuron_cores(module, 99, 99)
        torch_neuronx.set_multicore(module)
        torch_neuronx.move_trace_to_device(module, 3)
        assert torch_neuronx.neuron_cores(module) == []
        torch.testing.assert_close(module.state_dict(), weights)


def test_a_model_that_is_moved_while_it_is_called(model):
    expected, stop = model(torch.ones(1, 64)), threading.Event()

    def move() -> None:
        while not stop.is_set():
            for start in range(4):
                torch_neuronx.set_neuron_cores(model, start, 2)

    mover = threading.Thread(target=move)
    mover.start()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: model(torch.ones(1, 64)), range(200)))
    stop.set()
    mover.join()
    assert all(torch.equal(result, expected) for result in results)


def test_copies_and_saved_models_have_cores_of_their_own(model, tmp_path):
    torch_neuronx.set_neuron_cores(model, 8, 1)
    copied = copy.deepcopy(model)
    torch.jit.save(model, tmp_path / "moved.pt")
    again = torch.jit.load(tmp_path / "moved.pt")
    turns = [torch_neuronx.neuron_cores(m)[0][0] for m in (copied, again)]
    assert turns[1] == (turns[0] + 1) % CORES, "a placement is not saved"


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    ("times", "bound"), [(1000, 8 << 20), (20, 32 << 20)], ids=["shared", "compiled each time"]
)
def test_loads_and_unloads_leak_nothing(saved, times, bound):
    """Where another model of the file is loaded, its executable serves; else each load compiles."""

    def cycle(times: int) -> None:
        for _ in range(times):
            torch.jit.load(saved)(torch.rand(1, 64))

    other = torch.jit.load(saved) if times == 1000 else None
    gc.collect()
    cycle(times // 10)
    empty, before, threads = memory(), resident(), threading.active_count()
    cycle(times - times // 10)
    gc.collect()
    assert memory() == empty
    assert threading.active_count() <= threads
    assert resident() - before < bound
    del other


def test_nothing_of_these_tests_is_left_on_a_core():
    gc.collect()
    assert loaded() == [0] * CORES


@pytest.mark.parametrize(
    "place",
    [
        lambda saved: torch.jit.load(saved),
        lambda saved: torch_neuronx.neuron_cores_context(0).__enter__(),
        lambda saved: torch_neuronx.DataParallel(torch.jit.load(saved)),
    ],
    ids=["load", "context", "data parallel"],
)
def test_a_runtime_that_cannot_start_is_a_runtime_error(saved, place):
    with (
        instance("inf2.24xlarge", NEURON_RT_VISIBLE_CORES="40-41"),
        pytest.raises(RuntimeError, match="40"),
    ):
        place(saved)


def test_indices_count_within_the_cores_of_the_process(saved):
    with instance("inf2.24xlarge", NEURON_RT_VISIBLE_CORES="4-5"):
        model = torch.jit.load(saved)
        assert torch_neuronx.neuron_cores(model) == [[0]]
        assert [core.position for core in machine().cores] == [4, 5]
        torch_neuronx.set_neuron_cores(model, 1, 1)
        assert torch_neuronx.neuron_cores(model) == [[1]]
        assert ran_on(model) == [1, 1, 1]


def test_the_garbage_collector_may_unload_a_model_while_another_runs(saved):
    """In the thread that runs it, on the same core: unloading must not wait for that core."""
    with torch_neuronx.neuron_cores_context(0):
        model = torch.jit.load(saved)
    core, x = machine().cores[0], torch.rand(1, 64)
    expected = model(x)
    for _ in range(3):
        with torch_neuronx.neuron_cores_context(0):
            other = torch.jit.load(saved)
        with core.queue, core.memory._lock:  # as in an execution, and while memory is counted
            del other
            gc.collect()
        assert len(core.memory.models) == 1
        assert torch.equal(model(x), expected)
