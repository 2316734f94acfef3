"""One operator of a TorchScript graph as a graph of its own, in TorchScript's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Node = Any  # torch._C.Node, which has no type of its own


def graph_of(node: Node, arguments: Sequence[Any]) -> str:
    """The text of a graph that holds this operator alone, its arguments as inputs."""
    graph = torch._C.Graph()
    inputs = []
    for value, argument in zip(node.inputs(), arguments, strict=True):
        given = graph.addInput()
        given.setDebugName(_graph_name(value))
        given.setType(_type_of(value, argument))
        inputs.append(given)
    alone = graph.create(node.kind(), inputs, node.outputsSize())
    graph.insertNode(alone)
    for value, made in zip(node.outputs(), alone.outputs(), strict=True):
        made.setType(value.type())
        made.setDebugName(_graph_name(value))
        graph.registerOutput(made)
    return str(graph)


def _graph_name(value: Any) -> str:
    name = value.debugName()
    return f"neuron_{name}" if name.isdecimal() else name


def _type_of(value: Any, argument: Any) -> Any:
    """The type of a value; that of a weight, which the tracer leaves out, from the weight."""
    if not isinstance(argument, torch.Tensor):
        return value.type()
    example = torch.empty_strided(argument.shape, argument.stride(), dtype=argument.dtype)
    return torch._C.TensorType.create_from_tensor(example)
