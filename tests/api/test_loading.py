"""When models are loaded: at torch.jit.load, at the first call, or in the background."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

import torch_neuronx
from runtime import faults
from tests.api.machines import instance, loaded


@pytest.fixture(autouse=True)
def four_cores() -> Iterator[None]:
    with instance("inf2.24xlarge", NEURON_RT_NUM_CORES="4"):
        yield
        gc.collect()


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, 3).eval()


@pytest.fixture
def saved(net: nn.Module, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A saved model with the options that the test's parameter names."""
    model = torch_neuronx.trace(net, torch.rand(2, 6))
    for option in request.param:
        assert getattr(torch_neuronx, option)(model) is None
    torch.jit.save(model, tmp_path / "net.pt")
    del model
    gc.collect()
    return str(tmp_path / "net.pt")


LAZY, BACKGROUND = ["lazy_load"], ["async_load"]
BOTH = [*LAZY, *BACKGROUND]


def assert_same(model: nn.Module, net: nn.Module) -> None:
    x = torch.rand(2, 6)
    torch.testing.assert_close(model(x), net(x).detach())


@pytest.mark.parametrize("saved", [LAZY, BOTH], indirect=True, ids=["lazy", "lazy and async"])
def test_a_lazy_model_is_loaded_by_its_first_call(saved, net):
    gc.collect()
    models = [torch.jit.load(saved) for _ in range(3)]
    assert loaded() == [0] * 4 and torch_neuronx.neuron_cores(models[0]) == [[]]
    assert_same(models[1], net)
    assert sum(loaded()) == 1
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: assert_same(models[2], net), range(16)))
    assert sum(loaded()) == 2, "many threads load a model once"


@pytest.mark.parametrize("saved", [LAZY], indirect=True)
def test_a_lazy_model_is_loaded_where_it_is_placed(saved, net):
    model = torch.jit.load(saved)
    torch_neuronx.set_neuron_cores(model, 1, 2)
    assert loaded() == [0, 1, 1, 0]
    with torch_neuronx.neuron_cores_context(3):
        other = torch.jit.load(saved)
    assert_same(other, net)
    assert loaded() == [0, 1, 1, 1]


@pytest.mark.parametrize("saved", [BACKGROUND], indirect=True)
def test_a_load_in_the_background_does_not_wait(saved, net):
    gc.collect()
    with faults.inject_fault("load", delay=0.5, times=0):
        models = [torch.jit.load(saved) for _ in range(4)]
        assert loaded() == [0] * 4, "the loads are still going on"
        for model in models:
            assert_same(model, net)
    cores = [torch_neuronx.neuron_cores(model)[0][0] for model in models]
    assert cores == [(cores[0] + n) % 4 for n in range(4)], "in the order of the loads"


@pytest.mark.parametrize("saved", [LAZY, BACKGROUND, BOTH], indirect=True)
def test_an_error_of_the_load_is_raised_by_the_first_call(saved, net):
    with faults.inject_fault("load", status="NRT_RESOURCE"):
        model = torch.jit.load(saved)
        with pytest.raises(RuntimeError, match="nrt_load status=4"):
            model(torch.rand(2, 6))
    assert_same(model, net)


@pytest.mark.parametrize("saved", [[]], indirect=True)
def test_an_error_of_an_ordinary_load_is_raised_at_once(saved, net):
    gc.collect()
    with (
        faults.inject_fault("load", status="NRT_RESOURCE"),
        pytest.raises(RuntimeError, match="nrt_load status=4"),
    ):
        torch.jit.load(saved)
    gc.collect()
    assert_same(torch.jit.load(saved), net)


@pytest.mark.parametrize("saved", [BACKGROUND, BOTH], indirect=True)
def test_data_parallel_does_not_wait_for_its_loads(saved, net):
    model = torch.jit.load(saved)
    with faults.inject_fault("load", delay=0.3, times=0):
        parallel = torch_neuronx.DataParallel(model, device_ids=[3, 1])
        x = torch.rand(7, 6)
        torch.testing.assert_close(parallel(x), net(x).detach())
    assert [loaded()[core] for core in (3, 1)] == [1, 1]
    assert sum(loaded()) == 2


@pytest.mark.parametrize("saved", [BACKGROUND], indirect=True)
def test_a_model_may_go_while_it_is_being_loaded(saved):
    with faults.inject_fault("load", delay=0.2, times=0):
        for _ in range(3):
            torch.jit.load(saved)
        gc.collect()
    assert loaded() == [0] * 4


@pytest.mark.parametrize("option", ["lazy_load", "async_load"])
def test_options_can_be_taken_back_and_belong_to_neuron_models(net, tmp_path, option):
    switch = getattr(torch_neuronx, option)
    model = torch_neuronx.trace(net, torch.rand(2, 6))
    switch(model)
    switch(model, False)
    torch.jit.save(model, tmp_path / "net.pt")
    del model
    gc.collect()
    torch.jit.load(tmp_path / "net.pt")
    with pytest.raises(ValueError, match=f"{option}: the module must come from torch_neuronx"):
        switch(torch.jit.script(net))
