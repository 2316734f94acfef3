"""Weights as kernels read them: packed or as they are, side by side in one memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.program import Weight
from runtime.units.contraction import Contraction, packing_words
from runtime.units.native import Place, pack, packed_bytes
from runtime.units.ops import READ_AS, TYPES
from runtime.units.pages import enlarge, populate

Weights = Mapping[str, Weight]  # by digest
ALIGNMENT = 64  # bytes; what XLA asks of memory that it is to use as it is


@dataclass(frozen=True, slots=True)
class Packed:
    """A second operand of a contraction, in the order in which the kernel reads it."""

    digest: str
    words: tuple[int, ...]

    @staticmethod
    def of(digest: str, c: Contraction) -> Packed:
        """How a contraction reads a weight."""
        return Packed(digest, packing_words(c.words))

    @property
    def bytes(self) -> int:
        return packed_bytes(self.words)

    @property
    def type(self) -> int:
        return TYPES["f32"]

    def write(self, weights: Weights, room: np.ndarray) -> None:
        """The weight in that order, into the room for it, as bytes."""
        populate(room)
        pack(self.words, weights[self.digest].array, room)


@dataclass(frozen=True, slots=True)
class Copied:
    """A small weight as it is."""

    digest: str
    shape: Shape

    @property
    def bytes(self) -> int:
        return self.shape.bytes

    @property
    def type(self) -> int:
        return TYPES[self.shape.dtype]

    def write(self, weights: Weights, room: np.ndarray) -> None:
        """The weight, row-major, into the room for it, as bytes."""
        room[:] = np.ascontiguousarray(weights[self.digest].array).reshape(-1).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Written:
    """A constant of the program's."""

    literal: Literal

    @property
    def bytes(self) -> int:
        return self.literal.shape.bytes

    @property
    def type(self) -> int:
        return TYPES[READ_AS[self.literal.shape.dtype]]

    def write(self, weights: Weights, room: np.ndarray) -> None:
        """The constant, row-major, into the room for it, as bytes."""
        room[:] = np.frombuffer(self.literal.data, np.uint8)


Held = Packed | Copied | Written


def aligned(size: int) -> np.ndarray:
    """So many bytes, with nothing written yet."""
    made = np.empty(size + ALIGNMENT, np.uint8)
    start = -made.ctypes.data % ALIGNMENT
    return made[start : start + size]


@dataclass(frozen=True, slots=True)
class Memory:
    """What is held, in one array, and where each lies in it.

    A call has one argument for all of them.
    """

    array: np.ndarray
    places: tuple[Place, ...]

    @staticmethod
    def of(held: Sequence[Held]) -> Memory:
        """Room for them, with nothing written yet."""
        sizes = [h.bytes for h in held]
        rooms = (-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)
        *starts, end = accumulate(rooms, initial=0)
        places = (Place(*p) for p in zip(starts, (h.type for h in held), sizes, strict=True))
        # XLA is told of bytes by a type it knows.
        return Memory(aligned(end).view(np.float32), tuple(places))

    def room(self, number: int) -> np.ndarray:
        """The bytes of one of them."""
        place = self.places[number]
        return self.array.view(np.uint8)[place.start : place.start + place.bytes]


@contextmanager
def filled(held: Sequence[Held], weights: Weights) -> Iterator[Memory]:
    """The memory of what is held, which is written on all processors until the block ends."""
    memory = Memory.of(held)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "neuron-pack") as pool:
        written = [pool.submit(h.write, weights, memory.room(n)) for n, h in enumerate(held)]
        yield memory
        for done in written:
            done.result()
    enlarge(memory.array)
