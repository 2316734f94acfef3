"""TorchScript modules inside a captured program: their tensors become arguments of their graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.jit import ScriptModule


def outermost(modules: Iterable[nn.Module]) -> list[ScriptModule]:
    """The TorchScript modules below the given ones that Python code can call."""
    found: list[ScriptModule] = []
    for module in modules:
        if isinstance(module, ScriptModule):
            found.append(module)
        else:
            found.extend(outermost(module.children()))
    return found


def expose_tensors(module: ScriptModule, lazy: Callable[[Any], Any]) -> None:
    """Makes calls of a TorchScript module pass each of its tensors through `lazy`.

    Its operators would otherwise meet CPU weights beside lazy inputs, which some refuse. The
    attribute set here is one that `restore.unchanged` takes back.
    """
    method = module._c._get_method("forward")
    graph = method.inlined_graph
    if graph.findNode("prim::SetAttr", recurse=True):  # run as it is, operator by operator
        return
    held = []
    for node, value in list(_held(graph, module)):
        argument = graph.addInput()
        argument.setType(node.output().type())
        node.output().replaceAllUsesWith(argument)
        held.append(value)
    function = torch._C._create_function_from_graph("forward", graph)
    arguments = method.schema.arguments[1:]

    def forward(*args: Any, **kwargs: Any) -> Any:
        values = [*args, *(_argument(a, kwargs) for a in arguments[len(args) :])]
        with torch._C.DisableTorchFunction():  # to make these lazy is no call of the program's
            tensors = [lazy(value) for value in held]
        return function(module._c, *values, *tensors)

    module.__dict__["forward"] = forward


def _held(graph: Any, module: ScriptModule) -> Iterator[tuple[Any, Any]]:
    """Nodes that yield a tensor, or a list of tensors, of the module's, and its value."""
    for kind in ("prim::GetAttr", "prim::Constant"):
        for node in graph.findAllNodes(kind, recurse=True):
            if str(node.output().type()) in ("Tensor", "List[Tensor]"):
                constant = kind == "prim::Constant"
                yield node, node.output().toIValue() if constant else _attribute(node, module)


def _attribute(node: Any, module: ScriptModule) -> Any:
    """What a chain of attribute accesses from the module yields."""
    owner = node.input().node()
    base = _attribute(owner, module) if owner.kind() == "prim::GetAttr" else module._c
    return base.getattr(node.s("name"))


def _argument(argument: Any, given: dict[str, Any]) -> Any:
    if argument.name in given:
        return given[argument.name]
    if argument.has_default_value():
        return argument.default_value
    raise TypeError(f"forward() is missing a value for argument {argument.name!r}")
