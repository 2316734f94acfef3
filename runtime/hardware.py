"""The machines that can be emulated (AWS Neuron documentation, instance types)."""

from __future__ import annotations

from dataclasses import dataclass

from neff.targets import INFERENTIA, INFERENTIA2, TRAINIUM1, TRAINIUM2, TRAINIUM3, Chip


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance type: how many Neuron devices it has, and which."""

    devices: int
    chip: Chip

    @property
    def cores(self) -> int:
        """Physical NeuronCores; runtime.layout has the logical ones."""
        return self.devices * self.chip.cores

    @property
    def core(self) -> int:
        """NeuronCore version."""
        return self.chip.core

    @property
    def memory_per_core(self) -> int:
        """Bytes of device memory a physical core may use: its share of the device's."""
        return self.chip.core_memory


INSTANCES: dict[str, Instance] = {
    "inf1.xlarge": Instance(1, INFERENTIA),
    "inf1.2xlarge": Instance(1, INFERENTIA),
    "inf1.6xlarge": Instance(4, INFERENTIA),
    "inf1.24xlarge": Instance(16, INFERENTIA),
    "inf2.xlarge": Instance(1, INFERENTIA2),
    "inf2.8xlarge": Instance(1, INFERENTIA2),
    "inf2.24xlarge": Instance(6, INFERENTIA2),
    "inf2.48xlarge": Instance(12, INFERENTIA2),
    "trn1.2xlarge": Instance(1, TRAINIUM1),
    "trn1.32xlarge": Instance(16, TRAINIUM1),
    "trn1n.32xlarge": Instance(16, TRAINIUM1),
    "trn2.48xlarge": Instance(16, TRAINIUM2),
    "trn2u.48xlarge": Instance(16, TRAINIUM2),
    # UltraServers are several instances whose devices are linked; these names are the emulator's.
    "trn2.ultraserver": Instance(64, TRAINIUM2),
    "trn3.ultraserver-gen1": Instance(64, TRAINIUM3),
    "trn3.ultraserver-gen2": Instance(144, TRAINIUM3),
}

# The machine of a process that asks for none, by the target of the first model it loads.
DEFAULT_INSTANCE = "inf2.xlarge"
DEFAULT_INSTANCES = {"inf1": "inf1.xlarge"}

# Stacks of device memory on a device, shared by its physical cores in order. Source: AWS Neuron
# documentation, hardware architecture pages (Inferentia has plain DRAM).
MEMORY_STACKS = {1: 1, 2: 2, 3: 4, 4: 4}
# From this version on, two physical cores make one logical core unless the process asks for one.
FIRST_PAIRED = 3
EXEC_TIMEOUTS = {1: 30.0}  # seconds, by NeuronCore version (AWS, runtime developer guide)
EXEC_TIMEOUT = 600.0
