"""neuron-ls: the published schema, who holds which core, the table and the links."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from runtime import ls
from runtime.core import machine
from runtime.hardware import INSTANCES
from runtime.links import linked, topology
from tests.runtime.models import fresh_machine

PUBLISHED = (
    *("neuron_device", "bdf", "cpu_affinity", "numa_node", "connected_to", "nc_count"),
    *("logical_neuroncore_config", "memory_size", "neuroncore_ids", "neuron_processes"),
)


@pytest.fixture(autouse=True)
def own_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    with fresh_machine():
        yield


def devices(capsys, *arguments: str) -> list[dict]:
    assert ls.main(["--json-output", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def table(capsys, *arguments: str) -> str:
    assert ls.main(arguments) == 0
    return capsys.readouterr().out


def test_the_published_schema(monkeypatch, capsys):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "trn2.48xlarge")
    found = devices(capsys)
    assert len(found) == 16 and tuple(found[0]) == PUBLISHED
    first = found[0]
    assert first["connected_to"] == [12, 3, 4, 1]
    assert (first["nc_count"], first["logical_neuroncore_config"]) == (4, 2)
    assert first["memory_size"] == 103079215104
    assert first["neuroncore_ids"] == [0, 1, 2, 3] and found[15]["neuroncore_ids"][-1] == 63
    assert first["neuron_processes"] == []


def test_looking_needs_no_core_and_takes_none(monkeypatch, capsys):
    monkeypatch.setenv("NEURON_EMULATOR_EXCLUSIVE_CORES", "always")
    machine()
    (device,) = devices(capsys)
    assert list(device) == [n for n in PUBLISHED if n != "logical_neuroncore_config"]
    (process,) = device["neuron_processes"]
    assert process["pid"] == os.getpid() and sys.orig_argv[0] in process["command"]
    assert process["neuron_runtime_version"] == "2.0.0"
    assert process["neuroncore_ids"] == [0, 1] and not process["shares"]


def test_which_process_holds_which_core(monkeypatch, capsys):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf2.24xlarge")
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "3-5")
    monkeypatch.setenv("NEURON_PROCESS_TAG", "serving")
    machine()
    found = devices(capsys)
    cores = [[p["neuroncore_ids"] for p in d["neuron_processes"]] for d in found]
    assert cores == [[], [[3]], [[4, 5]], [], [], []]
    assert found[1]["neuron_processes"][0]["neuron_process_tag"] == "serving"


def test_a_process_that_shares_is_said_to(capsys):
    machine()
    (device,) = devices(capsys)
    assert device["neuron_processes"][0]["shares"]
    assert "0-1 (shared)" in table(capsys)


def test_a_process_that_has_ended_is_not_shown(capsys):
    code = "from runtime.core import machine; machine(); import os; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    (device,) = devices(capsys)
    assert device["neuron_processes"] == []


def test_the_table(capsys):
    plain = table(capsys)
    assert plain.startswith("instance-type: inf2.xlarge\ninstance-id: i-")
    for word in ("DEVICE", "CORE IDS", "MEMORY", "CONNECTED", "BDF", "0-1", "32 GB", "10:00.0"):
        assert word in plain
    for word in ("AFFINITY", "PID", "Topology"):
        assert word not in plain
    machine()
    busy = table(capsys)
    assert str(os.getpid()) in busy and "RUNTIME" in busy and "2.0.0" in busy
    wide = table(capsys, "--wide", "--topology")
    for word in ("AFFINITY", "NUMA", "Neuron Device Topology\n[  0  ]"):
        assert word in wide


def test_all_processes(capsys):
    (device,) = devices(capsys, "--show-all-procs")
    (process,) = device["neuron_processes"]
    assert process["pid"] == os.getpid() and process["neuroncore_ids"] == []


def test_logical_cores_are_in_the_header(monkeypatch, capsys):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "trn2.48xlarge")
    assert "logical-neuroncore-config: 2\n" in table(capsys)


def test_what_cannot_be_shown(monkeypatch, capsys):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "m5.large")
    assert ls.main([]) == 1
    assert "neuron-ls: NEURON_EMULATOR_INSTANCE_TYPE: must be one of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        ls.main(["--colour"])


@pytest.mark.parametrize("name", INSTANCES)
def test_links_go_both_ways(name):
    instance = INSTANCES[name]
    for n in range(instance.devices):
        others = linked(instance, n)
        assert n not in others and len(set(others)) == len(others)
        assert all(n in linked(instance, other) for other in others)
        assert others or instance.devices == 1
    assert topology(instance).count("[") == instance.devices


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8")]
)
def test_numbers_in_ranges(numbers, text):
    assert ls.in_ranges(numbers) == text
