"""The NeuronCores of this process: a queue and an account of device memory each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import count

from runtime.hardware import INSTANCES
from runtime.settings import setting


class NeuronRuntimeError(RuntimeError):
    """The runtime refused or failed; the message says on which core and why."""


@dataclass(slots=True)
class NeuronCore:
    """An emulated NeuronCore. `queue` is held while a model executes on it."""

    index: int
    memory: int  # bytes
    used: int = 0
    queue: threading.Lock = field(default_factory=threading.Lock)
    account: threading.Lock = field(default_factory=threading.Lock)

    def allocate(self, size: int) -> None:
        """Take device memory. Raises NeuronRuntimeError where the core has too little left."""
        with self.account:
            if self.used + size > self.memory:
                raise NeuronRuntimeError(
                    f'nrt_load status=4, error message="Failed to allocate a resource for '
                    f'requested operation": NeuronCore {self.index} has '
                    f"{self.memory - self.used} of {self.memory} bytes left, {size} are needed"
                )
            self.used += size

    def free(self, size: int) -> None:
        with self.account:
            self.used -= size


class Machine:
    """The cores of the emulated instance, given to models in linear order, round and round."""

    def __init__(self, instance_type: str) -> None:
        instance = INSTANCES[instance_type]
        self.cores = tuple(NeuronCore(n, instance.memory_per_core) for n in range(instance.cores))
        self._turn = count()

    def next_core(self) -> NeuronCore:
        return self.cores[next(self._turn) % len(self.cores)]


_machine: Machine | None = None
_lock = threading.Lock()


def machine() -> Machine:
    """The machine of this process; the environment is read when it is first asked for."""
    global _machine
    with _lock:
        if _machine is None:
            _machine = Machine(setting("NEURON_EMULATOR_INSTANCE_TYPE"))
        return _machine
