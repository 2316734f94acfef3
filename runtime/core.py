"""The NeuronCores of this process: a queue and an account of device memory each."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from neff.targets import TARGETS
from runtime import faults
from runtime.hardware import INSTANCES, Instance
from runtime.logs import Level, log
from runtime.memory import MIB, Account, Needs, Usage
from runtime.reservation import Holder, Reservation, directory, holders
from runtime.settings import is_set, setting, switched_on
from runtime.status import NeuronRuntimeError, Status
from runtime.version import RUNTIME_VERSION
from runtime.visible import Request, request

GIB = 1 << 30


@dataclass(slots=True, eq=False)
class NeuronCore:
    """An emulated NeuronCore. `queue` is held while a model executes on it.

    `index` counts within the process's visible cores, `position` within the machine.
    """

    index: int
    position: int
    device: int
    memory: Account
    queue: threading.Lock = field(default_factory=threading.Lock)
    executions: int = 0

    def add_model(self, key: object, needs: Needs) -> None:
        """Take device memory for a model. Raises NeuronRuntimeError (NRT_RESOURCE) if too little
        is left; the message holds the table of what is in use."""
        if not self.memory.add_model(key, needs):
            size = needs.code + needs.constants + needs.tensors
            raise self._out_of_memory("nrt_load", size, f"model {needs.name}")

    def add_tensor(self, size: int) -> None:
        """Take device memory for a tensor of the caller's. Raises like `add_model`."""
        if not self.memory.add_tensor(size):
            raise self._out_of_memory("nrt_tensor_allocate", size, "tensors")

    def _out_of_memory(self, call: str, size: int, usage: str) -> NeuronRuntimeError:
        where = f"ND {self.device}:NC {self.position}"
        failed = f"Failed to allocate {size / GIB:.3f}GB (alignment: none, usage: {usage}) on {where}"
        table = memory_table(self)
        log(Level.ERROR, "TDRV", "log_dev_mem", failed)
        log(Level.ERROR, "TDRV", "log_dev_mem_usage_table", table)
        return NeuronRuntimeError(call, Status.NRT_RESOURCE, f"{failed}\n{table}")


def memory_table(core: NeuronCore) -> str:
    """What is in use on a core, for the core and for each model on it, in MiB."""
    columns = list(Usage)
    header = " | ".join(["where".ljust(24), "TOTAL".rjust(9), *(c.rjust(17) for c in columns)])

    def row(name: str, used: dict[Usage, int]) -> str:
        cells = [f"{sum(used.values()) / MIB:9.1f}", *(f"{used[c] / MIB:17.1f}" for c in columns)]
        return " | ".join([name[:24].ljust(24), *cells])

    rows = [row(f"ND {core.device} NC {core.position}", core.memory.used)]
    for m in core.memory.models:
        parts = (m.code, m.constants, m.tensors, m.scratchpad)
        rows.append(row(f"  {m.name}", dict(zip(columns, parts, strict=True))))
    limit = f"limit {core.memory.limit / MIB:.1f} MiB"
    return "\n".join([f"Displaying Current Memory Utilization (MiB, {limit}):", header, *rows])


class Machine:
    """The cores this process may use, given to models in linear order, round and round."""

    def __init__(self) -> None:
        self.instance_type = setting("NEURON_EMULATOR_INSTANCE_TYPE")
        self.instance = INSTANCES[self.instance_type]
        self._reservation = Reservation(directory(self.instance_type))
        asked = request(
            setting("NEURON_RT_VISIBLE_CORES"),
            setting("NEURON_RT_NUM_CORES"),
            self.instance.cores,
        )
        positions = self._claim(asked)
        self.cores = tuple(self._core(n, position) for n, position in enumerate(positions))
        self.exec_timeout = float(setting("NEURON_RT_EXEC_TIMEOUT") or self.instance.exec_timeout)
        self._turn = count()
        faults.read_environment()

    def _core(self, index: int, position: int) -> NeuronCore:
        device = position // self.instance.cores_per_device
        return NeuronCore(index, position, device, Account(self.instance.memory_per_core))

    def _claim(self, asked: Request) -> range:
        """Hold the cores this process asks for, and note who it is.

        A process that asks for none in particular may use all that nobody holds: unlike on the
        hardware it holds none of them, so that several such processes can share the machine,
        unless NEURON_EMULATOR_EXCLUSIVE_CORES is `always`.
        """
        every = range(self.instance.cores)
        exclusive = asked.exclusive or setting("NEURON_EMULATOR_EXCLUSIVE_CORES") == "always"
        if asked.count:
            cores = self._reservation.take_any(asked.count, self.instance.cores)
            if cores is None:
                raise self._not_available(f"{asked.count} NeuronCores", every)
        else:
            cores = asked.cores or every
            take = self._reservation.take if exclusive else self._reservation.held_by_others
            if taken := take(cores):
                raise self._not_available(f"nc{cores[0]}-nc{cores[-1]}", taken)
        self._reservation.describe(_this_process(tuple(cores), exclusive))
        return cores

    def _not_available(self, requested: str, taken: range | list[int]) -> NeuronRuntimeError:
        machine = directory(self.instance_type)
        others = [h for h in holders(machine) if h.exclusive and set(h.cores) & set(taken)]
        free = self.instance.cores - len({c for h in holders(machine) if h.exclusive for c in h.cores})
        said = f"NeuronCore(s) not available - Requested:{requested} Available:{free}"
        log(Level.ERROR, "NRT", "nrt_allocate_neuron_cores", said)
        names = [
            f"\n  NeuronCores {', '.join(map(str, h.cores))} are held by process {h.pid}: {h.command}"
            for h in others
        ]
        return NeuronRuntimeError("nrt_init", Status.NRT_RESOURCE, said + "".join(names))

    def check_target(self, target: str) -> None:
        """Refuse a program for another kind of NeuronCore than this machine has.

        Where no instance type was asked for, the machine is of any kind: it runs, with a warning.
        Raises NeuronRuntimeError (NRT_UNSUPPORTED_NEFF_VERSION).
        """
        needed = TARGETS[target].chip.core
        if needed == self.instance.core:
            return
        message = (
            f"the NEFF was compiled for {target} (NeuronCore-{needed}), {self.instance_type} has "
            f"NeuronCore-{self.instance.core}"
        )
        legacy = needed < self.instance.core and switched_on("NEURON_RT_ALLOW_LEGACY_NEFF")
        if legacy or not is_set("NEURON_EMULATOR_INSTANCE_TYPE"):
            log(Level.WARNING, "NEFF", "neff_parse", message)
            return
        log(Level.ERROR, "NEFF", "neff_parse", message)
        raise NeuronRuntimeError("nrt_load", Status.NRT_UNSUPPORTED_NEFF_VERSION, message)

    def next_core(self) -> NeuronCore:
        return self.cores[next(self._turn) % len(self.cores)]

    def least_used(self) -> NeuronCore:
        """The core with the fewest models, and of those the one with the least memory in use."""
        return min(self.cores, key=lambda c: (len(c.memory.models), c.memory.total, c.index))

    def close(self) -> None:
        """Give the cores back to other processes."""
        self._reservation.release()


def _this_process(cores: tuple[int, ...], exclusive: bool) -> Holder:
    command = shlex.join(getattr(sys, "orig_argv", None) or sys.argv)
    pid = os.getpid()
    tag = setting("NEURON_PROCESS_TAG") or str(pid)
    return Holder(pid, command[:4096], tag[:255], RUNTIME_VERSION, cores, exclusive)


_machine: Machine | None = None
_child = False
_lock = threading.Lock()


def machine() -> Machine:
    """The machine of this process; the environment is read when it is first asked for.

    Raises NeuronRuntimeError where the cores cannot be had, and in a process forked from one that
    had initialized the runtime.
    """
    global _machine
    if _machine is not None and not _child:
        return _machine
    with _lock:
        refuse_child("nrt_init")
        if _machine is None:
            _machine = Machine()
        return _machine


def initialized() -> bool:
    return _machine is not None


def close() -> None:
    """Forget the machine and give its cores back; the next call that needs one reads the
    environment anew. Models must have been unloaded."""
    global _machine
    with _lock:
        refuse_child("nrt_close")
        if _machine is not None:
            _machine.close()
        _machine = None


def refuse_child(call: str) -> None:
    """Raise in a process forked from one that had initialized the runtime."""
    if _child:
        message = "Incompatible runtime state: NRT_STATE_CHILD"
        log(Level.ERROR, "NRT", call, message)
        raise NeuronRuntimeError(
            call,
            Status.NRT_FAILURE,
            f"{message} (this process was forked after the runtime was initialized)\n"
            "  try: multiprocessing.set_start_method('spawn')",
        )


def _after_fork() -> None:
    global _child, _lock
    _lock = threading.Lock()
    if _machine is not None:
        _child = True
        _machine.close()  # the parent's descriptors still hold what the parent holds


os.register_at_fork(after_in_child=_after_fork)
