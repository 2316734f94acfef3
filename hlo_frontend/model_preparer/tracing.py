"""Traces a model with torch.fx, in evaluation mode, keeping some modules whole."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import fx

from hlo_frontend.model_preparer import modules
from hlo_frontend.model_preparer.blame import explain
from hlo_frontend.restore import unchanged


class Tracer(fx.Tracer):
    """torch.fx's tracer; what is excluded, and the modules that stand for functionals, stay whole.

    Without arguments, as it is made when a prepared model is unpickled, nothing is excluded.
    """

    def __init__(
        self,
        excluded: Collection[torch.nn.Module] = (),
        excluded_classes: Collection[Callable[..., Any]] = (),
    ) -> None:
        super().__init__()
        self._excluded = {id(module) for module in excluded}
        self._classes = tuple(excluded_classes)

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return (
            self.is_excluded(m)
            or type(m).__module__ == modules.__name__
            or super().is_leaf_module(m, module_qualified_name)
        )

    def scope_of(self, node: fx.Node) -> str:
        """The path of the module whose forward made the node; the root's where nothing ran."""
        return self.node_name_to_scope.get(node.name, ("", None))[0]

    def is_excluded(self, module: torch.nn.Module) -> bool:
        return id(module) in self._excluded or type(module) in self._classes


def trace(
    model: torch.nn.Module, tracer: Tracer, concrete_args: Mapping[str, Any] | None
) -> fx.GraphModule:
    """The model as a graph module. Raises a PrepareError where torch.fx cannot trace it.

    What tracing leaves in the model is taken back: constants that torch.fx puts there, and what a
    model keeps of its computations, which are values of the graph.
    """
    with unchanged(list(model.modules())):
        for module in model.modules():  # their `train` may do more than that
            module.training = False
        graph = _graph(model, tracer, dict(concrete_args or {}))
        return fx.GraphModule(model, graph, type(model).__name__)


def _graph(model: torch.nn.Module, tracer: Tracer, concrete_args: dict[str, Any]) -> fx.Graph:
    if isinstance(model, fx.GraphModule) and not concrete_args and _is_traced(model, tracer):
        return copy.deepcopy(model.graph)  # tracing it again would number its nodes anew
    try:
        graph = tracer.trace(model, concrete_args or None)
    except Exception as error:
        raise explain(error, model) from error
    _default_to(graph, concrete_args)
    return graph


def _default_to(graph: fx.Graph, concrete_args: Mapping[str, Any]) -> None:
    """Let a call leave out the arguments that were fixed: torch.fx keeps the model's defaults."""
    for node in reversed([n for n in graph.nodes if n.op == "placeholder"]):
        name = re.sub(r"_\d+$", "", str(node.target))
        if str(node.target) not in concrete_args and isinstance(
            concrete_args.get(name), bool | int | float | str
        ):
            node.args = (concrete_args[name],)
        elif not node.args:
            return  # in Python no default may follow


def _is_traced(model: fx.GraphModule, tracer: Tracer) -> bool:
    """Whether the graph calls only modules that stay whole."""
    called = (str(node.target) for node in model.graph.nodes if node.op == "call_module")
    return all(tracer.is_leaf_module(model.get_submodule(path), path) for path in called)


def require_exclusions(
    model: torch.nn.Module, excluded: object, excluded_classes: object
) -> tuple[tuple[torch.nn.Module, ...], tuple[Callable[..., Any], ...]]:
    """The modules and the classes to keep whole. Raises TypeError where they are something else."""
    instances = _listed(excluded, "modules_to_exclude", torch.nn.Module, "modules")
    classes = _listed(excluded_classes, "module_classes_to_exclude", type, "classes")
    own = {id(module) for module in model.modules()}
    for module in instances:
        if id(module) not in own:
            warnings.warn(
                f"prepare_model: modules_to_exclude has a {type(module).__name__} that is not in "
                "the model, which changes nothing",
                stacklevel=3,
            )
    return instances, classes


def _listed(value: object, name: str, kind: type, what: str) -> tuple[Any, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(
            f"prepare_model: {name} must be a list of {what}, got {_shown(value)}\n"
            f"  try: {name}=[...]"
        )
    for item in value:
        if not isinstance(item, kind):
            raise TypeError(f"prepare_model: {name} must hold {what}, got {_shown(item)}")
    return tuple(value)


def _shown(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"a {kind} module" if isinstance(value, torch.nn.Module) else f"{value!r} ({kind})"
