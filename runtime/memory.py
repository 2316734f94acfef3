"""The account of a NeuronCore's device memory, by what it is used for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

MIB = 1 << 20
# Micro-code that every physical core holds from initialization on (AWS, device memory).
MICROCODE = 96 * MIB


class Usage(StrEnum):
    """What an emulated core's memory is used for, by the names of the runtime's memory table."""

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

    @property
    def own(self) -> int:
        """Bytes that no other model shares."""
        return self.code + self.constants + self.tensors

    def part_of(self, cores: int) -> Needs:
        """What each of several cores holds of a model that is spread over them."""
        sizes = (self.code, self.constants, self.tensors, self.scratchpad)
        return Needs(self.name, *(-(-size // cores) for size in sizes))

    def __str__(self) -> str:
        sizes = zip(
            ("model code", "model constants", "tensors", "scratchpad"),
            (self.code, self.constants, self.tensors, self.scratchpad),
            strict=True,
        )
        return f"{self.name}: " + ", ".join(f"{name} {in_units(size)}" for name, size in sizes)


@dataclass(slots=True)
class Account:
    """What is in use of a core's `limit` bytes. Methods may be called from any thread."""

    limit: int
    microcode: int = MICROCODE
    peak: int = 0
    _models: dict[object, Needs] = field(default_factory=dict)
    _tensors: int = 0  # allocated by the caller
    _lock: threading.Lock = field(default_factory=threading.Lock)
    # What was given back and is not booked yet: the garbage collector gives back too, in a thread
    # that may hold the lock.
    _closed: deque[object] = field(default_factory=deque)
    _freed: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.peak = self.microcode

    @property
    def models(self) -> tuple[Needs, ...]:
        with self._booked():
            return tuple(self._models.values())

    @property
    def used(self) -> dict[Usage, int]:
        """Bytes in use."""
        with self._booked():
            return self._used(self._models, self._tensors)

    @property
    def total(self) -> int:
        return sum(self.used.values())

    def add_model(self, key: object, needs: Needs) -> bool:
        """Take what a model needs; False, and nothing taken, where too little is left."""
        with self._booked():
            return self._take({**self._models, key: needs}, self._tensors)

    def remove_model(self, key: object) -> None:
        """Give back what a model took; nothing happens the second time."""
        self._closed.append(key)
        self._book()

    def add_tensor(self, size: int) -> bool:
        """Take `size` bytes for a tensor of the caller's; False where too little is left."""
        with self._booked():
            return self._take(self._models, self._tensors + size)

    def remove_tensor(self, size: int) -> None:
        self._freed.append(size)
        self._book()

    @contextmanager
    def _booked(self) -> Iterator[None]:
        """Hold the lock, with everything booked that was given back."""
        with self._lock:
            self._settle()
            yield

    def _book(self) -> None:
        """Book what was given back, unless somebody holds the lock: whoever takes it next does."""
        if self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def _settle(self) -> None:
        while self._closed:
            self._models.pop(self._closed.popleft(), None)
        while self._freed:
            self._tensors -= self._freed.popleft()

    def _take(self, models: dict[object, Needs], tensors: int) -> bool:
        total = sum(self._used(models, tensors).values())
        if total > self.limit:
            return False
        self._models, self._tensors = models, tensors
        self.peak = max(self.peak, total)
        return True

    def _used(self, models: dict[object, Needs], tensors: int) -> dict[Usage, int]:
        needs = models.values()
        return {
            Usage.CODE: self.microcode + sum(m.code for m in needs),
            Usage.CONSTANTS: sum(m.constants for m in needs),
            Usage.TENSORS: tensors + sum(m.tensors for m in needs),
            Usage.SHARED_SCRATCHPAD: max((m.scratchpad for m in needs), default=0),
        }


def in_units(size: int) -> str:
    """A number of bytes as the runtime writes it: 12.000B, 1.500KB, 96.000MB, 4.000GB."""
    for unit, bytes_ in (("GB", MIB << 10), ("MB", MIB), ("KB", 1 << 10)):
        if size >= bytes_:
            return f"{size / bytes_:.3f}{unit}"
    return f"{size}.000B"
