"""A NEFF on a NeuronCore: results, states, turns, memory and errors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.container import write_neff
from neff.options import parse_options
from neff.pipeline import pipeline, run
from neff.program import Kind, Program, Variable, Weight
from runtime.core import Machine, NeuronCore, NeuronRuntimeError
from runtime.interpreter import UnsupportedInstructionError
from runtime.model import Model, load
from tests.neff.programs import input_variable, parameters, program, weight_variable


def compiled(p: Program) -> Program:
    return run(p, pipeline(parse_options(None)), lambda record: None)


def core(memory: int = 1 << 20) -> NeuronCore:
    return NeuronCore(0, memory)


def execute(model: Model, *arrays: np.ndarray) -> list[np.ndarray]:
    made = model.execute([memoryview(np.ascontiguousarray(a)).cast("B") for a in arrays])
    return [
        raw.view(v.shape.numpy).reshape(v.shape.dims)
        for raw, v in zip(made, model.program.outputs, strict=False)
    ]


def scaled() -> Program:
    """y = x * w"""
    inputs = [input_variable("x", 3), weight_variable("w", np.array([1, 2, 3], np.float32))]
    b = Builder()
    x, w = parameters(b, inputs)
    return compiled(program(b, b.op("multiply", Shape("f32", (3,)), x, w), inputs=inputs))


def counter() -> Program:
    """state += x; y = state * 2, where the new state is the second output."""
    start = Weight.of(np.array([10.0], np.float32))
    inputs = [input_variable("x", 1), Variable("s", start.shape, Kind.STATE, start)]
    b = Builder()
    x, s = parameters(b, inputs)
    new = b.op("add", start.shape, x, s)
    twice = b.op("add", start.shape, new, new)
    return compiled(replace(program(b, twice, new, inputs=inputs), aliases=((1, 1),)))


def test_runs_what_was_written_to_a_file():
    model = load(bytes(write_neff(scaled())), core())
    assert model.inputs == (("x", "float32", (3,)),)
    assert model.outputs == (("output0", "float32", (3,)),)
    np.testing.assert_array_equal(execute(model, np.ones(3, np.float32))[0], [1, 2, 3])


def test_state_stays_on_the_core_and_is_not_returned():
    model = Model(counter(), core())
    assert len(model.outputs) == 1 and len(model.inputs) == 1
    one = np.ones(1, np.float32)
    assert [execute(model, one)[0].item() for _ in range(3)] == [22.0, 24.0, 26.0]


def test_two_models_of_one_neff_have_states_of_their_own():
    data = write_neff(counter())
    first, second = load(data, core()), load(data, core())
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
    model = Model(compiled(program(b, x, inputs=inputs)), core())
    shape = inputs[0].shape
    value = (np.arange(shape.size) % 2).reshape(dims).astype(shape.numpy)
    raw = model.execute([memoryview(value.reshape(-1).view(np.uint8))])[0]
    assert raw.tobytes() == value.tobytes()


def test_outputs_that_are_equal_inputs_and_constants():
    b, inputs = Builder(), [input_variable("x", 2), input_variable("unused", 5)]
    x, _ = parameters(b, inputs)
    from tests.neff.programs import constant

    p = compiled(program(b, x, x, constant(b, 7.0), inputs=inputs))
    value = np.array([1, 2], np.float32)
    first, second, seven = execute(Model(p, core()), value, np.zeros(5, np.float32))
    np.testing.assert_array_equal(first, value)
    np.testing.assert_array_equal(second, value)
    assert seven == 7.0


def test_results_do_not_change_when_the_caller_changes_its_inputs():
    b, inputs = Builder(), [input_variable("x", 1 << 16)]
    (x,) = parameters(b, inputs)
    model = Model(compiled(program(b, x, inputs=inputs)), core(1 << 24))
    value = np.zeros(1 << 16, np.float32)
    result = execute(model, value)[0]
    value += 1
    assert not result.any()


def test_many_threads_get_the_serial_results():
    model = Model(scaled(), core())
    inputs = [np.full(3, n, np.float32) for n in range(64)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda x: execute(model, x)[0], inputs))
    for x, result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(result, x * [1, 2, 3])


def test_counting_threads_lose_no_state():
    model = Model(counter(), core())
    one = np.ones(1, np.float32)
    with ThreadPoolExecutor(8) as pool:
        seen = sorted(pool.map(lambda _: execute(model, one)[0].item(), range(50)))
    assert seen == [22.0 + 2 * n for n in range(50)]


def test_a_core_runs_one_execution_at_a_time():
    model = Model(scaled(), core())
    model.core.queue.acquire()
    finished = threading.Event()

    def call() -> None:
        execute(model, np.ones(3, np.float32))
        finished.set()

    thread = threading.Thread(target=call)
    thread.start()
    assert not finished.wait(0.2)
    model.core.queue.release()
    assert finished.wait(10)
    thread.join()


def test_a_model_that_does_not_fit_is_refused_and_holds_nothing():
    small = core(memory=8)
    with pytest.raises(NeuronRuntimeError, match="NeuronCore 0 has 8 of 8 bytes left"):
        Model(scaled(), small)
    assert small.used == 0


def test_unloading_gives_the_memory_back():
    home = core()
    model = Model(scaled(), home)
    assert home.used >= 12
    model.unload()
    assert home.used == 0


def test_an_op_without_a_kernel_is_refused_at_load_with_its_line():
    b = Builder()
    low = b.op("custom-call", Shape("u32"), custom_call_target="Unheard")
    home = core()
    with pytest.raises(UnsupportedInstructionError, match=r"knows, got Unheard\n  in  %0 = u32"):
        Model(compiled(program(b, low, inputs=[])), home)
    assert home.used == 0


def test_models_take_the_cores_in_turn():
    machine = Machine("inf2.xlarge")
    assert [machine.next_core().index for _ in range(5)] == [0, 1, 0, 1, 0]


def test_an_unknown_instance_type_is_refused(monkeypatch):
    from runtime.settings import setting

    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "m5.large")
    with pytest.raises(ValueError, match=r"must be one of inf1.xlarge, .* got 'm5.large'"):
        setting("NEURON_EMULATOR_INSTANCE_TYPE")


def test_the_users_own_jax_keeps_its_settings():
    model = Model(counter(), core())
    execute(model, np.ones(1, np.float32))
    assert jax.numpy.asarray(np.float64(1)).dtype == np.float32
