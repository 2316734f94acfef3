"""The `neuron::Model` objects of a TorchScript module, wherever in its graphs they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

import torch

OPERATORS = ("neuron::forward_v2", "neuron::forward_v2_1")


class NeuronModel(Protocol):
    """What a `neuron::Model` can do, of what Python uses (see runtime/native/model.h)."""

    def options(self) -> str: ...
    def set_options(self, options: str) -> None: ...
    def neff(self) -> torch.Tensor: ...
    def metaneff(self) -> torch.Tensor: ...
    def cores(self) -> list[int]: ...
    def load(self) -> None: ...
    def unload(self) -> None: ...
    def set_neuron_devices(self, start: int, count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A call of a Neuron model in a graph.

    `supplied` is whether the module itself gives the model some of its inputs, as it does with
    weights that are beside the NEFF.
    """

    model: NeuronModel
    supplied: bool


def neuron_models(module: torch.nn.Module) -> list[NeuronModel]:
    """Every Neuron model of a module, once, in the order in which it calls them; none for a plain
    module."""
    models: list[NeuronModel] = []
    for subgraph in neuron_subgraphs(module):
        if not any(_same_object()(subgraph.model, known) for known in models):
            models.append(subgraph.model)
    return models


def cores_at_once(models: Iterable[NeuronModel]) -> int:
    """The most NeuronCores that one of the models takes at once: a pipeline takes several."""
    from neff.header import read_header

    headers = [read_header(model.neff().numpy().data) for model in models]
    return max((header.num_tpb for header in headers), default=1)


def neuron_subgraphs(module: torch.nn.Module) -> list[Subgraph]:
    """The calls of Neuron models in a TorchScript module, or in those within a plain module."""
    if not isinstance(module, torch.jit.ScriptModule):
        return [found for child in module.children() for found in neuron_subgraphs(child)]
    graphs = [module._c._get_method(name).inlined_graph for name in module._c._method_names()]
    return [
        _subgraph(module, node)
        for graph in graphs
        if any(graph.findAllNodes(operator) for operator in OPERATORS)
        for node in _nodes(graph)
        if node.kind() in OPERATORS
    ]


def _nodes(block: torch._C.Graph | torch._C.Block) -> Iterator[torch._C.Node]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _subgraph(module: torch.jit.ScriptModule, node: torch._C.Node) -> Subgraph:
    tensors, model = (value.node() for value in node.inputs())
    kinds = {value.node().kind() for value in tensors.inputs()}
    return Subgraph(_model_of(module, model), bool(kinds & {"prim::GetAttr", "prim::Constant"}))


def _model_of(module: torch.jit.ScriptModule, node: torch._C.Node) -> NeuronModel:
    """What the operator's second input names: an attribute of some submodule, or a constant."""
    if node.kind() == "prim::Constant":  # in a frozen module
        return cast(NeuronModel, node.output().toIValue())
    names: list[str] = []
    while node.kind() == "prim::GetAttr":
        names.append(node.s("name"))
        node = next(iter(node.inputs())).node()
    found: Any = module._c
    for name in reversed(names):
        found = found.getattr(name)
    return cast(NeuronModel, found)


@cache
def _same_object() -> torch.jit.ScriptFunction:
    """Whether two script objects are one C++ object, which only TorchScript can tell."""

    def same(a: Any, b: Any) -> bool:
        return a is b

    model = torch.classes.neuron.Model  # no type for a checker
    same.__annotations__ = {"a": model, "b": model, "return": bool}
    return torch.jit.script(same)
