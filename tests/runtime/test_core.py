"""The emulated machine: instance types, logical cores, memory, what the environment may say."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from neff.container import write_neff
from runtime import core as cores
from runtime import placement
from runtime.core import machine
from runtime.hardware import INSTANCES
from runtime.layout import layout
from runtime.memory import MIB
from runtime.model import load
from runtime.status import NeuronRuntimeError, Status
from tests.runtime.models import core, execute, fresh_machine, neff, on_core, scaled

GIB = 1 << 30


@pytest.fixture(autouse=True)
def own_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    with fresh_machine():
        yield


# Instance type, devices, cores as the runtime counts them, bytes a device: spec of the instances.
TABLE = """
    inf1.xlarge 1 4 8
    inf1.2xlarge 1 4 8
    inf1.6xlarge 4 16 8
    inf1.24xlarge 16 64 8
    inf2.xlarge 1 2 32
    inf2.8xlarge 1 2 32
    inf2.24xlarge 6 12 32
    inf2.48xlarge 12 24 32
    trn1.2xlarge 1 2 32
    trn1.32xlarge 16 32 32
    trn1n.32xlarge 16 32 32
    trn2.48xlarge 16 64 96
    trn2u.48xlarge 16 64 96
    trn2.ultraserver 64 256 96
    trn3.ultraserver-gen1 64 256 144
    trn3.ultraserver-gen2 144 576 144
"""


@pytest.mark.parametrize("row", TABLE.split("\n")[1:-1], ids=lambda row: row.split()[0])
def test_every_instance_type(row, monkeypatch):
    name, devices, count, gibibytes = row.split()
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", name)
    here = machine()
    assert here.layout.instance.devices == int(devices)
    assert [c.index for c in here.cores] == list(range(int(count)))
    assert here.cores[-1].device == int(devices) - 1
    assert sum(c.memory.limit for c in here.cores) == int(devices) * int(gibibytes) * GIB


def test_the_table_has_every_instance_type():
    assert {row.split()[0] for row in TABLE.split("\n")[1:-1]} == set(INSTANCES)


def test_inf2_is_the_default():
    assert layout().instance_type == "inf2.xlarge"


def test_an_unknown_instance_type_is_refused(monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "m5.large")
    with pytest.raises(ValueError, match=r"must be one of inf1.xlarge, .* got 'm5.large'"):
        machine()


@pytest.mark.parametrize("name", ["NEURON_LOGICAL_NC_CONFIG", "NEURON_RT_VIRTUAL_CORE_SIZE"])
def test_physical_cores_are_paired_or_not(name, monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "trn2.48xlarge")
    assert len(machine().cores) == 64
    assert machine().cores[0].memory.total == 192 * MIB  # the micro-code of two
    with fresh_machine():
        monkeypatch.setenv(name, "1")
        assert len(machine().cores) == 128
        assert machine().cores[127].memory.limit == 12 * GIB
        assert machine().cores[127].memory.total == 96 * MIB
        assert [c.stack for c in machine().cores[:9]] == [0, 0, 1, 1, 2, 2, 3, 3, 0]


def test_cores_that_cannot_be_paired(monkeypatch):
    monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", "2")
    with pytest.raises(ValueError, match=r"the cores of inf2\.xlarge cannot be paired, got 2"):
        machine()
    monkeypatch.setenv("NEURON_RT_VIRTUAL_CORE_SIZE", "1")
    with pytest.raises(ValueError, match="must be equal where both are set"):
        machine()


def test_the_environment_is_read_at_the_first_load(monkeypatch):
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "3-5,6")
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf2.48xlarge")
    assert not cores.initialized()
    model = load(neff(scaled()))
    assert model.cores == (0,)
    assert [(c.index, c.position, c.device) for c in machine().cores] == [
        (0, 3, 1),
        (1, 4, 2),
        (2, 5, 2),
        (3, 6, 3),
    ]
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0")
    assert len(machine().cores) == 4


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NEURON_RT_NUM_CORES", "x", "must be a number of NeuronCores, got 'x'"),
        ("NEURON_RT_VISIBLE_CORES", "1,0", "must be contiguous and increasing"),
        ("NEURON_RT_VISIBLE_CORES", "2", "Requested:nc2-nc2 Available:2"),
        ("NEURON_EMULATOR_EXCLUSIVE_CORES", "never", "must be one of asked, always, got 'never'"),
        ("NEURON_EMULATOR_FAULTS", "load", "one of status, delay and nan must be given"),
        ("NEURON_RT_MULTI_INSTANCE_SHARED_WEIGHTS", "2", "must be one of 0, 1, FALSE"),
        ("NEURON_RT_ASYNC_EXEC_MAX_INFLIGHT_REQUESTS", "-1", "must be a number from 0 to"),
        ("NEURON_LOGICAL_NC_CONFIG", "4", "must be one of 1, 2, got '4'"),
        ("NEURON_RT_EXEC_TIMEOUT", "soon", "must be a number from 0 to 2147483647, got 'soon'"),
        ("NEURON_RT_VALIDATE_HASH", "yes", "must be one of 0, 1, FALSE"),
        ("NEURON_RT_NUMERICAL_ERRORS_VERBOSITY", "all", "must be one of none, critical"),
        ("NEURON_RT_DBG_DUMP_INPUTS_ON_ERR", "NRT_TIMEOUT", "must be a number from 0 to"),
        ("NEURON_RT_STOCHASTIC_ROUNDING_EN", "yes", "must be one of 0, 1, got 'yes'"),
        ("NEURON_EMULATOR_CHECK_BOUNDS", "no", "must be one of 0, 1, FALSE"),
    ],
)
def test_unknown_values_are_refused_and_nothing_stays_held(name, value, message, monkeypatch):
    data = neff(scaled())
    monkeypatch.setenv("NEURON_RT_NUM_CORES", "2")
    monkeypatch.setenv(name, value)
    with pytest.raises((ValueError, NeuronRuntimeError), match=message):
        load(data)
    monkeypatch.delenv(name)
    cores.close()
    monkeypatch.setenv("NEURON_EMULATOR_EXCLUSIVE_CORES", "always")
    assert load(data).cores == (0,) and len(machine().cores) == 2


def test_what_has_no_effect_is_said(monkeypatch, capfd):
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("NEURON_RT_ASYNC_EXEC_MAX_INFLIGHT_REQUESTS", "3")
    machine()
    assert "MAX_INFLIGHT_REQUESTS has no effect" in capfd.readouterr().err


def test_out_of_memory_with_the_table_of_what_is_in_use(monkeypatch, tmp_path, capfd):
    home = machine().cores[1]
    small = on_core(scaled(), home)
    home.memory.limit = home.memory.total + 100
    with pytest.raises(NeuronRuntimeError) as caught:
        on_core(scaled(4000), home)
    assert caught.value.status is Status.NRT_RESOURCE
    text = str(caught.value)
    assert text.startswith(
        'nrt_load status=4, error message="Failed to allocate a resource for requested operation"'
    )
    assert "Failed to allocate 47." in text and "usage: model test) on ND 0:NC 1" in text
    lines = text.splitlines()
    assert [c.strip() for c in lines[2].split("|")][1:6] == [
        *("TOTAL", "Model Code", "Model Constants", "Tensors", "Shared Scratchpad")
    ]
    rows = {line.split("|")[0].strip(): line for line in lines[3:6]}
    assert list(rows) == ["ND 0", "NC 1", "NEFF 0"] and "96.000MB" in rows["NC 1"]
    assert "192.000MB" in rows["ND 0"]  # of both cores
    assert lines[6:] == ["NEFF id to name mapping:", "NEFF 0: test"]
    report = tmp_path / "neuron-emulator/inf2.xlarge/neuron_mem_table_device_0_hbm_1.log"
    assert report.read_text() == "\n".join(lines)[len(text.split(": Failed")[0]) + 2 :] + "\n"
    said = capfd.readouterr().err
    assert "ERROR  TDRV:log_dev_mem " in said and "TDRV:log_dev_mem_usage_table" in said
    np.testing.assert_array_equal(execute(small, np.ones(3, np.float32))[0], [1, 2, 3])

    report.unlink()
    monkeypatch.setenv("NEURON_RT_ENABLE_DEVICE_MEMORY_OOM_LOG", "0")
    with pytest.raises(NeuronRuntimeError):
        on_core(scaled(4000), home)
    assert not report.exists() and "usage_table" not in capfd.readouterr().err


def test_a_load_is_told_with_its_memory(monkeypatch, capfd):
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL_TDRV", "INFO")
    load(neff(scaled()))
    said = capfd.readouterr().err
    assert "INFO  TDRV:dml_log_dev_neff_mem" in said
    assert "model constants 12.000B" in said and "on ND 0:NC 0" in said


# Placement


def test_a_model_on_many_cores_is_compiled_once_and_its_weights_stand_once(monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf2.48xlarge")
    monkeypatch.setenv("NEURON_RT_LOG_LEVEL", "QUIET")
    data = neff(scaled())
    many, one = load(data, machine().cores), load(data, machine().cores[:1])
    assert many._ready is one._ready
    assert many.cores == tuple(range(24))
    assert [len(c.memory.models) for c in machine().cores] == [2] + [1] * 23
    many.unload()
    assert [len(c.memory.models) for c in machine().cores] == [1] + [0] * 23


def test_the_least_used_core():
    data = neff(scaled())
    load(data, placement.cores(0, 1))
    assert load(data, placement.cores(-1, 1)).cores == (1,)
    assert load(data, placement.cores(-1, 2)).cores == (0, 1)


@pytest.mark.parametrize(
    ("start", "count", "message"),
    [
        (0, 3, "nc_count must be -1 or between 1 and 2"),
        (0, 0, "nc_count must be -1 or between 1 and 2"),
        (2, 1, r"must name NeuronCores visible to this process \(0 to 1\)"),
        (1, 2, "must name NeuronCores visible to this process"),
        (-2, 1, "must name NeuronCores visible to this process"),
    ],
)
def test_cores_that_the_process_does_not_have(start, count, message):
    with pytest.raises(ValueError, match=message):
        placement.cores(start, count)


def test_moving_gives_the_old_cores_memory_back():
    first, second = machine().cores
    empty = first.memory.total
    model = load(neff(scaled()), [first])
    full = first.memory.total
    assert full > empty
    model.place([second])
    assert (first.memory.total, second.memory.total) == (empty, full)
    model.place([first, second])
    assert (first.memory.total, second.memory.total) == (full, full)
    model.unload()
    assert (first.memory.total, second.memory.total) == (empty, empty)


def test_a_move_that_fails_leaves_the_model_where_it_was():
    first, second = machine().cores
    second.memory.limit = second.memory.total
    model = load(neff(scaled()), [first])
    for target in ([second], [first, second]):
        with pytest.raises(NeuronRuntimeError, match="on ND 0:NC 1"):
            model.place(target)
        assert model.cores == (0,) and len(first.memory.models) == 1
        np.testing.assert_array_equal(execute(model, np.ones(3, np.float32))[0], [1, 2, 3])


def test_an_unloaded_model_cannot_be_used():
    model = load(neff(scaled()))
    model.unload()
    for use in (
        lambda: execute(model, np.ones(3, np.float32)),
        lambda: model.place(machine().cores),
    ):
        with pytest.raises(NeuronRuntimeError, match="model test is unloaded") as caught:
            use()
        assert caught.value.status is Status.NRT_INVALID_HANDLE


def test_a_thousand_loads_leave_nothing_behind():
    data = write_neff(scaled())
    kept = load(data, [core()])
    home = machine().cores[0]
    before, threads = home.memory.total, threading.active_count()

    def cycle(times: int) -> int:
        for _ in range(times):
            load(data, [home]).unload()
        gc.collect()
        return len(gc.get_objects())

    assert cycle(100) >= cycle(900) - 200
    assert (home.memory.total, threading.active_count()) == (before, threads)
    assert kept.cores == (0,)


def test_weights_of_unloaded_models_leave_host_memory():
    """Nothing else has these files loaded: each load compiles anew."""
    data, weights = neff(scaled(1 << 20)), 4 << 20
    resident = Path("/proc/self/statm")

    def cycle(times: int) -> int:
        for _ in range(times):
            load(data).unload()
        return int(resident.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = cycle(5)
    assert cycle(20) - before < 5 * weights
