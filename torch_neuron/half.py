"""FLOAT32_TO_FLOAT16: a segment whose borders are crossed by 16 bits for each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from torch_neuronx.xla_impl.module import NeuronModule


class HalfBorders(torch.nn.Module):
    """A module whose inputs that are told are float32 inside and float16 outside, as are its
    outputs."""

    def __init__(self, module: torch.nn.Module, narrowed: Sequence[bool]) -> None:
        super().__init__()
        self.module = module
        self._narrowed = list(narrowed)
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = [
            t.to(torch.float32) if narrowed else t
            for t, narrowed in zip(tensors, self._narrowed, strict=True)
        ]
        return tuple(
            r.to(torch.float16) if r.dtype == torch.float32 else r
            for r in _tensors(self.module(*given))
        )


@dataclass(frozen=True, slots=True)
class Half:
    """A segment that is to be compiled with 16 bits at its borders, and what wraps the result."""

    module: HalfBorders
    example_inputs: tuple[torch.Tensor, ...]
    wrapper: type[NeuronModule]

    @staticmethod
    def of(module: torch.nn.Module, example_inputs: Sequence[torch.Tensor]) -> Half:
        """Runs the module once, on the CPU, to know the types of its outputs."""
        with torch.no_grad():
            results = _tensors(module(*example_inputs))
        narrowed = [t.dtype == torch.float32 for t in example_inputs]
        widened = [t.dtype == torch.float32 for t in results]
        inputs = tuple(
            t.to(torch.float16) if n else t for t, n in zip(example_inputs, narrowed, strict=True)
        )
        return Half(HalfBorders(module, narrowed), inputs, _wrapper(narrowed, widened))


def _tensors(result: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _wrapper(narrowed: list[bool], widened: list[bool]) -> type[NeuronModule]:
    class HalfModule(NeuronModule):
        """Rounds what it gives to the model, and widens what it gets."""

        def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
            given = [
                t.to(torch.float16) if n else t for t, n in zip(tensors, narrowed, strict=True)
            ]
            made = super().run(given)
            return [t.to(torch.float32) if w else t for t, w in zip(made, widened, strict=True)]

    return HalfModule
