"""What a capture yields: a module, what its parameters are bound to, the nested structures."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from hlo_frontend.capture.structure import Structure
from hlo_frontend.hlo.module import HloModule


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, element type as HLO spells it (`f32`) and sizes of a flat input or output."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{','.join(map(str, self.dims))}]"


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter fed by the flat example input at `index`."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter bound to a tensor of the model. `tensor` shares the model's own storage."""

    name: str
    tensor: torch.Tensor = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """A weight that stays on the device and takes the value of an output after each call."""

    name: str
    tensor: torch.Tensor = field(compare=False, repr=False)
    output_index: int


Parameter = Input | Weight | State


@dataclass(frozen=True, slots=True)
class Capture:
    """A callable as one HLO module.

    `parameters` has one entry per parameter of the module's entry computation, in its order.
    `inputs` are all flat example inputs, also those that no parameter refers to.
    `outputs` are the elements of the entry computation's tuple; the structures say how flat
    inputs and outputs nest. State aliases are in `module.aliases`.
    """

    module: HloModule
    parameters: tuple[Parameter, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_structure: Structure
    output_structure: Structure
