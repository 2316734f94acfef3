"""A callable as one TorchScript graph, and the operators in it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from hlo_frontend.capture.naming import display_name
from hlo_frontend.capture.tracing import without_fast_path
from hlo_frontend.errors import CaptureError
from hlo_frontend.partition.roles import Roles, find_roles, forward_elements, hoist_attributes
from hlo_frontend.partition.wrapped import as_module

Node = Any  # torch._C.Node, which has no complete type of its own
_LAYER = re.compile(r"([^().]+(?:\.\d+)?)\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Site:
    """An operator of a graph: what someone decides on.

    `kind` is its name (`aten::relu`), `classes` the classes of the modules around it, outermost
    first, `path` the attributes that lead to the innermost (`layer.conv`). A `scalar` site works
    out sizes and numbers from shapes; it goes along with whatever needs it.
    """

    index: int
    kind: str
    classes: tuple[str, ...]
    path: str
    scalar: bool
    node: Node = field(compare=False, repr=False)
    graph: Any = field(compare=False, repr=False)  # holds the node

    @property
    def source(self) -> str:
        """The Python call stack, innermost first: lines `file(line): function`."""
        return str(self.node.sourceRange())

    @property
    def text(self) -> str:
        """The operator as TorchScript prints it."""
        return str(self.node).strip()

    @property
    def constants(self) -> tuple[Any, ...]:
        """The value of each input that is a constant of the graph; None for the others."""
        return tuple(
            value.toIValue() if value.node().kind() == "prim::Constant" else None
            for value in self.node.inputs()
        )


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced callable: `graph` is that of `module`, inlined; `example_inputs` are flat or nested
    arguments, as given."""

    module: torch.jit.ScriptModule
    graph: Any
    example_inputs: tuple[Any, ...]
    roles: Roles
    sites: tuple[Site, ...]
    name: str


def trace_graph(func: Callable[..., Any], example_inputs: Any, **keywords: Any) -> Traced:
    """Trace a module, method or function with `torch.jit.trace`, and look at the graph.

    `example_inputs` is a tuple or list of arguments; a tensor or a dict is the one argument.
    `keywords` go to `torch.jit.trace`; `check_trace` is False unless given. Updates in place become
    operators that return a new tensor, where nobody can tell the difference.

    Raises what `torch.jit.trace` raises, CaptureError for scripted code that assigns attributes.
    """
    single = isinstance(example_inputs, torch.Tensor | dict)
    inputs = (example_inputs,) if single else tuple(example_inputs)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(without_fast_path())
        stack.enter_context(warnings.catch_warnings())
        # The graph is for these inputs alone: that it may not generalize does not matter.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        module = torch.jit.trace(as_module(func), inputs, **{"check_trace": False, **keywords})
    graph = module.inlined_graph
    if graph.findNode("prim::SetAttr", recurse=True):
        raise CaptureError(
            "partition: scripted modules must not assign their attributes, got "
            + str(graph.findNode("prim::SetAttr", recurse=True)).strip()
        )
    torch._C._jit_pass_remove_mutation(graph)  # type: ignore[attr-defined]
    hoist_attributes(graph)
    _type_attributes(graph, module)
    forward_elements(graph)
    torch._C._jit_pass_dce(graph)
    roles = find_roles(graph)
    name = display_name(func)
    return Traced(module, graph, inputs, roles, _sites(graph, roles, name), name)


def _type_attributes(graph: Any, module: torch.jit.ScriptModule) -> None:
    """Give the tensors that a graph reads from its module the types that they have there: whether
    an index is a mask decides where it can run."""
    held: dict[int, Any] = {next(iter(graph.inputs())).unique(): module}
    for node in graph.nodes():
        if node.kind() == "prim::GetAttr" and node.input().unique() in held:
            value = getattr(held[node.input().unique()], node.s("name"))
            held[node.output().unique()] = value
            if isinstance(value, torch.Tensor):
                node.output().setType(torch._C.TensorType.create_from_tensor(value))


def _sites(graph: Any, roles: Roles, name: str) -> tuple[Site, ...]:
    sites: list[Site] = []
    for number in roles.sites:
        node = roles.nodes[number]
        layers = _LAYER.findall(node.getModuleHierarchy())
        path = node.scopeName().rpartition("/")[2].removeprefix("__module").removeprefix(".")
        classes = (name, *(kind.rpartition(".")[2] for _, kind in layers))
        scalar = roles.is_scalar(number)
        sites.append(Site(len(sites), node.kind(), classes, path, scalar, node, graph))
    return tuple(sites)
