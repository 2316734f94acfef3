"""The machines that can be emulated (AWS Neuron documentation, instance types)."""

from __future__ import annotations

from dataclasses import dataclass

from neff.targets import INFERENTIA, INFERENTIA2, TRAINIUM1, TRAINIUM2, Chip


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance type: how many Neuron devices it has, and which."""

    devices: int
    chip: Chip

    @property
    def cores(self) -> int:
        return self.devices * self.chip.cores

    @property
    def memory_per_core(self) -> int:
        """Bytes of device memory a core may use: its share of the device's."""
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
}
