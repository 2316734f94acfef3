"""The module that `torch_neuronx.trace` hands to `torch.jit.trace`: one fused operator."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hlo_frontend.capture import Capture, flatten, unflatten
from hlo_frontend.capture.dtypes import TORCH_DTYPES


class NeuronModule(torch.nn.Module):
    """Flattens its arguments, runs the NEFF, and nests the results as the traced callable did.

    `weights` holds the weights that are not in the NEFF, as parameters named by their path in the
    model with `->` for the dot; they follow the arguments at every call.
    """

    def __init__(
        self, model: torch.ScriptObject, captured: Capture, weights: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__()
        self.model = model
        self._captured = captured
        self._names = [name.replace(".", "->") for name in weights]
        if weights:
            self.weights = torch.nn.Module()
            for name, tensor in zip(self._names, weights.values(), strict=True):
                parameter = torch.nn.Parameter(tensor.detach(), requires_grad=False)
                self.weights.register_parameter(name, parameter)

    def forward(self, *arguments: Any) -> Any:
        _, flat = flatten(arguments, "arguments")
        flat += [getattr(self.weights, name) for name in self._names]
        if len(self._returned()) == 1:
            outputs = [torch.ops.neuron.forward_v2_1(flat, self.model)]
        else:
            outputs = torch.ops.neuron.forward_v2(flat, self.model)
        return unflatten(self._captured.output_structure, outputs)

    def _returned(self) -> list[torch.Tensor]:
        """Zeros like the outputs that go back to the caller."""
        aliased = {a.output_index[0] for a in self._captured.module.aliases if a.output_index}
        return [
            torch.zeros(spec.dims, dtype=TORCH_DTYPES[spec.dtype])
            for n, spec in enumerate(self._captured.outputs)
            if n not in aliased
        ]

    def traced(self, example_inputs: tuple[Any, ...]) -> torch.jit.ScriptModule:
        """This module as TorchScript. Nothing is executed: the operator answers with zeros."""
        parameters = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in dict.fromkeys(s.name.split(".")[0] for s in self._captured.inputs)
        ]
        if len(parameters) == len(example_inputs):
            signature = inspect.Signature(parameters)
            self.forward.__func__.__signature__ = None
        with _answer(self._returned()):
            return torch.jit.trace(self, example_inputs, strict=False, check_trace=False)


class _Answer(TorchDispatchMode):
    """Answers the neuron operators with given tensors, so that tracing them runs nothing."""

    def __init__(self, outputs: list[torch.Tensor]) -> None:
        super().__init__()
        self.outputs = outputs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.neuron.forward_v2.default:
            return self.outputs
        if func is torch.ops.neuron.forward_v2_1.default:
            return self.outputs[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _answer(outputs: list[torch.Tensor]) -> Iterator[None]:
    with torch.no_grad(), _Answer(outputs):
        yield
