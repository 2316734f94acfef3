"""TorchScript modules inside a captured program: their weights become arguments of their graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def expose_weights(module: ScriptModule, lazy: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Makes calls of a TorchScript module go through `lazy` for each of its tensors.

    Its operators would otherwise meet CPU weights beside lazy inputs, which some refuse. The
    attribute set here is one that `restore.unchanged` takes back.
    """
    method = module._c._get_method("forward")
    try:
        graph, weights = torch._C._jit_pass_lower_graph(method.graph.copy(), module._c)
    except RuntimeError:  # it assigns attributes: run as it is, operator by operator
        return
    function = torch._C._create_function_from_graph("forward", graph)
    arguments = method.schema.arguments[1:]

    def forward(*args: Any, **kwargs: Any) -> Any:
        values = [*args, *(_argument(a, kwargs) for a in arguments[len(args) :])]
        held = [lazy(w) if isinstance(w, torch.Tensor) else w for w in weights]
        return function(*values, *held)

    module.__dict__["forward"] = forward


def _argument(argument: Any, given: dict[str, Any]) -> Any:
    if argument.name in given:
        return given[argument.name]
    if argument.has_default_value():
        return argument.default_value
    raise TypeError(f"forward() is missing a value for argument {argument.name!r}")
