"""The Program: what a NEFF executes, as frozen data.

A program is a tuple of functions, the entry one last. A function is a list of instructions in SSA
form: a value is the position of the instruction that makes it. Programs compare and hash by
structure, so `p != q` is what "the pass changed something" means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from hlo_frontend.hlo.module import NO_METADATA, Attributes, Metadata
from hlo_frontend.hlo.types import AnyShape, Shape, element_type_of

# On the convert of an input that leaves out the upper half of its 64-bit integers: the runtime
# watches what it is given.
NARROWED: Attributes = (("frontend_attributes", (("neuron_native_int64", "narrowed"),)),)


class Engine(StrEnum):
    """The engines of a NeuronCore, by the names a NEFF gives their instruction streams."""

    PE = "PE"  # TensorE: the systolic array
    ACTIVATION = "Activation"  # ScalarE: one function per element
    DVE = "DVE"  # VectorE: several operands per element, reductions
    POOL = "Pool"  # GpSimdE: everything irregular
    SP = "SP"  # SyncE: data movement, started here and carried out by DMA


class Space(StrEnum):
    """Where a buffer lives."""

    HBM = "HBM"
    SBUF = "SBUF"
    PSUM = "PSUM"


class Kind(StrEnum):
    """What binds an input of the program."""

    INPUT = "input"  # the caller, at every call
    WEIGHT = "weight"  # the NEFF, once at load
    STATE = "state"  # the previous call: aliased to an output, stays on the core


@dataclass(frozen=True, slots=True)
class Weight:
    """Host values bound to an input, known by their digest; the array takes no part in equality."""

    digest: str
    shape: Shape
    array: np.ndarray = field(compare=False, repr=False)

    @staticmethod
    def of(array: np.ndarray) -> Weight:
        """Hash an array (without copying it if it is contiguous) and refer to it."""
        array = np.ascontiguousarray(array).reshape(array.shape)  # the former makes 0-d into 1-d
        shape = Shape(element_type_of(array.dtype), array.shape)
        digest = hashlib.sha256(str(shape).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
        return Weight(digest.hexdigest(), shape, array)


@dataclass(frozen=True, slots=True)
class Variable:
    """An input or output of the program: its tensor name, shape and, for an input, its binding."""

    name: str
    shape: Shape
    kind: Kind = Kind.INPUT
    weight: Weight | None = None  # the value of a WEIGHT, the initial value of a STATE


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `bodies` names the functions it calls, in the order HLO gives them."""

    op: str
    shape: AnyShape
    operands: tuple[int, ...] = ()
    attrs: Attributes = ()
    bodies: tuple[str, ...] = ()
    metadata: Metadata = field(default=NO_METADATA, compare=False)
    engine: Engine | None = None

    def __getitem__(self, name: str) -> Any:
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(f"{self.op} has no attribute {name}")

    def get(self, name: str) -> Any:
        """An optional attribute, or None."""
        return next((value for key, value in self.attrs if key == name), None)

    @property
    def array(self) -> Shape:
        """The shape of an instruction that makes an array."""
        if not isinstance(self.shape, Shape):
            raise TypeError(f"program: {self.op} makes {self.shape}, expected an array")
        return self.shape


@dataclass(frozen=True, slots=True)
class Function:
    """Instructions in dependency order, and the values it returns."""

    name: str
    instructions: tuple[Instruction, ...]
    results: tuple[int, ...]

    def numbered(self) -> Iterator[tuple[int, Instruction]]:
        return enumerate(self.instructions)

    @property
    def parameters(self) -> tuple[int, ...]:
        """Positions of the parameters, by number."""
        found = ((i["number"], p) for p, i in self.numbered() if i.op == "parameter")
        return tuple(p for _, p in sorted(found))

    def users(self) -> list[list[int]]:
        """For each value, the instructions that read it, in order, once for each reading."""
        users: list[list[int]] = [[] for _ in self.instructions]
        for position, instruction in self.numbered():
            for operand in instruction.operands:
                users[operand].append(position)
        return users


@dataclass(frozen=True, slots=True)
class Region:
    """Instructions of the entry function that run as one kernel: only its results reach HBM."""

    anchor: str  # the op the region is built around
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Where a value of the entry function is held. `offset` and `size` are in bytes."""

    value: int
    space: Space
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Program:
    """The executable. `aliases` pairs an output index with the input index whose storage it is."""

    name: str
    functions: tuple[Function, ...]
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    aliases: tuple[tuple[int, int], ...] = ()
    regions: tuple[Region, ...] = ()
    buffers: tuple[Buffer, ...] = ()
    target: str = "inf2"

    @property
    def main(self) -> Function:
        return self.functions[-1]

    def function(self, name: str) -> Function:
        for function in self.functions:
            if function.name == name:
                return function
        raise KeyError(f"program {self.name} has no function {name}")

    def with_main(self, main: Function) -> Program:
        return replace(self, functions=(*self.functions[:-1], main))

    @property
    def weights(self) -> dict[str, Weight]:
        """The weights by digest; a weight bound to several inputs stands once."""
        return {v.weight.digest: v.weight for v in self.inputs if v.weight is not None}

    @property
    def scratchpad(self) -> int:
        """Bytes of HBM the intermediate values need."""
        ends = (b.offset + b.size for b in self.buffers if b.space is Space.HBM)
        return max(ends, default=0)
