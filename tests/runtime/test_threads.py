"""Many threads on one model: serial results, cores that run one thing at a time, races."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from runtime.core import machine
from runtime.faults import inject_fault
from runtime.model import Model, load
from runtime.observe import record_executions
from runtime.status import NeuronRuntimeError, Status
from tests.neff.programs import input_variable, parameters, program
from tests.runtime.models import (
    compiled,
    counter,
    execute,
    fresh_machine,
    in_bytes,
    loop,
    neff,
    scaled,
    turns_in,
    typed,
)

THREADS = 64


@pytest.fixture(autouse=True)
def own_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("NEURON_EMULATOR_INSTANCE_TYPE", "inf2.24xlarge")
    with fresh_machine():
        yield


def batched() -> Model:
    """y = x + x for two rows of three, on four cores."""
    inputs = [input_variable("x", 2, 3)]
    b = Builder()
    (x,) = parameters(b, inputs)
    made = compiled(program(b, b.op("add", Shape("f32", (2, 3)), x, x), inputs=inputs))
    return load(neff(made), machine().cores[:4])


def test_64_threads_on_several_cores_give_the_serial_results():
    model = load(neff(scaled()), machine().cores[:4])
    given = [np.full(3, n, np.float32) for n in range(20 * THREADS)]
    with ThreadPoolExecutor(THREADS) as pool, record_executions() as record:
        results = list(pool.map(lambda x: execute(model, x)[0], given))
    for x, result in zip(given, results, strict=True):
        np.testing.assert_array_equal(result, x * [1, 2, 3])
    assert len(record) == len(given)
    by_core = {n: [e for e in record if e.core == n] for n in range(4)}
    assert [len(found) for found in by_core.values()] == [len(given) // 4] * 4
    for found in by_core.values():
        assert all(a.end <= b.start for a, b in pairwise(found))


def test_calls_go_to_the_cores_in_turn():
    model = load(neff(scaled()), machine().cores[2:5])
    with record_executions() as record:
        for _ in range(7):
            execute(model, np.ones(3, np.float32))
    assert [e.core for e in record] == [2, 3, 4, 2, 3, 4, 2]
    assert {e.thread for e in record} == {threading.get_native_id()}


def test_every_core_has_a_state_of_its_own():
    model = load(neff(counter()), machine().cores[:2])
    one = np.ones(1, np.float32)
    assert [execute(model, one)[0].item() for _ in range(4)] == [22.0, 22.0, 24.0, 24.0]
    model.place(machine().cores[1:3])  # states start anew
    assert [execute(model, one)[0].item() for _ in range(4)] == [22.0, 22.0, 24.0, 24.0]


def test_chunks_of_a_batch_run_on_all_cores_at_once():
    model = batched()
    for size in (1, 2, 3, 7, 8, 13):
        x = np.arange(3 * size, dtype=np.float32).reshape(size, 3)
        (made,) = model.execute_batch(in_bytes(x), size)
        np.testing.assert_array_equal(made.view(np.float32).reshape(size, 3), x + x)
    with inject_fault("execute", times=0, delay=0.2), record_executions() as record:
        start = time.perf_counter()
        model.execute_batch(in_bytes(np.ones((8, 3), np.float32)), 8)
        taken = time.perf_counter() - start
    assert sorted(e.core for e in record) == [0, 1, 2, 3]
    assert taken < 0.7  # one after the other: 0.8


def test_a_fault_in_one_chunk_comes_back_to_the_caller():
    model = batched()
    x = np.ones((16, 3), np.float32)
    with (
        inject_fault("execute", core=2, nth=2, status="NRT_HW_ERROR"),
        pytest.raises(NeuronRuntimeError, match="NeuronCore 2"),
    ):
        model.execute_batch(in_bytes(x), 16)
    (made,) = model.execute_batch(in_bytes(x), 16)
    np.testing.assert_array_equal(made.view(np.float32), np.full(48, 2))


def test_an_exception_comes_back_to_the_call_that_it_befell():
    model = load(neff(scaled()), machine().cores[:2])

    def call(n: int) -> Status | None:
        try:
            made = execute(model, np.full(3, n, np.float32))[0]
        except NeuronRuntimeError as error:
            return error.status
        np.testing.assert_array_equal(made, [n, 2 * n, 3 * n])
        return None

    with ThreadPoolExecutor(16) as pool:
        for status in [s for s in Status if s > 1]:
            with inject_fault("execute", nth=30, times=3, status=status):
                outcomes = list(pool.map(call, range(64)))
            assert outcomes.count(status) == 3 and outcomes.count(None) == 61


def test_the_gil_is_free_while_a_model_runs():
    model = load(neff(loop()), machine().cores[:1])
    count = turns_in(model, 0.5)
    started, done = threading.Event(), threading.Event()
    seconds = 0.0

    def call() -> None:
        nonlocal seconds
        started.set()
        start = time.perf_counter()
        execute(model, count)
        seconds = time.perf_counter() - start
        done.set()

    steps, longest, last = 0, 0.0, time.perf_counter()
    thread = threading.Thread(target=call)
    thread.start()
    started.wait()
    while not done.is_set():
        now = time.perf_counter()
        longest, last, steps = max(longest, now - last), now, steps + 1
    thread.join()
    assert seconds > 0.1
    assert longest < seconds / 2 and steps > 100


def test_the_gil_is_free_while_a_model_runs_in_the_thread_of_the_call():
    """Without a loop nothing watches the clock: the call itself is in XLA."""
    size = 700
    inputs = [input_variable("x", size, size)]
    b = Builder()
    (value,) = parameters(b, inputs)
    shape = Shape("f32", (size, size))
    for _ in range(40):
        value = b.op(
            "dot", shape, value, value, dot_dimension_numbers=DotDimensionNumbers((1,), (0,))
        )
    model = load(neff(compiled(program(b, value, inputs=inputs))), machine().cores[:1])
    x = np.zeros((size, size), np.float32)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (execute(model, x), done.set()))
    steps = 0
    thread.start()
    while not done.is_set():
        steps += 1
    thread.join()
    assert steps > 1000


def test_moving_while_threads_call():
    model = load(neff(scaled()), machine().cores[:2])
    empty = machine().cores[11].memory.total
    stop = threading.Event()

    def call(n: int) -> int:
        calls = 0
        while not stop.is_set():
            x = np.full(3, n, np.float32)
            np.testing.assert_array_equal(execute(model, x)[0], x * [1, 2, 3])
            calls += 1
        return calls

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call, n) for n in range(8)]
        for turn in range(200):
            first = turn % 11
            model.place(machine().cores[first : first + 2])
        stop.set()
        assert all(c.result() > 0 for c in calls)
    used = [c.memory.total > empty for c in machine().cores]
    assert used == [c.index in model.cores for c in machine().cores]


def test_unloading_while_threads_call():
    data = neff(scaled())
    models = [load(data, machine().cores[:2]) for _ in range(20)]

    def call(n: int) -> None:
        x = np.full(3, n, np.float32)
        for model in models:
            while True:
                try:
                    made = execute(model, x)[0]
                except NeuronRuntimeError as error:
                    assert error.status is Status.NRT_INVALID_HANDLE
                    break
                np.testing.assert_array_equal(made, x * [1, 2, 3])

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call, n) for n in range(8)]
        for model in models:
            time.sleep(0.01)
            model.unload()
        for found in calls:
            found.result(timeout=60)
    assert not any(c.memory.models for c in machine().cores)


def test_loads_of_one_file_at_once_compile_it_once():
    data = neff(scaled(5))
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: load(data), range(8)))
    assert len({id(m._ready) for m in models}) == 1
    assert sorted(m.cores[0] for m in models) == list(range(8))


def test_results_belong_to_their_call():
    """A result is not overwritten by the next execution on the core."""
    model = load(neff(scaled()), machine().cores[:1])
    first = model.execute(in_bytes(np.ones(3, np.float32)))
    model.execute(in_bytes(np.zeros(3, np.float32)))
    np.testing.assert_array_equal(typed(model, first)[0], [1, 2, 3])
