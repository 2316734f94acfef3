"""Whatever goes wrong ends with its status and message, and the next call works."""

from __future__ import annotations

import struct
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from neff.container import write_neff
from runtime.core import machine
from runtime.faults import inject_fault
from runtime.model import load
from runtime.observe import record_executions
from runtime.status import MESSAGES, NeuronRuntimeError, Status
from tests.runtime.models import (
    counter,
    execute,
    fresh_machine,
    logarithm,
    loop,
    neff,
    on_core,
    rows,
    scaled,
    turns_in,
)

ONES = np.ones(3, np.float32)


@pytest.fixture(autouse=True)
def own_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    with fresh_machine():
        yield


def refused(status: Status, detail: str, call: str = "nrt_execute"):
    """The error with a status, in the words the frameworks print it."""
    words = f'{call} status={status.value}, error message="{MESSAGES[status]}": '
    return pytest.raises(NeuronRuntimeError, match=_escaped(words) + detail)


def _escaped(text: str) -> str:
    return text.replace("(", r"\(").replace(")", r"\)").replace("/", r"\/")


def works(model) -> None:
    np.testing.assert_array_equal(execute(model, ONES)[0], [1, 2, 3])
    assert all(not c.queue.locked() for c in machine().cores)


# Files


def test_a_truncated_file():
    data = neff(scaled())
    for length in (0, 100, 1024, len(data) - 1):
        with refused(Status.NRT_INVALID, "neff: ", "nrt_load"):
            load(data[:length])
    works(load(data))


def test_another_version_of_the_format(capfd):
    data = bytearray(neff(scaled()))
    struct.pack_into("<QQ", data, 24, 1, 0)
    with refused(
        Status.NRT_UNSUPPORTED_NEFF_VERSION,
        r"NEFF version mismatch supported: 2.0 received: 1.0",
        "nrt_load",
    ):
        load(data)
    assert "ERROR  NEFF:neff_parse " in capfd.readouterr().err


def test_features_of_a_later_version():
    data = bytearray(neff(scaled()))
    header = data[:1024]
    offset = next(n for n in range(1016, 0, -8) if _features(header, n))
    struct.pack_into("<Q", data, offset, 1 << 8)
    with refused(
        Status.NRT_UNSUPPORTED_NEFF_VERSION,
        "NEFF version: 2.0, features: 0x100 are not supported.  Currently supporting: 0x",
        "nrt_load",
    ):
        load(data)


def _features(header: bytearray, offset: int) -> bool:
    """Whether the number at an offset is the header's feature bits."""
    from neff.header import read_header

    changed = bytearray(header)
    struct.pack_into("<Q", changed, offset, 1 << 8)
    try:
        read_header(memoryview(changed))
    except ValueError as error:
        return "features: 0x100" in str(error)
    return False


def test_contents_that_are_not_those_of_the_hash(monkeypatch):
    data = bytearray(neff(scaled()))
    data[-1] ^= 1  # of the archive's last block, which holds nothing
    works(load(data))
    monkeypatch.setenv("NEURON_RT_VALIDATE_HASH", "1")
    with refused(Status.NRT_INVALID, "neff: the contents do not have the hash", "nrt_load"):
        load(data)
    works(load(neff(scaled())))


def test_a_damaged_weight():
    program = scaled()
    data = bytearray(write_neff(program, compress=False))
    (weight,) = program.weights.values()
    data[bytes(data).index(weight.array.tobytes()) + 2] ^= 1
    with refused(Status.NRT_INVALID, r"neff: sg00/\w+.npy does not have the checksum", "nrt_load"):
        load(data)


def test_a_file_with_the_hash_of_another_is_taken_for_no_other():
    good, other = load(neff(scaled())), neff(counter())
    forged = bytearray(other)
    start = neff(scaled()).find(scaled_digest := _digest(neff(scaled())))
    forged[start : start + len(scaled_digest)] = scaled_digest
    model = load(forged)
    assert model.inputs != good.inputs
    assert execute(model, np.ones(1, np.float32))[0].item() == 22.0


def _digest(data: bytes) -> bytes:
    from neff.header import read_header

    return read_header(memoryview(data)).digest


@pytest.mark.parametrize("legacy", ["0", "1"])
def test_a_program_for_an_older_core(legacy, monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "trn2.48xlarge")
    monkeypatch.setenv("NEURON_RT_ALLOW_LEGACY_NEFF", legacy)
    if legacy == "1":
        works(load(neff(scaled())))
        return
    with refused(
        Status.NRT_UNSUPPORTED_NEFF_VERSION,
        r"the NEFF was compiled for inf2 \(NeuronCore-v2\), trn2.48xlarge has NeuronCore-v3",
        "nrt_load",
    ):
        load(neff(scaled()))


def test_a_program_for_a_newer_core_is_never_legacy(monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf1.xlarge")
    monkeypatch.setenv("NEURON_RT_ALLOW_LEGACY_NEFF", "1")
    with refused(Status.NRT_UNSUPPORTED_NEFF_VERSION, "the NEFF was compiled for", "nrt_load"):
        load(neff(scaled()))


def test_where_no_machine_was_asked_for_any_core_will_do(monkeypatch, capfd):
    from dataclasses import replace

    monkeypatch.setenv("NEURON_RT_LOG_LEVEL", "WARNING")
    works(load(neff(replace(scaled(), target="trn2"))))
    assert "WARNING  NEFF:neff_parse" in capfd.readouterr().err


# Executions


@pytest.mark.parametrize("status", [s for s in Status if s >= 1], ids=lambda s: s.name)
def test_after_every_fault_the_next_call_works(status):
    data = neff(scaled())
    with inject_fault("load", status=status):
        with refused(status, r"NeuronCore 0 \(an injected fault\)", "nrt_load"):
            load(data, machine().cores)
        assert not any(c.memory.models for c in machine().cores)
    model = load(data, machine().cores[:1])
    with inject_fault("execute", nth=2, status=status.name):
        works(model)
        with refused(status, r"NeuronCore 0 \(an injected fault\)"):
            execute(model, ONES)
        works(model)
    works(model)


def test_a_load_that_fails_on_the_second_core_leaves_the_first():
    data = neff(scaled())
    with (
        inject_fault("load", core=1, status=Status.NRT_RESOURCE),
        refused(Status.NRT_RESOURCE, "NeuronCore 1", "nrt_load"),
    ):
        load(data, machine().cores)
    assert not any(c.memory.models for c in machine().cores)
    works(load(data, machine().cores))


def test_faults_of_the_environment(monkeypatch):
    monkeypatch.setenv(
        "NEURON_EMULATOR_FAULTS",
        "load status=NRT_RESOURCE; execute nth=2 core=0 status=NRT_TIMEOUT; execute nth=3 nan=1",
    )
    data = neff(scaled())
    with refused(Status.NRT_RESOURCE, "NeuronCore 0", "nrt_load"):
        load(data, machine().cores[:1])
    model = load(data, machine().cores[:1])
    works(model)
    with refused(Status.NRT_TIMEOUT, "NeuronCore 0"):
        execute(model, ONES)
    assert np.isnan(execute(model, ONES)[0]).all()
    works(model)
    with fresh_machine():  # read anew, and not put beside those of before
        with pytest.raises(NeuronRuntimeError):
            load(data)
        load(data)


def test_a_slow_execution_is_late_and_holds_its_core():
    model = load(neff(scaled()), machine().cores[:1])
    with inject_fault("execute", delay=0.2), record_executions() as record:
        threads = [threading.Thread(target=works_eventually, args=(model,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(record) == 3
    assert record[0].end - record[0].start >= 0.2
    assert all(a.end <= b.start for a, b in pairwise(record))


def works_eventually(model) -> None:
    np.testing.assert_array_equal(execute(model, ONES)[0], [1, 2, 3])


def test_a_delay_beyond_the_time_out(monkeypatch):
    monkeypatch.setenv("NEURON_RT_EXEC_TIMEOUT", "1")
    model = load(neff(scaled()), machine().cores[:1])
    with inject_fault("execute", delay=60):
        start = time.perf_counter()
        with refused(Status.NRT_TIMEOUT, "NeuronCore 0"):
            execute(model, ONES)
        assert 0.9 < time.perf_counter() - start < 10
    works(model)


def test_a_loop_that_takes_too_long(monkeypatch, capfd):
    monkeypatch.setenv("NEURON_RT_EXEC_TIMEOUT", "1")
    home = machine().cores[:1]
    model, other = load(neff(loop()), home), load(neff(scaled()), home)
    assert execute(model, np.array(5, np.int32))[0] == 5
    with refused(
        Status.NRT_TIMEOUT, r"execution timeout \(1000 ms\) on Neuron Device 0 NC 0, model loop,"
    ):
        execute(model, turns_in(model, 3.0))
    said = capfd.readouterr().err
    assert "(FATAL-RT-UNDEFINED-STATE) execution timeout (1000 ms)" in said
    assert execute(model, np.array(7, np.int32))[0] == 7
    works(other)


def test_not_a_number_is_an_error_where_it_is_asked_for(monkeypatch):
    bad, good = np.array([-1, 1], np.float32), np.ones(2, np.float32)
    assert np.isnan(execute(on_core(logarithm()), bad)[0][0])
    for name, value in (
        ("NEURON_RT_NUMERICAL_ERRORS_VERBOSITY", "critical"),
        ("NEURON_FAIL_ON_NAN", "1"),
    ):
        monkeypatch.setenv(name, value)
        model = on_core(logarithm())
        with refused(Status.NRT_EXEC_COMPLETED_WITH_NUM_ERR, "Neuron Device 0 NC 0, model test"):
            execute(model, bad)
        np.testing.assert_array_equal(execute(model, good)[0], [0, 0])
        monkeypatch.delenv(name)


def test_a_gather_out_of_bounds(monkeypatch, capfd):
    model = on_core(rows())
    np.testing.assert_array_equal(
        execute(model, np.array([3, 0, 1], np.int32))[0], [[6, 7], [0, 1], [2, 3]]
    )
    for outside in (4, -1, 1 << 30):
        with refused(Status.NRT_EXEC_OOB, "Neuron Device 0 NC 0, model rows"):
            execute(model, np.array([0, outside, 1], np.int32))
    assert "Failure: NRT_EXEC_OOB in nrt_execute()" in capfd.readouterr().err
    np.testing.assert_array_equal(execute(model, np.array([0, 0, 0], np.int32))[0], [[0, 1]] * 3)
    monkeypatch.setenv("NEURON_EMULATOR_CHECK_BOUNDS", "0")
    clamped = on_core(rows())
    np.testing.assert_array_equal(
        execute(clamped, np.array([9, 3, -5], np.int32))[0], [[6, 7], [6, 7], [0, 1]]
    )


def test_a_state_is_as_before_a_fault():
    model = on_core(counter())
    one = np.ones(1, np.float32)
    assert execute(model, one)[0].item() == 22.0
    with inject_fault("execute", status="NRT_HW_ERROR"), pytest.raises(NeuronRuntimeError):
        execute(model, one)
    assert execute(model, one)[0].item() == 24.0


def test_the_inputs_of_a_failed_execution_in_a_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURON_RT_DBG_DUMP_INPUTS_ON_ERR", "1006")
    model = on_core(rows())
    bad = np.array([0, 4, 1], np.int32)
    with pytest.raises(NeuronRuntimeError):
        execute(model, bad)
    with inject_fault("execute", status="NRT_TIMEOUT"), pytest.raises(NeuronRuntimeError):
        execute(model, bad)
    (folder,) = tmp_path.glob("input_dump_*_h_nn_0")
    assert (folder / "model_name.txt").read_text() == "rows\n"
    assert (folder / "input0.bin").read_bytes() == bad.tobytes()
