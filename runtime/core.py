"""The NeuronCores of this process: a queue and an account of device memory each."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neff.targets import TARGETS
from runtime import faults
from runtime.layout import layout
from runtime.logs import Level, log
from runtime.memory import MICROCODE, Account, Needs, in_units
from runtime.memory_report import memory_table, write_report
from runtime.reservation import Holder, Reservation, directory, holders
from runtime.settings import is_set, number, setting, switched_on
from runtime.status import NeuronRuntimeError, Status
from runtime.version import RUNTIME_VERSION
from runtime.visible import Request, cores_of_groups, request

GIB = 1 << 30
SHOWN = 120  # characters of a command in an error


@dataclass(slots=True, eq=False)
class NeuronCore:
    """An emulated NeuronCore. `queue` is held while a model executes on it.

    `index` counts within the process's visible cores, `position` within the machine; `stack` is
    the part of its device's memory that it uses, `reports` where a report of it is left, and
    `on_device` the accounts of all visible cores of its device.
    """

    index: int
    position: int
    device: int
    memory: Account
    stack: int = 0
    reports: Path | None = None
    on_device: list[Account] = field(default_factory=list)
    queue: threading.Lock = field(default_factory=threading.Lock)
    executions: int = 0

    @property
    def name(self) -> str:
        """Where it is in the machine, as the runtime's messages say it."""
        return f"ND {self.device}:NC {self.position}"

    def add_model(self, key: object, needs: Needs) -> None:
        """Take device memory for a model. Raises NeuronRuntimeError (NRT_RESOURCE) if too little
        is left; the message holds the table of what is in use."""
        if not self.memory.add_model(key, needs):
            raise self._out_of_memory("nrt_load", needs.own, f"model {needs.name}")

    def add_tensor(self, size: int) -> None:
        """Take device memory for a tensor of the caller's. Raises like `add_model`."""
        if not self.memory.add_tensor(size):
            raise self._out_of_memory("nrt_tensor_allocate", size, "tensors")

    def _out_of_memory(self, call: str, size: int, usage: str) -> NeuronRuntimeError:
        amount = f"{size / GIB:.3f}GB" if size >= GIB else in_units(size)
        failed = f"Failed to allocate {amount} (alignment: none, usage: {usage}) on {self.name}"
        table = memory_table(self.device, self.position, self.memory, self.on_device)
        log(Level.ERROR, "TDRV", "log_dev_mem", failed)
        if switched_on("NEURON_RT_ENABLE_DEVICE_MEMORY_OOM_LOG"):
            log(Level.ERROR, "TDRV", "log_dev_mem_usage_table", table)
            if self.reports is not None:
                write_report(self.reports, self.device, self.stack, f"{failed}\n{table}")
        return NeuronRuntimeError(call, Status.NRT_RESOURCE, f"{failed}\n{table}")


class Machine:
    """The cores this process may use, given to models in linear order, round and round."""

    def __init__(self, target: str = "") -> None:
        self.layout = layout(target)
        wanted = setting("NEURON_RT_NUM_CORES") or _number_of_groups()
        asked = request(setting("NEURON_RT_VISIBLE_CORES"), wanted, self.layout.cores)
        exclusive = setting("NEURON_EMULATOR_EXCLUSIVE_CORES") == "always" or asked.exclusive
        faults.read_environment()  # before anything is held: it may raise
        _answer_settings_without_effect()
        self._directory = directory(self.layout.instance_type)
        self._reservation = Reservation(self._directory)
        positions = self._claim(asked, exclusive)
        self.cores = tuple(self._core(n, position) for n, position in enumerate(positions))
        for core in self.cores:
            core.on_device += [c.memory for c in self.cores if c.device == core.device]
        self._next = 0  # the position of the core whose turn it is
        self._taking = threading.Lock()

    def _core(self, index: int, position: int) -> NeuronCore:
        here = self.layout
        account = Account(here.memory_per_core, MICROCODE * here.logical)
        stack = here.memory_stack(position)
        return NeuronCore(index, position, here.device(position), account, stack, self._directory)

    def _claim(self, asked: Request, exclusive: bool) -> Sequence[int]:
        """Hold the cores this process asks for, and note who it is.

        A process that asks for none in particular uses all of them: unlike on the hardware it
        does not hold them, so that several such processes can share the machine, unless
        NEURON_EMULATOR_EXCLUSIVE_CORES is `always`. It is refused where another holds one.
        """
        every = range(self.layout.cores)
        cores = asked.cores or every
        if asked.count:
            found = self._reservation.take_any(asked.count, len(every))
            if found is None:
                raise self._not_available(str(asked.count), every)
            cores = found
        else:
            take = self._reservation.take if exclusive else self._reservation.held_by_others
            if take(cores):
                raise self._not_available(f"nc{cores[0]}-nc{cores[-1]}", cores)
        try:
            self._reservation.describe(_this_process(tuple(cores), exclusive))
        except BaseException:
            self._reservation.release()
            raise
        return cores

    def _not_available(self, requested: str, among: Sequence[int]) -> NeuronRuntimeError:
        others = [
            h
            for h in holders(self._directory)
            if h.exclusive and not set(among).isdisjoint(h.cores)
        ]
        free = len(set(among).difference(*(h.cores for h in others)))
        said = f"NeuronCore(s) not available - Requested:{requested} Available:{free}"
        log(Level.ERROR, "NRT", "nrt_allocate_neuron_cores", said)
        names = [
            f"\n  nc{h.cores[0]}-nc{h.cores[-1]} held by process {h.pid}: "
            + " ".join(h.command.split())[:SHOWN]
            for h in others
        ]
        return NeuronRuntimeError("nrt_init", Status.NRT_RESOURCE, said + "".join(names))

    def check_target(self, target: str, logical: int) -> None:
        """Refuse a program for another kind of NeuronCore than this machine has, or for logical
        cores of another number of physical ones.

        Where no instance type was asked for, the machine is of any kind: it runs, with a warning.
        Raises NeuronRuntimeError (NRT_UNSUPPORTED_NEFF_VERSION).
        """
        needed, here = TARGETS[target].chip.core, self.layout
        core = here.instance.core
        if needed != core:
            message = (
                f"the NEFF was compiled for {target} (NeuronCore-v{needed}), "
                f"{here.instance_type} has NeuronCore-v{core}"
            )
            old = needed < core and switched_on("NEURON_RT_ALLOW_LEGACY_NEFF")
        elif logical != here.logical:
            message = (
                f"the NEFF was compiled for logical cores of {logical} physical ones, "
                f"this process has logical cores of {here.logical} (NEURON_LOGICAL_NC_CONFIG)"
            )
            old = False
        else:
            return
        if old or not is_set("NEURON_EMULATOR_INSTANCE_TYPE"):
            log(Level.WARNING, "NEFF", "neff_parse", message)
            return
        log(Level.ERROR, "NEFF", "neff_parse", message)
        raise NeuronRuntimeError("nrt_load", Status.NRT_UNSUPPORTED_NEFF_VERSION, message)

    def next_cores(self, size: int) -> Sequence[NeuronCore]:
        """The next run of `size` cores in turn. Raises NeuronRuntimeError where there is none."""
        self.require(size)
        with self._taking:
            first = self._next if self._next + size <= len(self.cores) else 0
            self._next = first + size
        return self.cores[first : first + size]

    def require(self, size: int) -> None:
        """Refuse a model that takes more cores at once than are visible to this process.

        Raises NeuronRuntimeError (NRT_LOAD_NOT_ENOUGH_NC).
        """
        if size > len(self.cores):
            raise NeuronRuntimeError(
                "nrt_load",
                Status.NRT_LOAD_NOT_ENOUGH_NC,
                f"the model takes {size} NeuronCores at once (--neuroncore-pipeline-cores), this "
                f"process has {len(self.cores)}",
            )

    def close(self) -> None:
        """Give the cores back to other processes."""
        self._reservation.release()

    def abandon(self) -> None:
        """Let go of what a forked child has inherited; its parent goes on holding the cores."""
        self._reservation.abandon()


def _number_of_groups() -> str:
    """What NEURONCORE_GROUP_SIZES, which came before NEURON_RT_NUM_CORES, asks for; "" if unset."""
    name = "NEURONCORE_GROUP_SIZES"
    if not is_set(name):
        return ""
    log(Level.WARNING, "NRT", "nrt_init", f"{name} is deprecated; use NEURON_RT_NUM_CORES")
    return str(cores_of_groups(setting(name)))


def _answer_settings_without_effect() -> None:
    """Refuse their unknown values, and say what a user may expect of them in vain."""
    switched_on("NEURON_RT_MULTI_INSTANCE_SHARED_WEIGHTS")
    name = "NEURON_RT_ASYNC_EXEC_MAX_INFLIGHT_REQUESTS"
    if number(name):
        log(Level.WARNING, "NRT", "nrt_init", f"{name} has no effect: executions are synchronous")
    if is_set("NEURON_PROFILE"):
        log(Level.WARNING, "NRT", "nrt_init", "NEURON_PROFILE has no effect: nothing is profiled")


def _this_process(cores: tuple[int, ...], exclusive: bool) -> Holder:
    command = shlex.join(getattr(sys, "orig_argv", None) or sys.argv)
    pid = os.getpid()
    tag = setting("NEURON_PROCESS_TAG") or str(pid)
    return Holder(pid, command[:4096], tag[:255], RUNTIME_VERSION, cores, exclusive)


_machine: Machine | None = None
_started = False  # whether this process ever had a machine
_child = False
_lock = threading.Lock()


def machine(target: str = "") -> Machine:
    """The machine of this process; the environment is read when it is first asked for.

    Where the environment asks for no instance type, it is then one that runs `target`.

    Raises NeuronRuntimeError where the cores cannot be had, and in a process forked from one that
    had initialized the runtime.
    """
    global _machine, _started
    refuse_child("nrt_init")
    if _machine is not None:
        return _machine
    with _lock:
        if _machine is None:
            _machine = Machine(target)
            _started = True
        return _machine


def initialized() -> bool:
    return _machine is not None


def close() -> None:
    """Forget the machine and give its cores back; the next call that needs one reads the
    environment anew. Models must have been unloaded."""
    global _machine
    refuse_child("nrt_close")
    with _lock:
        if _machine is not None:
            _machine.close()
            faults.forget_environment()
        _machine = None


def in_child() -> bool:
    """Whether this process was forked from one that had initialized the runtime: its locks may be
    held by threads that are not there, and no model can run."""
    return _child


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
    """XLA's threads are not copied either, so that even a closed runtime cannot start anew."""
    global _child, _lock
    _child, _lock = _started, threading.Lock()
    if _machine is not None:
        _machine.abandon()


os.register_at_fork(after_in_child=_after_fork)
