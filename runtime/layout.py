"""The emulated machine as this process sees it: its devices, and how its cores are paired."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.hardware import (
    DEFAULT_INSTANCES,
    EXEC_TIMEOUT,
    EXEC_TIMEOUTS,
    FIRST_PAIRED,
    INSTANCES,
    MEMORY_STACKS,
    Instance,
)
from runtime.settings import is_set, setting

LOGICAL = ("NEURON_LOGICAL_NC_CONFIG", "NEURON_RT_VIRTUAL_CORE_SIZE")


@dataclass(frozen=True, slots=True)
class Layout:
    """An instance type, and how many of its physical NeuronCores make a logical one."""

    instance_type: str
    instance: Instance
    logical: int = 1

    @property
    def cores(self) -> int:
        """Logical NeuronCores: what the runtime calls a core."""
        return self.instance.cores // self.logical

    @property
    def cores_per_device(self) -> int:
        return self.instance.chip.cores // self.logical

    @property
    def memory_per_core(self) -> int:
        """Bytes of device memory of a logical core."""
        return self.instance.memory_per_core * self.logical

    def device(self, core: int) -> int:
        """The Neuron device of a core, given by its index in the machine."""
        return core // self.cores_per_device

    def memory_stack(self, core: int) -> int:
        """Which of its device's stacks of memory (HBM) a core uses."""
        stacks = MEMORY_STACKS[self.instance.core]
        return core % self.cores_per_device * stacks // self.cores_per_device

    @property
    def exec_timeout(self) -> float:
        """Seconds an execution may take where nothing is set."""
        return EXEC_TIMEOUTS.get(self.instance.core, EXEC_TIMEOUT)


def layout(target: str = "") -> Layout:
    """The machine that the environment asks for, now; where it asks for none, one for `target`.

    Raises ValueError for an unknown instance type, and for logical cores that it does not have.
    """
    name = setting("NEURON_EMULATOR_INSTANCE_TYPE")
    if not is_set("NEURON_EMULATOR_INSTANCE_TYPE"):
        name = DEFAULT_INSTANCES.get(target, name)
    instance = INSTANCES[name]
    paired = instance.core >= FIRST_PAIRED
    asked = {setting(variable) for variable in LOGICAL if is_set(variable)}
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(LOGICAL)} must be equal where both are set")
    size = int(asked.pop()) if asked else 1 + paired
    if size > 1 and not paired:
        raise ValueError(f"{LOGICAL[0]}: the cores of {name} cannot be paired, got {size}")
    return Layout(name, instance, size)
