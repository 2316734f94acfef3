"""The targets code is compiled for: their NeuronCores, device memory and number formats."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Chip:
    """A Neuron device: NeuronCore version, physical cores, bytes of device memory for all of them.

    Source: AWS Neuron documentation, hardware architecture pages.
    """

    name: str
    core: int  # NeuronCore version
    cores: int
    memory: int

    @property
    def core_memory(self) -> int:
        """Bytes of device memory a physical core may use: its share."""
        return self.memory // self.cores


INFERENTIA = Chip("Inferentia", 1, 4, 8 * GIB)
INFERENTIA2 = Chip("Inferentia2", 2, 2, 32 * GIB)
TRAINIUM1 = Chip("Trainium1", 2, 2, 32 * GIB)
TRAINIUM2 = Chip("Trainium2", 3, 8, 96 * GIB)
TRAINIUM3 = Chip("Trainium3", 4, 8, 144 * GIB)

# Source: data types page for v2 and v3; pages of NCC_EVRF051 and of the NKI quantization for v4.
CONFIGURABLE_FP8 = frozenset({"f8e5m2", "f8e4m3", "f8e3m4"})


@dataclass(frozen=True, slots=True)
class Target:
    """A value of `--target`; of neuronx-cc all but `inf1`, which neuron-cc compiles for.

    `narrow` names its floats of 8 bits and less, `logical_cores` how many physical cores may make
    a logical one.
    """

    name: str
    chip: Chip
    narrow: frozenset[str]
    logical_cores: tuple[int, ...]

    def memory(self, logical_cores: int) -> int:
        """Bytes of device memory of a logical core made of so many physical ones."""
        return self.chip.core_memory * logical_cores


TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("inf1", INFERENTIA, frozenset(), (1,)),
        Target("inf2", INFERENTIA2, CONFIGURABLE_FP8, (1,)),
        Target("trn1", TRAINIUM1, CONFIGURABLE_FP8, (1,)),
        Target("trn1n", TRAINIUM1, CONFIGURABLE_FP8, (1,)),
        Target("trn2", TRAINIUM2, CONFIGURABLE_FP8, (1, 2)),
        Target("trn3", TRAINIUM3, CONFIGURABLE_FP8 | {"f8e4m3fn", "f8e8m0fnu"}, (1, 2)),
    )
}
