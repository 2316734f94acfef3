"""The machine of a process that asks for none: one with NeuronCores of the first version."""

from __future__ import annotations

import os
from unittest import mock

import pytest
import torch

import torch_neuron
import torch_neuronx
from neff.inf1_options import parse_inf1_options
from runtime.core import machine
from tests.api.machines import instance
from tests.runtime.models import fresh_machine
from torch_neuronx.xla_impl.build import build

X = torch.rand(4)


@pytest.fixture
def nothing_asked():
    with mock.patch.dict(os.environ, NEURON_RT_LOG_LEVEL="WARNING"), fresh_machine():
        os.environ.pop("NEURON_EMULATOR_INSTANCE_TYPE", None)
        yield


def test_the_first_model_decides(nothing_asked, capfd):
    build(torch.neg, X, options=parse_inf1_options(None))
    assert machine().layout.instance_type == "inf1.xlarge"
    assert machine().layout.exec_timeout == 30
    assert "compiled for" not in capfd.readouterr().err


def test_the_first_model_may_be_of_the_second_version(nothing_asked, capfd):
    torch_neuronx.trace(torch.neg, X)
    assert machine().layout.instance_type == "inf2.xlarge"
    build(torch.neg, X, options=parse_inf1_options(None))
    assert "compiled for inf1 (NeuronCore-v1), inf2.xlarge has NeuronCore-v2" in (
        capfd.readouterr().err
    )


@pytest.mark.parametrize(
    "ask",
    [
        torch_neuron.is_available,
        lambda: torch_neuron.experimental.neuron_cores_context(0, 4).__enter__(),
        lambda: torch_neuron.experimental.multicore_context().__enter__(),
    ],
)
def test_asking_for_cores_decides_too(ask, nothing_asked):
    ask()
    assert machine().layout.instance_type == "inf1.xlarge"


@pytest.mark.parametrize(
    ("kind", "cores"),
    [("inf1.xlarge", 4), ("inf1.2xlarge", 4), ("inf1.6xlarge", 16), ("inf1.24xlarge", 64)],
)
def test_instances(kind, cores):
    with instance(kind):
        assert torch_neuron.is_available()
        assert len(machine().cores) == cores
        assert {core.memory.limit for core in machine().cores} == {2 << 30}


def test_a_model_for_inf1_is_refused_where_another_machine_was_asked_for():
    with (
        instance("inf2.xlarge"),
        pytest.raises(RuntimeError, match=r"compiled for inf1.*inf2.xlarge has NeuronCore-v2"),
    ):
        build(torch.neg, X, options=parse_inf1_options(None))


def test_no_cores_are_available_where_another_process_holds_them():
    with instance("inf1.xlarge", NEURON_RT_NUM_CORES="5"):
        assert not torch_neuron.is_available()
