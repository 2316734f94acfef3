"""`torch_neuronx.dynamic_batch`: any batch size for a model that was traced with one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import torch_neuronx
from runtime.observe import record_executions
from tests.api.machines import instance

SIZE = 4


@pytest.fixture(scope="module", autouse=True)
def four_cores() -> Iterator[None]:
    with instance("inf2.24xlarge", NEURON_RT_NUM_CORES="4"):
        yield


class Scores(nn.Module):
    """Several inputs and outputs, nested, each with the batch in dimension 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[Any, ...]:
        scores = self.layer(x) + y
        return {"scores": scores, "doubled": x * 2}, (scores.argmax(1), [y])


def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2 + 1


@pytest.fixture(scope="module")
def net() -> Scores:
    torch.manual_seed(0)
    return Scores().eval()


@pytest.fixture(scope="module")
def scores(net: Scores) -> torch.jit.ScriptModule:
    return torch_neuronx.dynamic_batch(torch_neuronx.trace(net, inputs(SIZE)))


@pytest.fixture
def doubled() -> torch.jit.ScriptModule:
    return torch_neuronx.dynamic_batch(torch_neuronx.trace(double, torch.ones(SIZE, 5)))


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 6), torch.rand(batch, 1)


@pytest.mark.parametrize("batch", [0, 1, 3, 4, 5, 8, 13, 64])
def test_any_batch_gives_what_the_model_gives(scores, net, batch):
    x = inputs(batch)
    made, expected = scores(*x), net(*x)
    torch.testing.assert_close(made, expected)
    assert not made[0]["scores"].requires_grad
    assert {len(tensor) for tensor in (*made[0].values(), made[1][0])} == {batch}


def test_works_in_place_and_returns_its_argument(net):
    traced = torch_neuronx.trace(net, inputs(SIZE))
    assert torch_neuronx.dynamic_batch(traced) is traced
    assert torch_neuronx.dynamic_batch(traced) is traced, "twice is as good as once"
    assert len(traced(*inputs(7))[1][0]) == 7


def test_survives_saving(scores, net, tmp_path):
    torch.jit.save(scores, tmp_path / "scores.pt")
    loaded, x = torch.jit.load(tmp_path / "scores.pt"), inputs(9)
    torch.testing.assert_close(loaded(*x), scores(*x))
    torch.jit.save(loaded, tmp_path / "again.pt")
    torch.testing.assert_close(torch.jit.load(tmp_path / "again.pt")(*x), scores(*x))


def test_other_views_of_memory(doubled):
    whole = torch.rand(5, 13)
    assert torch.equal(doubled(whole.T), double(whole.T))
    assert torch.equal(doubled(whole.T[1::2]), double(whole.T[1::2]))


REFUSED: dict[str, tuple[tuple[torch.Tensor, ...], str]] = {
    "another dimension": (
        (torch.rand(9, 7), torch.rand(9, 1)),
        r"input 0 \('x'\) was compiled for float32\[4, 6\] .*sion 0 only, got float32\[9, 7\]",
    ),
    "another rank": ((torch.rand(4, 6), torch.rand(4)), r"input 1 \('y'\).*got float32\[4\]"),
    "another type": (
        (torch.rand(5, 6).double(), torch.rand(5, 1)),
        r"input 0.*got float64\[5, 6\]",
    ),
    "unequal batches": (
        (torch.rand(5, 6), torch.rand(4, 1)),
        r"Inconsistent batch sizes found on inputs: input 0 \('x'\) has 5, input 1 \('y'\) has 4",
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_inputs_that_do_not_fit_are_named(scores, tmp_path, given, message):
    torch.jit.save(scores, tmp_path / "scores.pt")
    parent = nn.Sequential(torch.jit.load(tmp_path / "scores.pt"))
    for model in (scores, torch.jit.load(tmp_path / "scores.pt"), parent[0]):
        with pytest.raises(ValueError, match=message):
            model(*given)
        with pytest.raises(RuntimeError, match=message):
            model(*given)
        assert len(model(*inputs(6))[1][0]) == 6, "the next call is not disturbed"


@pytest.mark.parametrize(
    ("function", "examples"),
    [
        (lambda x, y: (x, y), (torch.rand(1, 2), torch.rand(3, 2))),
        (lambda x, y: x * y, (torch.rand(3), torch.tensor(2.0))),
        (lambda x: x.sum(), (torch.rand(3),)),
        (lambda x: x.sum(0), (torch.rand(3, 2),)),
        (lambda: torch.arange(3), ()),
    ],
    ids=["unequal", "scalar input", "scalar output", "output without batch", "no inputs"],
)
def test_models_without_a_batch_are_refused(function: Callable[..., Any], examples):
    traced = torch_neuronx.trace(function, examples)
    with pytest.raises(ValueError, match="dimension 0 of all inputs and outputs must be the batch"):
        torch_neuronx.dynamic_batch(traced)
    torch.testing.assert_close(traced(*examples), function(*examples))


def test_weights_beside_the_neff_are_refused(net):
    traced = torch_neuronx.trace(net, inputs(3), inline_weights_to_neff=False)
    message = "not yet compatible with the weights/neff non-inlined model"
    with pytest.raises(ValueError, match=message):
        torch_neuronx.dynamic_batch(traced)


def test_states_are_refused():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(SIZE, 1))

        def forward(self, x):
            total = self.total + x
            return x * 2, total

    counter = Counter()
    aliases = {counter.total: 1}
    trace = torch_neuronx.trace(counter, torch.ones(SIZE, 1), input_output_aliases=aliases)
    with pytest.raises(ValueError, match=r"a model with states .* it has total"):
        torch_neuronx.dynamic_batch(trace)
    (doubled,) = trace(torch.ones(SIZE, 1))
    assert torch.equal(doubled, torch.full((SIZE, 1), 2.0))


def test_a_plain_module_is_refused():
    with pytest.raises(ValueError, match="the module must come from torch"):
        torch_neuronx.dynamic_batch(torch.jit.script(nn.Linear(2, 2)))


def test_a_module_of_several_models_is_changed_whole_or_not_at_all():
    class Both(nn.Module):
        def __init__(self, *models: torch.jit.ScriptModule) -> None:
            super().__init__()
            self.first, self.second = models

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x))

    def traced(function: Callable[[torch.Tensor], torch.Tensor]) -> torch.jit.ScriptModule:
        return torch_neuronx.trace(function, torch.ones(2, 3))

    both = torch_neuronx.dynamic_batch(torch.jit.script(Both(traced(double), traced(torch.neg))))
    assert torch.equal(both(torch.ones(5, 3)), torch.full((5, 3), -3.0))
    with pytest.raises(ValueError, match="dynamic batching: input 0"):
        both(torch.ones(5, 4))
    mixed = torch.jit.script(Both(traced(double), traced(lambda x: x.sum())))
    with pytest.raises(ValueError, match="dimension 0 of all inputs"):
        torch_neuronx.dynamic_batch(mixed)
    with pytest.raises(RuntimeError, match="was compiled for"):
        mixed(torch.ones(5, 3))


def test_parts_run_on_all_the_cores_of_the_model(doubled):
    torch_neuronx.set_neuron_cores(doubled, 1, 3)
    with record_executions() as record:
        doubled(torch.rand(7 * SIZE + 1, 5))
    cores = [execution.core for execution in record]
    assert sorted(cores) == [1, 1, 1, 2, 2, 2, 3, 3] or sorted(set(cores)) == [1, 2, 3]
    assert len(cores) == 8
    assert max(cores.count(core) for core in (1, 2, 3)) == 3, "ceil(parts / cores) after each other"


def test_parts_run_at_once():
    """One core waits in the middle of its part until another has begun one."""
    size = 256
    model = torch_neuronx.trace(lambda x: torch.linalg.multi_dot([x] * 8), torch.rand(size, size))
    torch_neuronx.dynamic_batch(model)
    torch_neuronx.set_neuron_cores(model, 0, 2)
    with record_executions() as record:
        model(torch.eye(size).repeat(8, 1))
    ordered = sorted(record, key=lambda e: e.start)
    assert any(b.start < a.end for a, b in pairwise(ordered))
    assert len({execution.thread for execution in record}) == 2


def test_executions_on_one_core_never_overlap(doubled):
    torch_neuronx.set_neuron_cores(doubled, 0, 2)
    barrier = threading.Barrier(6)
    results: list[bool] = []

    def call(batch: int) -> None:
        barrier.wait()
        for _ in range(10):
            x = torch.rand(batch, 5)
            results.append(torch.equal(doubled(x), double(x)))

    with record_executions() as record:
        threads = [threading.Thread(target=call, args=(3 * n + 1,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 60 and all(results)
    for core in (0, 1):
        spans = sorted((e.start, e.end) for e in record if e.core == core)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
