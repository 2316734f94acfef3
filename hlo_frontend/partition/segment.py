"""A Neuron segment of a graph as a module that runs its operators one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hlo_frontend.partition.borders import Scope
from hlo_frontend.partition.operators import STRUCTURE, operator, results_of
from hlo_frontend.partition.roles import Roles
from hlo_frontend.partition.traced import Traced


@dataclass(frozen=True, slots=True)
class Step:
    """A node: what it runs, and the numbers of the values it takes and gives."""

    run: Callable[[list[Any]], list[Any]]
    takes: tuple[int, ...]
    gives: tuple[int, ...]


class SegmentModule(nn.Module):
    """Takes the tensors that enter a segment, returns those that leave it: one tensor, or a tuple.

    Its weights are those of the model, under their names there.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        inputs: Sequence[int],
        outputs: Sequence[int],
        fixed: Mapping[int, Any],
        weights: Mapping[int, tuple[str, torch.Tensor]],
    ) -> None:
        super().__init__()
        self._steps, self._inputs, self._outputs = tuple(steps), tuple(inputs), tuple(outputs)
        self._fixed = dict(fixed)
        self._weights = {unique: name for unique, (name, _) in weights.items()}
        for name, tensor in weights.values():
            put(self, name, tensor)
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        values: dict[int, Any] = dict(zip(self._inputs, tensors, strict=True))
        values |= self._fixed
        values |= {unique: taken(self, name) for unique, name in self._weights.items()}
        for step in self._steps:
            results = step.run([values[unique] for unique in step.takes])
            values.update(zip(step.gives, results, strict=True))
        leaving = tuple(values[unique] for unique in self._outputs)
        return leaving[0] if len(leaving) == 1 else leaving


def steps_of(roles: Roles, scope: Scope) -> list[Step]:
    return [Step(_runner(roles.nodes[n]), roles.inputs[n], roles.outputs(n)) for n in scope.body]


def _runner(node: Any) -> Callable[[list[Any]], list[Any]]:
    if node.kind() in STRUCTURE:
        structure = STRUCTURE[node.kind()]
        return lambda arguments: structure(node, arguments)
    call = operator(node.schema())
    return lambda arguments: results_of(node, call(*arguments))


def attribute_name(roles: Roles, unique: int) -> str:
    """The path of an attribute that a graph reads (`layer.conv.weight`)."""
    names: list[str] = []
    while unique in roles.producer:
        number = roles.producer[unique]
        names.append(roles.nodes[number].s("name"))
        (unique,) = roles.inputs[number]
    return ".".join(reversed(names))


def attribute_of(traced: Traced, name: str) -> Any:
    """The value of an attribute of the traced module."""
    return taken(traced.module, name)


def put(module: nn.Module, name: str, value: Any) -> None:
    """Set an attribute of a tree of modules, which is made where it is not there."""
    *path, last = name.split(".")
    for part in path:
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    if isinstance(value, nn.Parameter):
        module.register_parameter(last, value)
    elif isinstance(value, torch.Tensor):
        module.register_buffer(last, value)
    else:
        setattr(module, last, value)


def taken(module: nn.Module, name: str) -> Any:
    """The attribute at a path of names."""
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part)
    return value
