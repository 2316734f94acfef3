"""The account of a NeuronCore's device memory, by what it is used for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum

MIB = 1 << 20
# Micro-code that every physical core holds from initialization on (AWS, device memory).
MICROCODE = 96 * MIB


class Usage(StrEnum):
    """The columns of the runtime's memory table that an emulated core fills."""

    CODE = "Model Code"
    CONSTANTS = "Model Constants"
    TENSORS = "Tensors"
    SHARED_SCRATCHPAD = "Shared Scratchpad"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a loaded model takes of one core, in bytes; all models of a core share a scratchpad."""

    name: str
    code: int
    constants: int
    tensors: int  # states, and one set of inputs and outputs
    scratchpad: int


@dataclass(slots=True)
class Account:
    """What is in use of a core's `limit` bytes. Methods may be called from any thread."""

    limit: int
    peak: int = MICROCODE
    _models: dict[object, Needs] = field(default_factory=dict)
    _tensors: int = 0  # allocated by the caller
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def models(self) -> tuple[Needs, ...]:
        return tuple(self._models.values())

    @property
    def used(self) -> dict[Usage, int]:
        """Bytes in use."""
        return _used(self.models, self._tensors)

    @property
    def total(self) -> int:
        return sum(self.used.values())

    def add_model(self, key: object, needs: Needs) -> bool:
        """Take what a model needs; False, and nothing taken, where too little is left."""
        with self._lock:
            return self._take({**self._models, key: needs}, self._tensors)

    def remove_model(self, key: object) -> None:
        with self._lock:
            self._models.pop(key, None)

    def add_tensor(self, size: int) -> bool:
        """Take `size` bytes for a tensor of the caller's; False where too little is left."""
        with self._lock:
            return self._take(self._models, self._tensors + size)

    def remove_tensor(self, size: int) -> None:
        with self._lock:
            self._tensors -= size

    def _take(self, models: dict[object, Needs], tensors: int) -> bool:
        total = sum(_used(tuple(models.values()), tensors).values())
        if total > self.limit:
            return False
        self._models, self._tensors = models, tensors
        self.peak = max(self.peak, total)
        return True


def _used(models: tuple[Needs, ...], tensors: int) -> dict[Usage, int]:
    return {
        Usage.CODE: MICROCODE + sum(m.code for m in models),
        Usage.CONSTANTS: sum(m.constants for m in models),
        Usage.TENSORS: tensors + sum(m.tensors for m in models),
        Usage.SHARED_SCRATCHPAD: max((m.scratchpad for m in models), default=0),
    }
