"""A NEFF on a NeuronCore: results, states, turns, memory and errors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.container import write_neff
from runtime.kernels.kind import UnsupportedInstructionError
from runtime.model import load
from runtime.status import NeuronRuntimeError, Status
from tests.neff.programs import constant, input_variable, parameters, program
from tests.runtime.models import compiled, core, counter, execute, fresh_machine, on_core, scaled


def test_runs_what_was_written_to_a_file():
    model = load(bytes(write_neff(scaled())), [core()])
    assert model.inputs == (("x", "float32", (3,)),)
    assert model.outputs == (("output0", "float32", (3,)),)
    np.testing.assert_array_equal(execute(model, np.ones(3, np.float32))[0], [1, 2, 3])


def test_state_stays_on_the_core_and_is_not_returned():
    model = on_core(counter(), core())
    assert len(model.outputs) == 1 and len(model.inputs) == 1
    one = np.ones(1, np.float32)
    assert [execute(model, one)[0].item() for _ in range(3)] == [22.0, 24.0, 26.0]


def test_two_models_of_one_neff_have_states_of_their_own():
    data = write_neff(counter())
    first, second = load(data, [core()]), load(data, [core()])
    one = np.ones(1, np.float32)
    execute(first, one)
    assert execute(first, one)[0].item() == 24.0
    assert execute(second, one)[0].item() == 22.0


@pytest.mark.parametrize(
    "dtype", ["pred", "s8", "s16", "s32", "s64", "u8", "f16", "bf16", "f32", "f64", "c64"]
)
@pytest.mark.parametrize("dims", [(), (0,), (2, 3)])
def test_every_type_and_rank_passes_through(dtype, dims):
    b, inputs = Builder(), [input_variable("x", *dims, dtype=dtype)]
    (x,) = parameters(b, inputs)
    model = on_core(compiled(program(b, x, inputs=inputs)), core())
    shape = inputs[0].shape
    value = (np.arange(shape.size) % 2).reshape(dims).astype(shape.numpy)
    raw = model.execute([memoryview(value.reshape(-1).view(np.uint8))])[0]
    assert raw.tobytes() == value.tobytes()


def test_outputs_that_are_equal_inputs_and_constants():
    b, inputs = Builder(), [input_variable("x", 2), input_variable("unused", 5)]
    x, _ = parameters(b, inputs)
    p = compiled(program(b, x, x, constant(b, 7.0), inputs=inputs))
    value = np.array([1, 2], np.float32)
    first, second, seven = execute(on_core(p, core()), value, np.zeros(5, np.float32))
    np.testing.assert_array_equal(first, value)
    np.testing.assert_array_equal(second, value)
    assert seven == 7.0


def test_results_do_not_change_when_the_caller_changes_its_inputs():
    b, inputs = Builder(), [input_variable("x", 1 << 16)]
    (x,) = parameters(b, inputs)
    model = on_core(compiled(program(b, x, inputs=inputs)), core(memory=1 << 24))
    value = np.zeros(1 << 16, np.float32)
    result = execute(model, value)[0]
    value += 1
    assert not result.any()


def test_many_threads_get_the_serial_results():
    model = on_core(scaled(), core())
    inputs = [np.full(3, n, np.float32) for n in range(64)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda x: execute(model, x)[0], inputs))
    for x, result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(result, x * [1, 2, 3])


def test_counting_threads_lose_no_state():
    model = on_core(counter(), core())
    one = np.ones(1, np.float32)
    with ThreadPoolExecutor(8) as pool:
        seen = sorted(pool.map(lambda _: execute(model, one)[0].item(), range(50)))
    assert seen == [22.0 + 2 * n for n in range(50)]


def test_a_core_runs_one_execution_at_a_time():
    home = core()
    model = on_core(scaled(), home)
    finished = threading.Event()

    def call() -> None:
        execute(model, np.ones(3, np.float32))
        finished.set()

    with home.queue:
        thread = threading.Thread(target=call)
        thread.start()
        assert not finished.wait(0.2)
    assert finished.wait(10)
    thread.join()


def test_a_model_that_does_not_fit_is_refused_and_holds_nothing():
    small = core(memory=8)
    before = small.memory.total
    with pytest.raises(NeuronRuntimeError, match=r"Failed to allocate .* on ND 0:NC 0") as caught:
        on_core(scaled(), small)
    assert caught.value.status is Status.NRT_RESOURCE
    assert small.memory.total == before and small.memory.models == ()


def test_unloading_gives_the_memory_back():
    home = core()
    before = home.memory.total
    model = on_core(scaled(), home)
    assert home.memory.total >= before + 12
    model.unload()
    model.unload()
    assert home.memory.total == before and model.cores == ()


def test_an_op_without_a_kernel_is_refused_at_load_with_its_line():
    b = Builder()
    low = b.op("custom-call", Shape("u32"), custom_call_target="Unheard")
    home = core()
    before = home.memory.total
    with pytest.raises(UnsupportedInstructionError, match=r"knows, got Unheard\n  in  %0 = u32"):
        on_core(compiled(program(b, low, inputs=[])), home)
    assert home.memory.total == before


def test_loads_take_the_cores_in_turn(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    with fresh_machine():
        data = write_neff(scaled())
        assert [load(data).cores for _ in range(5)] == [(0,), (1,), (0,), (1,), (0,)]


def test_the_users_own_jax_keeps_its_settings():
    model = on_core(counter())
    execute(model, np.ones(1, np.float32))
    assert jax.numpy.asarray(np.float64(1)).dtype == np.float32
