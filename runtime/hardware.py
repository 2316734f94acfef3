"""The machines that can be emulated (AWS Neuron documentation, instance types)."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance type: Neuron devices, NeuronCores on each, device memory in bytes on each."""

    devices: int
    cores_per_device: int
    memory_per_device: int
    core: int  # NeuronCore version

    @property
    def cores(self) -> int:
        return self.devices * self.cores_per_device

    @property
    def exec_timeout(self) -> float:
        """Seconds an execution may take by default (AWS, runtime developer guide)."""
        return 30.0 if self.core == 1 else 600.0

    @property
    def memory_per_core(self) -> int:
        """Bytes of device memory a core may use: its share of the device's."""
        return self.memory_per_device // self.cores_per_device


INSTANCES: dict[str, Instance] = {
    "inf1.xlarge": Instance(1, 4, 8 * GIB, 1),
    "inf1.2xlarge": Instance(1, 4, 8 * GIB, 1),
    "inf1.6xlarge": Instance(4, 4, 8 * GIB, 1),
    "inf1.24xlarge": Instance(16, 4, 8 * GIB, 1),
    "inf2.xlarge": Instance(1, 2, 32 * GIB, 2),
    "inf2.8xlarge": Instance(1, 2, 32 * GIB, 2),
    "inf2.24xlarge": Instance(6, 2, 32 * GIB, 2),
    "inf2.48xlarge": Instance(12, 2, 32 * GIB, 2),
    "trn1.2xlarge": Instance(1, 2, 32 * GIB, 2),
    "trn1.32xlarge": Instance(16, 2, 32 * GIB, 2),
    "trn1n.32xlarge": Instance(16, 2, 32 * GIB, 2),
    "trn2.48xlarge": Instance(16, 8, 96 * GIB, 3),
    "trn2u.48xlarge": Instance(16, 8, 96 * GIB, 3),
}
