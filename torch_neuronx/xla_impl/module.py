"""The module that `torch_neuronx.trace` hands to `torch.jit.trace`: one fused operator."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hlo_frontend.capture import (
    Capture,
    Dict,
    Items,
    Leaf,
    State,
    Structure,
    flatten,
    unflatten,
)
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
        returned = _returned(captured)
        self._structure = pruned(captured.output_structure, {n: p for p, n in enumerate(returned)})
        self._single = len(returned) == 1
        self._names = [name.replace(".", "->") for name in weights]
        if weights:
            self.weights = torch.nn.Module()
            for name, tensor in zip(self._names, weights.values(), strict=True):
                # A copy: the traced module must not follow what becomes of the model.
                parameter = torch.nn.Parameter(tensor.detach().clone(), requires_grad=False)
                self.weights.register_parameter(name, parameter)

    def forward(self, *arguments: Any) -> Any:
        _, flat = flatten(arguments, "arguments")
        flat += [getattr(self.weights, name) for name in self._names]
        return unflatten(self._structure, self.run(flat))

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """The one operator."""
        if self._single:
            return [torch.ops.neuron.forward_v2_1(tensors, self.model)]
        outputs: list[torch.Tensor] = torch.ops.neuron.forward_v2(tensors, self.model)
        return outputs


def script(
    model: torch.ScriptObject,
    captured: Capture,
    weights: Mapping[str, torch.Tensor],
    example_inputs: tuple[Any, ...],
    wrapper: type[NeuronModule] = NeuronModule,
) -> torch.jit.ScriptModule:
    """The traced module. Tracing executes nothing: the operator answers with zeros."""
    module = _class_for(captured, len(example_inputs), wrapper)(model, captured, weights).eval()
    answers = [
        torch.zeros(captured.outputs[n].dims, dtype=TORCH_DTYPES[captured.outputs[n].dtype])
        for n in _returned(captured)
    ]
    with torch.no_grad(), _Answer(answers):
        return torch.jit.trace(module, example_inputs, strict=False, check_trace=False)


def _returned(captured: Capture) -> list[int]:
    """The outputs that go back to the caller: those that no state keeps."""
    kept = {p.output_index for p in captured.parameters if isinstance(p, State)}
    return [n for n in range(len(captured.outputs)) if n not in kept]


def pruned(structure: Structure, place: Mapping[int, int]) -> Structure:
    """The structure without the leaves that have no place in the flat list of returned tensors."""
    if isinstance(structure, Leaf):
        return Leaf(place[structure.index])
    kept = [n for n, item in enumerate(structure.items) if _places(item) & place.keys()]
    items = tuple(pruned(structure.items[n], place) for n in kept)
    if isinstance(structure, Dict):
        return Dict(tuple(structure.keys[n] for n in kept), items)
    return Items(structure.kind, items)


def _places(structure: Structure) -> set[int]:
    if isinstance(structure, Leaf):
        return {structure.index}
    return set[int]().union(*map(_places, structure.items))


def _class_for(captured: Capture, count: int, wrapper: type[NeuronModule]) -> type[NeuronModule]:
    """The module class with the traced callable's argument names, where TorchScript allows them."""
    names = list(dict.fromkeys(spec.name.split(".")[0] for spec in captured.inputs))
    if len(names) != count or not all(name.isidentifier() for name in names):
        return wrapper

    class Named(wrapper):  # type: ignore[misc,valid-type]
        def forward(self, *arguments: Any) -> Any:
            return super().forward(*arguments)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("self", *names)]
    Named.forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    Named.__name__ = Named.__qualname__ = wrapper.__name__
    return Named


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
