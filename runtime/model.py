"""A NEFF loaded on one or several NeuronCores."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np

from hlo_frontend.hlo.types import Shape
from neff.container import Neff, check_hash, read_neff
from neff.errors import NeffError, NeffVersionError
from neff.program import Program
from neff.undisturbed import undisturbed
from runtime.background import in_background
from runtime.core import NeuronCore, in_child, machine, refuse_child
from runtime.executable import Executable, Mode, executable, prepared
from runtime.instance import ClosedError, Cores, Instance, Limits, limits
from runtime.logs import Level, log
from runtime.settings import switched_on
from runtime.status import NeuronRuntimeError, Status

logger = logging.getLogger("Neuron")
# Chunks of a batch that run on different cores; the thread of the call itself runs the first.
_pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="neuron-batch")


class Model:
    """A program on its cores. Calls may come from many threads; they go to the cores in turn.

    A program for a pipeline takes `size` cores at once: `cores` holds one such run after the other.
    """

    def __init__(
        self, ready: Executable, cores: Sequence[NeuronCore], limits: Limits, size: int = 1
    ) -> None:
        self._ready = ready
        self.size = size
        self._limits = limits
        self.inputs, self.outputs = ready.inputs, ready.outputs
        self._layout = [(s.numpy, s.dims) for s in ready.called]
        self._watched = ready.narrowed
        self._moving = threading.Lock()
        self._turn = count()
        self._instances = _placed(ready, self._runs(cores), self._limits)

    @property
    def ready(self) -> Executable:
        """What its cores have in common."""
        return self._ready

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
        return tuple(core.index for i in self._instances for core in i.cores)

    def _runs(self, cores: Sequence[NeuronCore]) -> list[Cores]:
        """The cores in the runs that each take the program."""
        return list(zip(*[iter(cores)] * self.size, strict=True))

    def execute(self, inputs: Sequence[memoryview]) -> list[np.ndarray]:
        """Run once on the next core. Inputs are the bytes of each tensor, row-major; so are the
        results, as uint8. Shapes and types must have been checked against `inputs`."""
        arrays = [
            np.ndarray(dims, dtype, view)
            for view, (dtype, dims) in zip(inputs, self._layout, strict=True)
        ]
        if self._watched:
            self._watch(arrays)
        return [o.reshape(-1).view(np.uint8) for o in self._run(next(self._turn), arrays)]

    def execute_batch(self, inputs: Sequence[memoryview], batch: int) -> list[np.ndarray]:
        """Run a batch of any size in chunks of the size that was compiled, on all cores at once.

        Dimension 0 of every input and output is the batch. The last chunk is padded with zeros.
        """
        refuse_child("nrt_execute")  # the threads of the pool are its parent's
        arrays = [
            np.ndarray((batch, *dims[1:]), dtype, view)
            for view, (dtype, dims) in zip(inputs, self._layout, strict=True)
        ]
        if self._watched:
            self._watch(arrays)
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
        """Run on the core whose turn it is; again on another if the model has been moved."""
        refuse_child("nrt_execute")
        while instances := self._instances:
            try:
                return instances[turn % len(instances)].execute(arrays)
            except ClosedError:
                continue
        raise self._unloaded("nrt_execute")

    def _unloaded(self, call: str) -> NeuronRuntimeError:
        return NeuronRuntimeError(call, Status.NRT_INVALID_HANDLE, f"model {self.name} is unloaded")

    def _watch(self, arrays: Sequence[np.ndarray]) -> None:
        """Warn, once a model, of an input that the emulated core would cut off to 32 bits."""
        for n, lowest, highest in self._watched:
            given = arrays[n].reshape(-1)
            if given.size and (_greatest(given) > highest or _least(given) < lowest):
                self._watched = ()
                logger.warning(
                    "input %s holds integers that 32 bits cannot (%d to %d): on this target "
                    "int64 is computed as int32, and their upper halves are cut off",
                    *(self.inputs[n][0], _least(given), _greatest(given)),
                )
                return

    def place(self, cores: Sequence[NeuronCore]) -> None:
        """Move to other cores; what runs ends where it is. States start anew.

        Raises NeuronRuntimeError where the cores have too little memory: the model then stays.
        """
        refuse_child("nrt_load")
        with self._moving:
            old = {i.cores: i for i in self._instances}
            if not old:
                raise self._unloaded("nrt_load")
            runs = self._runs(cores)
            new = _placed(self._ready, [r for r in runs if r not in old], self._limits)
            every = {i.cores: i for i in (*old.values(), *new)}
            self._instances = tuple(every[r] for r in runs)
            for run, instance in old.items():
                if run in runs:
                    instance.restart()
                else:
                    instance.close()

    def unload(self) -> None:
        """Give the cores' memory back. The model cannot be executed afterwards."""
        if in_child():  # nothing of the parent's is the child's to give back
            return
        with self._moving:
            instances, self._instances = self._instances, ()
            for instance in instances:
                instance.close()


_least, _greatest = np.minimum.reduce, np.maximum.reduce  # half the time of an array's methods


def _placed(ready: Executable, runs: Sequence[Cores], limits: Limits) -> tuple[Instance, ...]:
    """An instance on each core or run of cores, or none where one of them refuses."""
    placed: list[Instance] = []
    try:
        for run in runs:
            placed.append(Instance(ready, run, limits))
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
_listing = threading.Lock()  # held while that set is changed or gone through


def load(neff: bytes | bytearray | memoryview, cores: Sequence[NeuronCore] | None = None) -> Model:
    """Load a NEFF on cores, by default on the next in turn. Raises like `read` and `load_file`."""
    file = read(neff)
    here = machine(file.program.target)
    return load_file(file, cores if cores is not None else here.next_cores(file.header.num_tpb))


@undisturbed()
def read(neff: bytes | bytearray | memoryview) -> Neff:
    """The contents of a NEFF; its weights are compared with their checksums in the background.

    Raises NeuronRuntimeError: NRT_INVALID for a file that is damaged or none,
    NRT_UNSUPPORTED_NEFF_VERSION for another version of the format. What only a weight's checksum
    or the file's hash tells is raised by `check` and `load_file`.
    """
    with _damage_refused():
        file = read_neff(neff, verify=False)
    checks = [in_background("neuron-checksum", file.check)]
    if switched_on("NEURON_RT_VALIDATE_HASH"):
        checks.append(in_background("neuron-hash", partial(check_hash, neff)))
    return replace(file, checking=lambda: [check.result() for check in checks])


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except NeffError as error:
        wrong_version = isinstance(error, NeffVersionError)
        status = Status.NRT_UNSUPPORTED_NEFF_VERSION if wrong_version else Status.NRT_INVALID
        log(Level.ERROR, "NEFF", "neff_parse", str(error))
        raise NeuronRuntimeError("nrt_load", status, str(error)) from error


def check(file: Neff) -> None:
    """Wait until a file that was read is known to be whole. Raises like `read`."""
    with _damage_refused():
        file.check()


@undisturbed()
def load_file(file: Neff, cores: Sequence[NeuronCore]) -> Model:
    """Load a NEFF that was read.

    Raises NeuronRuntimeError: NRT_INVALID for a file that is damaged, NRT_UNSUPPORTED_NEFF_VERSION
    for another kind of core, NRT_RESOURCE where a core has too little memory;
    UnsupportedInstructionError for an op without a kernel.
    """
    machine().check_target(file.program.target, file.header.lnc_size)
    with _damage_refused():
        ready = executable(file, Mode.in_force())
    return _loaded_on(ready, cores, file.header.num_tpb)


@undisturbed()
def load_program(program: Program, cores: Sequence[NeuronCore] | None = None) -> Model:
    """Load a program that is in no file, by default on the next core in turn.

    It is compiled anew each time, and for any machine. Raises like `load_file`.
    """
    ready = prepared(program, Mode.in_force())
    return _loaded_on(ready, cores if cores is not None else machine().next_cores(1))


def _loaded_on(ready: Executable, cores: Sequence[NeuronCore], size: int = 1) -> Model:
    model = Model(ready, cores, limits(ready), size)
    with _listing:
        _loaded.add(model)
    for core in cores:
        log(Level.INFO, "TDRV", "dml_log_dev_neff_mem", f"{ready.needs} on {core.name}")
    return model


def loaded_models() -> list[Model]:
    """Every model of this process that was loaded and is still referred to."""
    with _listing:
        return list(_loaded)


def unload_all() -> None:
    """Unload every model of this process."""
    for model in loaded_models():
        model.unload()
