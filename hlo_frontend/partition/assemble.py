"""Puts the compiled segments of a partition, and the rest, in one TorchScript module."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hlo_frontend.partition.borders import reached
from hlo_frontend.partition.cut import Partition, Segment
from hlo_frontend.partition.levels import Side
from hlo_frontend.partition.roles import Role, Roles
from hlo_frontend.partition.segment import attribute_name, put, taken


def assemble(
    partition: Partition, compiled: Mapping[int, torch.jit.ScriptModule], name: str
) -> torch.jit.ScriptModule:
    """The module that does what the traced callable does, with its arguments and results.

    `compiled` has, by segment number, what takes and returns the tensors that the segment's module
    does; it becomes the submodule `name.format(number)`. A segment without is ordinary operators,
    as is all that is on the CPU. Of the weights only those that the CPU needs are in the module,
    as copies: it does not follow what becomes of the model.
    """
    traced, roles = partition.traced, partition.traced.roles
    shell = _shell(partition)
    on_cpu = [n for part in partition.parts for n in part.nodes]
    for number, module in compiled.items():
        shell.add_module(name.format(number), module)
        inside = set(partition.segments[number].nodes)
        on_cpu = [n for n in on_cpu if n not in inside]
    for path, value in _attributes(partition, on_cpu).items():
        put(shell, path, _own(value))
    with torch.no_grad():
        module = torch.jit.trace(shell, traced.example_inputs, strict=False, check_trace=False)
    graph = module._c._get_method("forward").graph
    _Writer(graph, module, roles).write(partition, compiled, name)
    return module


def _own(value: Any) -> Any:
    if isinstance(value, nn.Parameter):
        return nn.Parameter(value.detach().clone(), requires_grad=False)
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _attributes(partition: Partition, nodes: list[int]) -> dict[str, Any]:
    """The attributes, other than modules, that nodes use, by their paths."""
    roles = partition.traced.roles
    paths = (
        attribute_name(roles, unique)
        for number in reached(roles, nodes, roles.returned)
        if roles.role[number] is Role.ATTRIBUTE
        for unique in roles.outputs(number)
    )
    found = {path: taken(partition.traced.module, path) for path in paths}
    return {path: value for path, value in found.items() if not isinstance(value, nn.Module)}


def _shell(partition: Partition) -> nn.Module:
    """A module with the traced one's arguments, which returns one of their tensors."""
    traced = partition.traced
    arguments = traced.module._c._get_method("forward").schema.arguments[1:]

    class Shell(nn.Module):
        def forward(self, *arguments: Any) -> Any:
            return _first_tensor(arguments)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [a.name for a in arguments]
    if all(name.isidentifier() for name in names):
        parameters = [inspect.Parameter(n, kind) for n in ("self", *names)]
        Shell.forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    Shell.__name__ = Shell.__qualname__ = traced.name if traced.name.isidentifier() else "Partition"
    return Shell().eval()


def _first_tensor(value: Any) -> Any:
    while not isinstance(value, torch.Tensor):
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


class _Writer:
    """Writes the graph of the result. `place` has its values by the numbers of the traced ones."""

    def __init__(self, graph: Any, module: torch.jit.ScriptModule, roles: Roles) -> None:
        self.graph = graph
        self.module = module
        self.roles = roles
        self.place: dict[int, Any] = {}
        self.read: dict[str, Any] = {}

    def write(
        self, partition: Partition, compiled: Mapping[int, torch.jit.ScriptModule], name: str
    ) -> None:
        before = list(self.graph.nodes())
        own = partition.traced.graph.inputs()
        for value, argument in zip(own, self.graph.inputs(), strict=True):
            self.place[value.unique()] = argument
        self.self_value = next(iter(self.graph.inputs()))
        self.read[""] = (self.self_value, self.module._c)
        segments = iter(partition.segments)
        for part in partition.parts:
            segment = next(segments) if part.side is Side.NEURON else None
            if segment is not None and segment.number in compiled:
                self._call(segment, name.format(segment.number))
            else:
                for number in part.nodes:
                    self._copy(number)
        (returned,) = self.roles.returned
        self._need([returned])
        self.graph.return_node().replaceInput(0, self.place[returned])
        for node in reversed(before):
            node.destroy()
        self.graph.lint()

    def _call(self, segment: Segment, name: str) -> None:
        """Call the submodule of a segment and take its results apart."""
        self._need(segment.inputs)
        owner = self._attribute(name)
        submodule = self.module._c.getattr(name)
        inputs = [self.place[unique] for unique in segment.inputs]
        call = self.graph.create("prim::CallMethod", [owner, *inputs], 1)
        call.s_("name", "forward")
        call.output().setType(submodule._get_method("forward").schema.returns[0].type)
        self.graph.appendNode(call)
        if len(segment.outputs) == 1:
            self.place[segment.outputs[0]] = call.output()
            return
        unpack = self.graph.create("prim::TupleUnpack", [call.output()], len(segment.outputs))
        self.graph.appendNode(unpack)
        for unique, value in zip(segment.outputs, unpack.outputs(), strict=True):
            value.setType(torch._C.TensorType.get())
            self.place[unique] = value

    def _copy(self, number: int) -> None:
        """Copy a node, after what it needs of constants, attributes, scalars and builders."""
        self._need(self.roles.inputs[number])
        self._clone(number)

    def _clone(self, number: int) -> None:
        node = self.roles.nodes[number]
        copied = self.graph.createClone(node, lambda value: self.place[value.unique()])
        self.graph.appendNode(copied)
        for value, made in zip(node.outputs(), copied.outputs(), strict=True):
            self.place[value.unique()] = made

    def _need(self, values: Any) -> None:
        """Have the values in the graph: those that may be repeated are made here."""
        waiting = [unique for unique in reversed(tuple(values)) if unique not in self.place]
        while waiting:
            unique = waiting[-1]
            if unique in self.place:
                waiting.pop()
                continue
            number = self.roles.producer[unique]
            assert self.roles.role[number] is not Role.WORK, self.roles.nodes[number]
            if self.roles.role[number] is Role.ATTRIBUTE:
                kind = self.roles.nodes[number].output().type()
                self.place[unique] = self._attribute(attribute_name(self.roles, unique), kind)
                continue
            missing = [u for u in self.roles.inputs[number] if u not in self.place]
            if missing:
                waiting += missing
            else:
                self._clone(number)

    def _attribute(self, path: str, kind: Any = None) -> Any:
        """The value of an attribute of the module: a module, or something of type `kind`."""
        if path not in self.read:
            above, _, name = path.rpartition(".")
            if above not in self.read:
                self._attribute(above)
            owner, held = self.read[above]
            found = held.getattr(name)
            node = self.graph.create("prim::GetAttr", [owner], 1)
            node.s_("name", name)
            node.output().setType(found._type() if kind is None else kind)
            self.graph.appendNode(node)
            self.read[path] = (node.output(), found)
        return self.read[path][0]
