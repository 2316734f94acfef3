"""The runtime's interface in Python: states, models, tensors, sets, statuses, counts."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.container import write_neff
from runtime import core, faults, nrt
from runtime.hardware import INSTANCES
from runtime.model import Model, load
from runtime.nrt import state
from runtime.nrt.types import DataType, Framework, Placement, TensorInfo
from runtime.status import NeuronRuntimeError, Status
from tests.neff.programs import input_variable, parameters, program
from tests.runtime.models import compiled, fresh_machine, neff, scaled

ROOT = Path(__file__).parents[2]
DEVICE, HOST, VIRTUAL = Placement


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> Iterator[None]:
    """A machine of the test's own that nothing was asked of yet."""
    monkeypatch.setattr(state, "_closed", False)
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    with fresh_machine():
        yield


@pytest.fixture
def initialized() -> None:
    nrt.nrt_init()


SCALED = neff(scaled())


def fibonacci() -> bytes:
    """(a, b) -> (b, a + b), int32."""
    inputs = [input_variable(name, 1, dtype="s32") for name in ("a", "b")]
    build = Builder()
    a, b = parameters(build, inputs)
    total = build.op("add", Shape("s32", (1,)), a, b)
    return neff(compiled(program(build, b, total, inputs=inputs)))


def identity(dtype: str, *dims: int) -> bytes:
    """output0 = x."""
    b, inputs = Builder(), [input_variable("x", *dims, dtype=dtype)]
    return neff(compiled(program(b, *parameters(b, inputs), inputs=inputs)))


def unheard() -> bytes:
    """A model with a custom call that the runtime does not know."""
    b = Builder()
    low = b.op("custom-call", Shape("u32"), custom_call_target="Unheard")
    return neff(compiled(program(b, low, inputs=[])))


def refused(status: Status, message: str) -> pytest.RaisesExc:
    return pytest.raises(NeuronRuntimeError, match=f"status={status.value}, .*{re.escape(message)}")


def tensors(**given: np.ndarray) -> nrt.TensorSet:
    """A set of device tensors that hold arrays."""
    made = nrt.nrt_allocate_tensor_set()
    for name, array in given.items():
        tensor = nrt.nrt_tensor_allocate(DEVICE, 0, array.nbytes, name)
        nrt.nrt_tensor_write(tensor, array)
        nrt.nrt_add_tensor_to_tensor_set(made, name, tensor)
    return made


X = np.array([1, 10, 100], np.float32)
NOTHING = np.zeros(3, np.float32)


def result(found: nrt.TensorSet, name: str = "output0", dtype: type = np.float32) -> list[float]:
    return np.frombuffer(nrt.nrt_tensor_read(found[name]), dtype).tolist()


# Outside of nrt_init and nrt_close

ANYWHERE = {
    "nrt_allocate_tensor_set": lambda m, t, s: nrt.nrt_allocate_tensor_set(),
    "nrt_load": lambda m, t, s: nrt.nrt_load(b""),
    "nrt_unload": lambda m, t, s: nrt.nrt_unload(m),
    "nrt_execute": lambda m, t, s: nrt.nrt_execute(m, s, s),
    "nrt_execute_repeat": lambda m, t, s: nrt.nrt_execute_repeat(m, s, s, 1),
    "nrt_tensor_allocate": lambda m, t, s: nrt.nrt_tensor_allocate(HOST, -1, 4),
    "nrt_tensor_allocate_empty": lambda m, t, s: nrt.nrt_tensor_allocate_empty(),
    "nrt_tensor_allocate_slice": lambda m, t, s: nrt.nrt_tensor_allocate_slice(t, 0, 1),
    "nrt_tensor_attach_buffer": lambda m, t, s: nrt.nrt_tensor_attach_buffer(t, bytearray(1)),
    "nrt_tensor_read": lambda m, t, s: nrt.nrt_tensor_read(t),
    "nrt_tensor_write": lambda m, t, s: nrt.nrt_tensor_write(t, b"a"),
    "nrt_tensor_copy": lambda m, t, s: nrt.nrt_tensor_copy(t, 0, t, 0, 1),
    "nrt_tensor_memset": lambda m, t, s: nrt.nrt_tensor_memset(t, 0, 0, 1),
    "nrt_add_tensor_to_tensor_set": lambda m, t, s: nrt.nrt_add_tensor_to_tensor_set(s, "a", t),
    "nrt_get_tensor_from_tensor_set": lambda m, t, s: nrt.nrt_get_tensor_from_tensor_set(s, "x"),
    "nrt_get_model_tensor_info": lambda m, t, s: nrt.nrt_get_model_tensor_info(m),
    "nrt_get_model_instance_count": lambda m, t, s: nrt.nrt_get_model_instance_count(m),
    "nrt_get_model_info": lambda m, t, s: nrt.nrt_get_model_info(m),
    "nrt_get_vnc_memory_stats": lambda m, t, s: nrt.nrt_get_vnc_memory_stats(0),
    "nrt_close": lambda m, t, s: nrt.nrt_close(),
}


def test_calls_before_and_after(monkeypatch):
    nrt.nrt_init()
    model, held = nrt.nrt_load(SCALED), tensors(x=X)
    core.close()
    for closed, status in ((False, Status.NRT_UNINITIALIZED), (True, Status.NRT_CLOSED)):
        monkeypatch.setattr(state, "_closed", closed)
        for name, call in ANYWHERE.items():
            with refused(status, "call nrt_init first") as caught:
                call(model, held["x"], held)
            assert caught.value.call == name and caught.value.status is status


def test_closing_unloads_and_gives_back_and_a_new_start_is_new():
    nrt.nrt_init()
    model = nrt.nrt_load(SCALED)
    nrt.nrt_close()
    assert not core.initialized()
    nrt.nrt_init(Framework.PYTORCH, "2.9", "2.0")
    with refused(Status.NRT_INVALID_HANDLE, "is unloaded"):
        nrt.nrt_execute(model, tensors(x=X), tensors(output0=NOTHING))
    again, outputs = nrt.nrt_load(SCALED), tensors(output0=NOTHING)
    nrt.nrt_execute(again, tensors(x=X), outputs)
    assert result(outputs) == [1, 20, 300]


@pytest.mark.parametrize("framework", [Framework.INVALID, 17, -1])
def test_an_unknown_framework(framework):
    with refused(Status.NRT_INVALID, "framework must be a known one"):
        nrt.nrt_init(framework)


FORK = """
import os
from runtime import nrt
nrt.nrt_init()
if os.fork() == 0:
    for call in (nrt.nrt_init, nrt.nrt_allocate_tensor_set, nrt.nrt_close):
        try:
            call()
        except nrt.NeuronRuntimeError as error:
            print(error.call, error.status.name, "NRT_STATE_CHILD" in str(error), flush=True)
    os._exit(0)
os.wait()
print(len(nrt.nrt_allocate_tensor_set()))
"""


def test_a_forked_child_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "nrt_init NRT_FAILURE True",
        "nrt_allocate_tensor_set NRT_FAILURE True",
        "nrt_close NRT_FAILURE True",
        "0",
    ]
    assert "NRT:nrt_allocate_tensor_set" in done.stderr


# Models


@pytest.mark.usefixtures("initialized")
class TestModel:
    def test_runs(self):
        model = nrt.nrt_load(SCALED, 1)
        inputs, outputs = tensors(x=X), tensors(output0=NOTHING)
        nrt.nrt_execute(model, inputs, outputs)
        assert result(outputs) == [1, 20, 300]
        assert nrt.nrt_get_model_info(model) == 1
        assert nrt.nrt_get_model_instance_count(model) == 1
        assert nrt.nrt_get_model_vnc_count(model) == nrt.nrt_get_model_nc_count(model) == 1
        nrt.nrt_unload(model)
        with refused(Status.NRT_INVALID_HANDLE, "model test is unloaded"):
            nrt.nrt_execute(model, inputs, outputs)
        with refused(Status.NRT_INVALID_HANDLE, "model test is unloaded"):
            nrt.nrt_unload(model)

    def test_information(self):
        assert nrt.nrt_get_model_tensor_info(nrt.nrt_load(fibonacci())) == (
            TensorInfo("a", 0, 4, DataType.INT32, (1,)),
            TensorInfo("b", 0, 4, DataType.INT32, (1,)),
            TensorInfo("output0", 1, 4, DataType.INT32, (1,)),
            TensorInfo("output1", 1, 4, DataType.INT32, (1,)),
        )

    @pytest.mark.parametrize(
        ("dtype", "dims", "told"),
        [
            ("f32", (2, 3), TensorInfo("x", 0, 24, DataType.FLOAT32, (2, 3))),
            ("bf16", (4,), TensorInfo("x", 0, 8, DataType.BFLOAT16, (4,))),
            ("pred", (5,), TensorInfo("x", 0, 5, DataType.UINT8, (5,))),
            ("f64", (), TensorInfo("x", 0, 8, DataType.UNKNOWN, (1,))),
            ("s64", (0,), TensorInfo("x", 0, 0, DataType.INT64, (0,))),
        ],
    )
    def test_every_type_is_told_and_passes(self, dtype, dims, told):
        model = nrt.nrt_load(identity(dtype, *dims))
        assert nrt.nrt_get_model_tensor_info(model)[0] == told
        given = np.arange(told.size).astype(np.uint8) % 2
        outputs = tensors(output0=given * 0)
        nrt.nrt_execute(model, tensors(x=given), outputs)
        assert nrt.nrt_tensor_read(outputs["output0"]) == given.tobytes()

    def test_the_least_used_core_and_several(self):
        placed = [nrt.nrt_load(SCALED) for _ in range(3)]
        assert [nrt.nrt_get_model_info(m) for m in placed] == [0, 1, 0]
        both = nrt.nrt_load(SCALED, 0, 2)
        assert both.cores == (0, 1) and nrt.nrt_get_model_instance_count(both) == 2

    def test_the_same_models_as_the_frameworks(self):
        assert isinstance(nrt.nrt_load(SCALED), Model)
        outputs = tensors(output0=NOTHING)
        nrt.nrt_execute(load(SCALED), tensors(x=X), outputs)
        assert result(outputs) == [1, 20, 300]

    @pytest.mark.parametrize(
        ("vnc", "count", "status", "message"),
        [
            (2, -1, Status.NRT_INVALID, "Could not find VNC id 2 (0 to 1)"),
            (-2, -1, Status.NRT_INVALID, "Could not find VNC id -2 (0 to 1)"),
            (0, 3, Status.NRT_LOAD_NOT_ENOUGH_NC, "nc_count must be -1 or between 1 and 2"),
            (1, 2, Status.NRT_LOAD_NOT_ENOUGH_NC, "start_nc=1 with nc_count=2"),
        ],
    )
    def test_cores_there_are_not(self, vnc, count, status, message):
        with refused(status, message):
            nrt.nrt_load(SCALED, vnc, count)

    def test_no_neff(self):
        data = SCALED
        for bad in (
            b"",
            b"x" * 2000,
            data[:-1],
            data[:1200] + bytes([data[1200] ^ 1]) + data[1201:],
        ):
            with refused(Status.NRT_INVALID, "neff"):
                nrt.nrt_load(bad)

    def test_an_instruction_without_a_kernel(self):
        with refused(Status.NRT_INVALID, "knows, got Unheard"):
            nrt.nrt_load(unheard())

    def test_sets_that_do_not_fit(self):
        model = nrt.nrt_load(SCALED)
        good, outputs = tensors(x=X), tensors(output0=NOTHING)
        message = "input 'x' must be in the tensor set, got ['y']"
        with refused(Status.NRT_INVALID, message):
            nrt.nrt_execute(model, tensors(y=X), outputs)
        with refused(Status.NRT_INVALID, "output 'output0' must be in the tensor set, got ['x']"):
            nrt.nrt_execute(model, good, good)
        with refused(Status.NRT_INVALID, "input 'x' must have 12 bytes, got 8"):
            nrt.nrt_execute(model, tensors(x=X[:2]), outputs)
        nrt.nrt_tensor_free(good["x"])
        with refused(Status.NRT_INVALID_HANDLE, "tensor 'x' has no memory"):
            nrt.nrt_execute(model, good, outputs)

    def test_repeats(self):
        model = nrt.nrt_load(fibonacci())
        inputs = tensors(a=np.array([0], np.int32), b=np.array([1], np.int32))
        outputs = tensors(output0=np.zeros(1, np.int32), output1=np.zeros(1, np.int32))
        nrt.nrt_execute_repeat(model, inputs, outputs, 10)
        assert result(outputs, "output0", np.int32) + result(outputs, "output1", np.int32) == [
            55,
            89,
        ]
        with refused(Status.NRT_INVALID, "count must be at least 1, got 0"):
            nrt.nrt_execute_repeat(model, inputs, outputs, 0)
        two = nrt.nrt_load(identity("f32", 1))
        nrt.nrt_execute_repeat(two, tensors(x=X[:1]), tensors(output0=X[:1]), 2)

    def test_a_fault_comes_with_its_status_and_the_next_call_works(self):
        model, outputs = nrt.nrt_load(SCALED), tensors(output0=NOTHING)
        with (
            faults.inject_fault("execute", status=Status.NRT_EXEC_HW_ERR_NC_UE),
            refused(Status.NRT_EXEC_HW_ERR_NC_UE, ""),
        ):
            nrt.nrt_execute(model, tensors(x=X), outputs)
        nrt.nrt_execute(model, tensors(x=X), outputs)
        assert result(outputs) == [1, 20, 300]

    def test_many_threads(self):
        model = nrt.nrt_load(SCALED, 0, 2)

        def work(n: int) -> bool:
            outputs = tensors(output0=NOTHING)
            nrt.nrt_execute(model, tensors(x=np.full(3, n, np.float32)), outputs)
            return result(outputs) == [n, 2 * n, 3 * n]

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(work, range(64)))


# Tensors


def used() -> int:
    gc.collect()
    return nrt.nrt_get_vnc_memory_stats(0).bytes_used


@pytest.mark.usefixtures("initialized")
class TestTensor:
    def test_write_read_set_copy(self):
        tensor = nrt.nrt_tensor_allocate(DEVICE, 0, 8, "t")
        assert nrt.nrt_tensor_read(tensor) == bytes(8) and nrt.nrt_tensor_get_size(tensor) == 8
        nrt.nrt_tensor_write(tensor, b"abc", 2)
        nrt.nrt_tensor_memset(tensor, 6, 0x178, 2)
        assert nrt.nrt_tensor_read(tensor) == b"\0\0abc\0xx"
        other = nrt.nrt_tensor_allocate(HOST, -1, 4)
        nrt.nrt_tensor_copy(tensor, 2, other, 1, 3)
        assert nrt.nrt_tensor_read(other, 1, 2) == b"ab"
        into = bytearray(3)
        nrt.nrt_tensor_read_into(other, into, 1)
        assert into == b"abc"

    @pytest.mark.parametrize(
        "call",
        [
            lambda t: nrt.nrt_tensor_read(t, 5),
            lambda t: nrt.nrt_tensor_read(t, -1, 1),
            lambda t: nrt.nrt_tensor_read(t, 0, 5),
            lambda t: nrt.nrt_tensor_write(t, b"12345"),
            lambda t: nrt.nrt_tensor_write(t, b"1", 4),
            lambda t: nrt.nrt_tensor_memset(t, 0, 0, 1 << 60),
            lambda t: nrt.nrt_tensor_copy(t, 0, t, 1, 4),
            lambda t: nrt.nrt_tensor_allocate_slice(t, 2, 3),
        ],
    )
    def test_outside(self, call: Callable[[nrt.Tensor], object]):
        with refused(Status.NRT_INVALID, "tensor 't' has 4 bytes, got offset"):
            call(nrt.nrt_tensor_allocate(HOST, -1, 4, "t"))

    @pytest.mark.parametrize(("placement", "size"), [(7, 4), (DEVICE, -1)])
    def test_impossible_ones(self, placement, size):
        with refused(Status.NRT_INVALID, f"size {size} must be possible"):
            nrt.nrt_tensor_allocate(placement, 0, size)

    def test_on_no_core(self):
        with refused(Status.NRT_INVALID, "Could not find VNC id 2 (0 to 1)"):
            nrt.nrt_tensor_allocate(DEVICE, 2, 4)

    def test_devices_do_not_copy_to_one_another(self):
        first, second = (nrt.nrt_tensor_allocate(DEVICE, n, 4) for n in (0, 1))
        with refused(Status.NRT_INVALID, "the tensors are on different NeuronCores"):
            nrt.nrt_tensor_copy(first, 0, second, 0, 4)

    def test_device_memory_is_accounted_until_the_last_that_shares_it_is_freed(self):
        before = used()
        tensor = nrt.nrt_tensor_allocate(DEVICE, 0, 1000)
        part = nrt.nrt_tensor_allocate_slice(tensor, 10, 4, "part")
        inner = nrt.nrt_tensor_allocate_slice(part, 1, 2)
        nrt.nrt_tensor_allocate(HOST, -1, 1000)
        assert used() - before == 1000
        nrt.nrt_tensor_write(part, b"abcd")
        nrt.nrt_tensor_free(tensor)
        nrt.nrt_tensor_free(part)
        assert used() - before == 1000 and nrt.nrt_tensor_read(inner) == b"bc"
        nrt.nrt_tensor_free(inner)
        assert used() == before
        with refused(Status.NRT_INVALID_HANDLE, "tensor 'part' has no memory"):
            nrt.nrt_tensor_read(part)

    def test_more_than_the_core_has(self):
        before = used()
        with refused(Status.NRT_RESOURCE, "Failed to allocate 1024.000GB") as caught:
            nrt.nrt_tensor_allocate(DEVICE, 0, 1 << 40)
        assert "Displaying Current Memory Utilization" in caught.value.detail
        assert used() == before

    def test_memory_of_the_callers(self):
        tensor, own = nrt.nrt_tensor_allocate_empty("t"), np.zeros((2, 2), np.float32)
        with refused(Status.NRT_INVALID_HANDLE, "tensor 't' has no memory"):
            nrt.nrt_tensor_read(tensor)
        nrt.nrt_tensor_attach_buffer(tensor, own)
        assert tensor.placement is Placement.VIRTUAL
        assert nrt.nrt_tensor_get_va(tensor) == own.ctypes.data
        nrt.nrt_tensor_write(tensor, np.array([1, 2], np.float32), 8)
        assert own.tolist() == [[0, 0], [1, 2]]

    def test_memory_that_cannot_be_shared_or_written(self):
        tensor = nrt.nrt_tensor_allocate_empty("t")
        with refused(Status.NRT_INVALID, "the array must be contiguous"):
            nrt.nrt_tensor_attach_buffer(tensor, np.zeros((2, 2)).T[:1])
        nrt.nrt_tensor_attach_buffer(tensor, b"fixed")
        assert nrt.nrt_tensor_read(tensor) == b"fixed"
        for call in (
            lambda: nrt.nrt_tensor_write(tensor, b"a"),
            lambda: nrt.nrt_tensor_memset(tensor, 0, 0, 1),
            lambda: nrt.nrt_tensor_copy(tensor, 0, tensor, 1, 1),
        ):
            with refused(Status.NRT_INVALID, "tensor 't' stands for read-only memory"):
                call()

    def test_sets(self):
        made, tensor = nrt.nrt_allocate_tensor_set(), nrt.nrt_tensor_allocate(HOST, -1, 1)
        nrt.nrt_add_tensor_to_tensor_set(made, "a", tensor)
        assert nrt.nrt_get_tensor_from_tensor_set(made, "a") is tensor
        with refused(Status.NRT_FAILURE, "the set must have 'b', got ['a']"):
            nrt.nrt_get_tensor_from_tensor_set(made, "b")
        nrt.nrt_destroy_tensor_set(made)
        assert nrt.nrt_tensor_get_size(tensor) == 1 and not made


# The machine


def test_counts_take_nothing(monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf2.24xlarge")
    assert nrt.nrt_get_total_nc_count() == nrt.nrt_get_visible_nc_count() == 12
    monkeypatch.setenv("NEURON_RT_NUM_CORES", "3")
    assert nrt.nrt_get_visible_vnc_count() == 3
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "4-5")
    assert nrt.nrt_get_visible_nc_count() == 2 and not core.initialized()
    nrt.nrt_init()
    assert nrt.nrt_get_visible_nc_count() == 2 and nrt.nrt_get_total_vnc_count() == 12


def test_logical_cores(monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "trn2.48xlarge")
    assert nrt.nrt_get_total_nc_count() == nrt.nrt_get_visible_nc_count() == 128
    assert nrt.nrt_get_total_vnc_count() == nrt.nrt_get_visible_vnc_count() == 64


def test_a_pipeline_takes_several_cores(monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf1.xlarge")
    spread = write_neff(replace(scaled(), target="inf1"), pipeline_cores=2).tobytes()
    nrt.nrt_init()
    model = nrt.nrt_load(spread, 0, 4)
    assert nrt.nrt_get_model_instance_count(model) == 2
    assert nrt.nrt_get_model_vnc_count(model) == nrt.nrt_get_model_nc_count(model) == 2
    inputs, outputs = tensors(x=X), tensors(output0=NOTHING)
    nrt.nrt_execute(model, inputs, outputs)
    assert result(outputs) == [1, 20, 300]
    assert nrt.nrt_get_model_info(nrt.nrt_load(spread, 2)) == 2
    with refused(Status.NRT_LOAD_NOT_ENOUGH_NC, "nc_count must be at least 2"):
        nrt.nrt_load(spread, 0, 1)


@pytest.mark.parametrize("name", INSTANCES)
def test_every_instance_is_described(name, monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", name)
    info = nrt.nrt_get_instance_info()
    assert info.family > 0 and len(info.arch_name) < 16 and len(info.device_revision) < 8


def test_memory_stats():
    nrt.nrt_init()
    before = nrt.nrt_get_vnc_memory_stats(0)
    assert before.bytes_limit == 16 << 30 and 0 < before.bytes_used < before.bytes_limit
    model = nrt.nrt_load(SCALED, 0)
    assert nrt.nrt_get_vnc_memory_stats(0).bytes_used > before.bytes_used
    nrt.nrt_unload(model)
    assert nrt.nrt_get_vnc_memory_stats(0) == before
    with refused(Status.NRT_INVALID, "Could not find VNC id 2"):
        nrt.nrt_get_vnc_memory_stats(2)


def test_versions_and_names():
    assert nrt.nrt_get_version()[:2] == (nrt.NRT_MAJOR_VERSION, nrt.NRT_MINOR_VERSION) == (2, 0)
    assert nrt.nrt_get_status_as_str(1006) == "NRT_EXEC_OOB"
    with pytest.raises(ValueError, match="8 is not a valid Status"):
        nrt.nrt_get_status_as_str(8)
