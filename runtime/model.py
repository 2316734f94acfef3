"""A NEFF loaded on one or several NeuronCores."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np

from hlo_frontend.hlo.types import Shape
from neff.container import Neff, read_neff
from neff.errors import NeffError, NeffVersionError
from runtime import faults, observe
from runtime.core import NeuronCore, machine, refuse_child
from runtime.executable import Executable, Made, executable
from runtime.logs import Level, log
from runtime.settings import is_set, setting, switched_on
from runtime.status import NeuronRuntimeError, Status

# Chunks of a batch that run on different cores; the thread of the call itself runs the first.
_pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="neuron-batch")


class _ClosedError(Exception):
    """The instance was moved away or unloaded before the call had its turn."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an execution is held to; read from the environment at load."""

    timeout: float  # seconds
    watched: bool  # whether it may take that long, so that a call must look at the clock
    fail_on_nan: bool


class Instance:
    """A model on one core: its share of the core's memory, and a state of its own."""

    def __init__(self, ready: Executable, core: NeuronCore) -> None:
        self.core = core
        self._ready = ready
        core.add_model(self, ready.needs)
        self._state = ready.initial_state
        self._closed = False

    def execute(self, arrays: Sequence[np.ndarray], limits: Limits) -> list[np.ndarray]:
        """Run once, as soon as the core is free. Raises NeuronRuntimeError."""
        with self.core.queue:
            if self._closed:
                raise _ClosedError
            start = time.perf_counter()
            spoiled = bool(faults.active()) and faults.strike(
                "execute", self.core.index, limits.timeout
            )
            made = self._ready.start(arrays, self._state)
            if limits.watched and not made.wait(limits.timeout):
                raise self._timed_out(limits.timeout)
            outputs = [np.asarray(output) for output in made.outputs]
            self._check_bounds(made)
            self._state = made.state
            self.core.executions += 1
            self._record(start)
        if spoiled:
            outputs = [_spoiled(o) for o in outputs]
        if limits.fail_on_nan and any(map(_has_nan, outputs)):
            raise NeuronRuntimeError(
                "nrt_execute", Status.NRT_EXEC_COMPLETED_WITH_NUM_ERR, self._where()
            )
        return outputs

    def close(self) -> None:
        """Give the core's memory back, once an execution that runs has ended."""
        with self.core.queue:
            self._closed = True
            self.core.memory.remove_model(self)
            self._state = ()

    def _where(self) -> str:
        core, name = self.core, self._ready.program.name
        return f"Neuron Device {core.device} NC {core.position}, model {name}"

    def _timed_out(self, seconds: float) -> NeuronRuntimeError:
        milliseconds = round(seconds * 1000)
        message = (
            f"execution timeout ({milliseconds} ms) on {self._where()}, "
            "waiting for execution completion notification"
        )
        log(Level.ERROR, "TDRV", "exec_wait", f"(FATAL-RT-UNDEFINED-STATE) {message}")
        return NeuronRuntimeError("nrt_execute", Status.NRT_TIMEOUT, message)

    def _check_bounds(self, made: Made) -> None:
        if made.out_of_bounds is not None and made.out_of_bounds:
            log(Level.ERROR, "NRT", "nrt_infodump", "Failure: NRT_EXEC_OOB in nrt_execute()")
            raise NeuronRuntimeError("nrt_execute", Status.NRT_EXEC_OOB, self._where())

    def _record(self, start: float) -> None:
        for record in observe.recording():
            end, thread = time.perf_counter(), threading.get_native_id()
            name = self._ready.program.name
            record.append(observe.Execution(self.core.index, name, start, end, thread))


def _spoiled(output: np.ndarray) -> np.ndarray:
    return np.full_like(output, np.nan) if _floating(output) else output


def _floating(array: np.ndarray) -> bool:
    return array.dtype.kind in "fcV" or array.dtype.name.startswith(("bfloat", "float"))


def _has_nan(array: np.ndarray) -> bool:
    return _floating(array) and bool(np.isnan(array).any())


class Model:
    """A program on its cores. Calls may come from many threads; they go to the cores in turn."""

    def __init__(self, ready: Executable, cores: Sequence[NeuronCore], limits: Limits) -> None:
        self._ready = ready
        self._limits = limits
        self.inputs, self.outputs = ready.inputs, ready.outputs
        self._layout = [(s.numpy, s.dims) for s in ready.called]
        self._moving = threading.Lock()
        self._turn = count()
        self._instances = _placed(ready, cores)

    @property
    def name(self) -> str:
        return self._ready.program.name

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self._ready.called

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self._ready.returned

    @property
    def cores(self) -> tuple[int, ...]:
        """The cores it is on, by their index in this process; none once it is unloaded."""
        return tuple(i.core.index for i in self._instances)

    def execute(self, inputs: Sequence[memoryview]) -> list[np.ndarray]:
        """Run once on the next core. Inputs are the bytes of each tensor, row-major; so are the
        results, as uint8. Shapes and types must have been checked against `inputs`."""
        arrays = [
            np.frombuffer(view, dtype).reshape(dims)
            for view, (dtype, dims) in zip(inputs, self._layout, strict=True)
        ]
        return [o.reshape(-1).view(np.uint8) for o in self._run(next(self._turn), arrays)]

    def execute_batch(self, inputs: Sequence[memoryview], batch: int) -> list[np.ndarray]:
        """Run a batch of any size in chunks of the size that was compiled, on all cores at once.

        Dimension 0 of every input and output is the batch. The last chunk is padded with zeros.
        """
        arrays = [
            np.frombuffer(view, dtype).reshape(batch, *dims[1:])
            for view, (dtype, dims) in zip(inputs, self._layout, strict=True)
        ]
        size = self._layout[0][1][0]
        outputs = [np.empty((batch, *s.dims[1:]), s.numpy) for s in self._ready.returned]

        def run(turn: int, first: int) -> None:
            made = self._run(turn, [_padded(a[first : first + size], size) for a in arrays])
            for output, part in zip(outputs, made, strict=True):
                output[first : first + size] = part[: batch - first]

        starts = range(0, batch, size)
        lanes = min(len(starts), len(self._instances))
        turns = [next(self._turn) for _ in range(lanes)]
        _at_once([partial(_each, partial(run, t), starts[n::lanes]) for n, t in enumerate(turns)])
        return [o.reshape(-1).view(np.uint8) for o in outputs]

    def _run(self, turn: int, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run on the core whose turn it is; again on another if the model is being moved."""
        while True:
            refuse_child("nrt_execute")
            instances = self._instances
            if not instances:
                with self._moving:  # a move ends, an unloaded model stays without
                    instances = self._instances
            if not instances:
                raise NeuronRuntimeError(
                    "nrt_execute", Status.NRT_INVALID_HANDLE, f"model {self.name} is unloaded"
                )
            try:
                return instances[turn % len(instances)].execute(arrays, self._limits)
            except _ClosedError:
                continue

    def place(self, cores: Sequence[NeuronCore]) -> None:
        """Move to other cores, once what runs has ended. States start anew.

        Raises NeuronRuntimeError where the cores have too little memory: the model then stays.
        """
        with self._moving:
            old = self._instances
            for instance in old:  # what they hold may be what the new place needs
                instance.close()
            self._instances = ()
            try:
                self._instances = _placed(self._ready, cores)
            except NeuronRuntimeError:
                self._instances = _placed(self._ready, [i.core for i in old])
                raise

    def unload(self) -> None:
        """Give the cores' memory back. The model cannot be executed afterwards."""
        with self._moving:
            for instance in self._instances:
                instance.close()
            self._instances = ()


def _placed(ready: Executable, cores: Sequence[NeuronCore]) -> tuple[Instance, ...]:
    """An instance on each core, or none where one of them refuses."""
    placed: list[Instance] = []
    try:
        for core in cores:
            if faults.active():
                faults.strike("load", core.index, math.inf)
            placed.append(Instance(ready, core))
    except BaseException:
        for instance in placed:
            instance.close()
        raise
    return tuple(placed)


def _padded(chunk: np.ndarray, size: int) -> np.ndarray:
    """A chunk of a batch, in the size that was compiled."""
    if len(chunk) == size:
        return chunk
    whole = np.zeros((size, *chunk.shape[1:]), chunk.dtype)
    whole[: len(chunk)] = chunk
    return whole


def _each(run: Callable[[int], None], items: Iterable[int]) -> None:
    for item in items:
        run(item)


def _at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Make every call, the first in this thread; raise what the first of them to fail raised."""
    others = [_pool.submit(call) for call in calls[1:]]
    try:
        for call in calls[:1]:
            call()
    finally:
        wait(others)
    for other in others:
        other.result()


# Every model that is loaded, so that closing the runtime can unload them.
_loaded: weakref.WeakSet[Model] = weakref.WeakSet()


def load(
    neff: bytes | bytearray | memoryview, cores: Sequence[NeuronCore] | None = None
) -> Model:
    """Load a NEFF on cores, by default on the next in turn. Raises like `read` and `load_file`."""
    file = read(neff)
    return load_file(file, cores if cores is not None else (machine().next_core(),))


def read(neff: bytes | bytearray | memoryview) -> Neff:
    """The contents of a NEFF. Raises NeuronRuntimeError: NRT_INVALID for a file that is damaged or
    none, NRT_UNSUPPORTED_NEFF_VERSION for another version of the format."""
    try:
        return read_neff(neff)
    except NeffError as error:
        wrong_version = isinstance(error, NeffVersionError)
        status = Status.NRT_UNSUPPORTED_NEFF_VERSION if wrong_version else Status.NRT_INVALID
        log(Level.ERROR, "NEFF", "neff_parse", str(error))
        raise NeuronRuntimeError("nrt_load", status, str(error)) from error


def load_file(file: Neff, cores: Sequence[NeuronCore]) -> Model:
    """Load a NEFF that was read.

    Raises NeuronRuntimeError: NRT_UNSUPPORTED_NEFF_VERSION for another kind of core, NRT_RESOURCE
    where a core has too little memory; UnsupportedInstructionError for an op without a kernel.
    """
    here = machine()
    here.check_target(file.program.target)
    ready = executable(file)
    fail = setting("NEURON_RT_NUMERICAL_ERRORS_VERBOSITY") == "critical"
    limits = Limits(
        timeout=here.exec_timeout,
        watched=ready.loops or is_set("NEURON_RT_EXEC_TIMEOUT"),
        fail_on_nan=fail or switched_on("NEURON_FAIL_ON_NAN"),
    )
    model = Model(ready, cores, limits)
    _loaded.add(model)
    for core in cores:
        where = f"ND {core.device}:NC {core.position}"
        log(Level.INFO, "TDRV", "dml_log_dev_neff_mem", f"{ready.needs} on {where}")
    return model


def unload_all() -> None:
    """Unload every model of this process."""
    for model in list(_loaded):
        model.unload()
