"""The `neuron::Model` objects of a TorchScript module, wherever in its graph they are."""

from __future__ import annotations

from collections.abc import Iterator

import torch

OPERATORS = ("neuron::forward_v2", "neuron::forward_v2_1")


def neuron_models(module: torch.nn.Module) -> list[torch.ScriptObject]:
    """Every Neuron subgraph of a module, in the order in which `forward` runs them; none for a
    plain module."""
    if not isinstance(module, torch.jit.ScriptModule):
        inner = (m for m in module.children() if isinstance(m, torch.nn.Module))
        return _distinct(model for child in inner for model in neuron_models(child))
    if not module._c._has_method("forward"):
        return []
    graph = module.inlined_graph
    nodes = [node for name in OPERATORS for node in graph.findAllNodes(name)]
    return _distinct(_model_of(module, list(node.inputs())[1].node()) for node in nodes)


def _distinct(models: Iterator[torch.ScriptObject]) -> list[torch.ScriptObject]:
    found: list[torch.ScriptObject] = []
    for model in models:
        if not any(model == other for other in found):  # the same C++ object
            found.append(model)
    return found


def _model_of(module: torch.jit.ScriptModule, node: torch._C.Node) -> torch.ScriptObject:
    """What the operator's second input names: an attribute of some submodule, or a constant."""
    if node.kind() == "prim::Constant":
        return node.output().toIValue()
    names: list[str] = []
    while node.kind() == "prim::GetAttr":
        names.append(node.s("name"))
        node = next(iter(node.inputs())).node()
    found = module._c
    for name in reversed(names):
        found = found.getattr(name)
    return found
