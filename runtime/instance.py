"""A model on one NeuronCore, or on the cores of a pipeline: its memory and state, how it is run."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass

import numpy as np

from hlo_frontend.hlo.types import ELEMENT_TYPES, element_type_of
from runtime import faults, observe
from runtime.background import in_background
from runtime.core import NeuronCore, machine
from runtime.executable import Executable, Made, State
from runtime.input_dump import dump_inputs
from runtime.logs import Level, log
from runtime.settings import is_set, number, setting, switched_on
from runtime.status import NeuronRuntimeError, Status

Cores = tuple[NeuronCore, ...]  # those that an execution takes at once


class ClosedError(Exception):
    """The instance was moved away or unloaded before the call had its turn."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an execution is held to; read from the environment at load."""

    timeout: float = math.inf  # seconds
    watched: bool = False  # whether it may take that long, so that a call must look at the clock
    fail_on_nan: bool = False
    dumped: int = 0  # the status with which an execution leaves its inputs in a file; 0: none


def limits(ready: Executable) -> Limits:
    """What the environment asks of a model that is loaded now."""
    name = "NEURON_RT_EXEC_TIMEOUT"
    critical = setting("NEURON_RT_NUMERICAL_ERRORS_VERBOSITY") == "critical"
    return Limits(
        timeout=float(number(name)) if is_set(name) else machine().layout.exec_timeout,
        watched=ready.loops or is_set(name),
        fail_on_nan=switched_on("NEURON_FAIL_ON_NAN") or critical,
        dumped=number("NEURON_RT_DBG_DUMP_INPUTS_ON_ERR"),
    )


class Instance:
    """A model on one core, or in equal parts on several that run it together.

    Raises NeuronRuntimeError (NRT_RESOURCE) where it does not fit.
    """

    def __init__(self, ready: Executable, cores: Cores, limits: Limits) -> None:
        if faults.active():
            faults.strike("load", cores[0].index, math.inf)
        self.cores = cores
        self.core = cores[0]
        self._ready = ready
        self._limits = limits
        self._queue = cores[0].queue if len(cores) == 1 else _Queues(cores)
        self._take_memory()
        self._state: State = ready.initial_state
        self._closed = False
        # Held while this instance runs, so that closing it need not wait for the core: the garbage
        # collector closes models too, in a thread in which another may be running on the core.
        self._running = threading.Lock()

    def _take_memory(self) -> None:
        needs = self._ready.needs.part_of(len(self.cores))
        try:
            for core in self.cores:
                core.add_model(self, needs)
        except NeuronRuntimeError:
            self._give_memory_back()
            raise

    def _give_memory_back(self) -> None:
        for core in self.cores:
            core.memory.remove_model(self)

    def execute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run once, as soon as the core is free. Raises NeuronRuntimeError."""
        try:
            outputs = self._execute(arrays)
            if self._limits.fail_on_nan and any(map(_has_nan, outputs)):
                raise self._failed(Status.NRT_EXEC_COMPLETED_WITH_NUM_ERR)
            return outputs
        except NeuronRuntimeError as error:
            if self._limits.dumped == error.status:
                dump_inputs(self._ready.program.name, self.core.executions, arrays)
            raise

    def _execute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        with self._queue, self._running:
            if self._closed:
                raise ClosedError
            start = time.perf_counter()
            struck = faults.active() and faults.strike(
                "execute", self.core.index, self._limits.timeout
            )
            made = self._run(arrays)
            outputs = [np.asarray(output) for output in made.outputs]
            if made.out_of_bounds is not None and np.asarray(made.out_of_bounds)[()]:
                raise self._failed(Status.NRT_EXEC_OOB)
            self._state = made.state
            for core in self.cores:
                core.executions += 1
            if observe.recording():
                self._record(start)
        return [_spoiled(o) for o in outputs] if struck else outputs

    def _run(self, arrays: Sequence[np.ndarray]) -> Made:
        if not self._limits.watched:
            return self._ready.start(arrays, self._state)
        # A run cannot be stopped: after a time-out it may still read its inputs, so it has its own.
        own, state = [a.copy() for a in arrays], self._state

        def run() -> Made:
            made = self._ready.start(own, state)
            made.wait()
            return made

        result = in_background("neuron-watched", run)
        if not wait([result], self._limits.timeout).done:
            raise self._timed_out()
        return result.result()

    def restart(self) -> None:
        """Give the state its first value again, once an execution that runs has ended."""
        with self._running:
            self._state = self._ready.initial_state

    def close(self) -> None:
        """Give the core's memory back, once an execution that runs has ended."""
        with self._running:
            self._closed = True
            self._state = ()
        self._give_memory_back()

    def _where(self) -> str:
        core, name = self.core, self._ready.program.name
        return f"Neuron Device {core.device} NC {core.position}, model {name}"

    def _failed(self, status: Status) -> NeuronRuntimeError:
        log(Level.ERROR, "NRT", "nrt_infodump", f"Failure: {status.name} in nrt_execute()")
        return NeuronRuntimeError("nrt_execute", status, self._where())

    def _timed_out(self) -> NeuronRuntimeError:
        milliseconds = round(self._limits.timeout * 1000)
        message = (
            f"execution timeout ({milliseconds} ms) on {self._where()}, "
            "waiting for execution completion notification"
        )
        log(Level.ERROR, "TDRV", "exec_wait", f"(FATAL-RT-UNDEFINED-STATE) {message}")
        return NeuronRuntimeError("nrt_execute", Status.NRT_TIMEOUT, message)

    def _record(self, start: float) -> None:
        end, thread = time.perf_counter(), threading.get_native_id()
        name = self._ready.program.name
        for record in observe.recording():
            record += [
                observe.Execution(core.index, name, start, end, thread) for core in self.cores
            ]


class _Queues:
    """The queues of several cores, held together; in the order of the cores, so that nobody waits
    for one who waits for him."""

    def __init__(self, cores: Cores) -> None:
        self._locks = [core.queue for core in sorted(cores, key=lambda core: core.index)]

    def __enter__(self) -> None:
        for lock in self._locks:
            lock.acquire()

    def __exit__(self, *_: object) -> None:
        for lock in self._locks:
            lock.release()


def _spoiled(output: np.ndarray) -> np.ndarray:
    return np.full_like(output, np.nan) if _floating(output) else output


def _has_nan(array: np.ndarray) -> bool:
    return _floating(array) and bool(np.isnan(array).any())


def _floating(array: np.ndarray) -> bool:
    return ELEMENT_TYPES[element_type_of(array.dtype)].kind in ("float", "complex")
