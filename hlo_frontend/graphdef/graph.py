"""A TensorFlow graph without variables, and the type of every tensor in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import importer

# Attributes that speak of another graph than the one a node is put into.
LOST_ATTRIBUTES = ("_output_shapes", "_class")


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type, and sizes; None where they are not all known."""

    dtype: tf.DType
    dims: tuple[int, ...] | None

    @property
    def bytes(self) -> int:
        """The size of a tensor whose sizes are known."""
        assert self.dims is not None
        return int(self.dtype.size) * tf.TensorShape(self.dims).num_elements()


def producer(tensor: str) -> str:
    """The name of the node that a NodeDef's input or the name of a tensor refers to."""
    return tensor.removeprefix("^").partition(":")[0]


def is_control(tensor: str) -> bool:
    return tensor.startswith("^")


def tensor_name(tensor: str) -> str:
    """The name of a tensor with its port, which a NodeDef leaves out where it is 0."""
    return tensor if ":" in tensor else f"{tensor}:0"


def called_by(node: Any) -> list[Any]:
    """The references to functions in a node's attributes."""
    return [
        called
        for attr in node.attr.values()
        for called in (*([attr.func] if attr.func.name else []), *attr.list.func)
    ]


@dataclass(frozen=True)
class Graph:
    """Nodes, sources before users; the names of the tensors that go in (placeholders) and out."""

    nodes: tuple[Any, ...]  # NodeDef
    library: Any  # FunctionDefLibrary
    versions: Any  # VersionDef
    types: Mapping[str, TensorType]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def number(self) -> dict[str, int]:
        """The place of each node, by name."""
        return {node.name: n for n, node in enumerate(self.nodes)}

    @cached_property
    def sources(self) -> list[list[int]]:
        """For each node, those that it depends on."""
        return [sorted({self.number[producer(t)] for t in n.input}) for n in self.nodes]

    @cached_property
    def ports(self) -> dict[str, list[str]]:
        """The tensors that a node makes, by its name."""
        found: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for tensor in self.types:
            found[producer(tensor)].append(tensor)
        return found

    @cached_property
    def readers(self) -> dict[str, set[str]]:
        """The names of the nodes that read each tensor that is read."""
        found: dict[str, set[str]] = {}
        for node in self.nodes:
            for tensor in self.read_by(node):
                found.setdefault(tensor, set()).add(node.name)
        return found

    def read_by(self, node: Any) -> list[str]:
        """The tensors that a node reads."""
        return [tensor_name(t) for t in node.input if not is_control(t)]

    def graph_def(self) -> Any:
        made = tf.compat.v1.GraphDef(versions=self.versions, library=self.library)
        made.node.extend(self.nodes)
        return made


def typed(
    graph_def: Any, inputs: Sequence[str], outputs: Sequence[str], types: Sequence[TensorType]
) -> Graph:
    """The graph with `types` for its inputs, and what TensorFlow infers for all else."""
    given = {producer(name): kind for name, kind in zip(inputs, types, strict=True)}
    for node in graph_def.node:
        if node.name in given:
            dims = given[node.name].dims
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(dims).as_proto())
    with tf.Graph().as_default() as graph:
        importer.import_graph_def(graph_def, name="")
    for node in graph_def.node:
        for name in LOST_ATTRIBUTES:
            node.attr.pop(name, None)
    found = {
        tensor.name: TensorType(tensor.dtype, _sizes(tensor.shape))
        for operation in graph.get_operations()
        for tensor in operation.outputs
    }
    return Graph(
        tuple(_ordered(graph_def.node)),
        graph_def.library,
        graph_def.versions,
        found,
        tuple(map(tensor_name, inputs)),
        tuple(map(tensor_name, outputs)),
    )


def _sizes(shape: tf.TensorShape) -> tuple[int, ...] | None:
    return tuple(shape.as_list()) if shape.is_fully_defined() else None


def _ordered(nodes: Sequence[Any]) -> Iterator[Any]:
    """Nodes, each after those it depends on."""
    waiting = {n.name: len({producer(t) for t in n.input}) for n in nodes}
    users: dict[str, list[Any]] = {n.name: [] for n in nodes}
    for node in nodes:
        for name in dict.fromkeys(producer(t) for t in node.input):
            users[name].append(node)
    ready = [n for n in nodes if not waiting[n.name]]
    for node in ready:
        yield node
        for user in users[node.name]:
            waiting[user.name] -= 1
            if not waiting[user.name]:
                ready.append(user)
