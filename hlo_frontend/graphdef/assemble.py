"""Puts a graph together again, with one NeuronOp in the place of each segment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from hlo_frontend.graphdef.extract import inner_graph
from hlo_frontend.graphdef.graph import (
    Graph,
    TensorType,
    called_by,
    is_control,
    producer,
    tensor_name,
)
from hlo_frontend.graphdef.partition import Segment, waits_outside

LARGE = 1024  # bytes of a constant, whose value is not kept in the graph of a segment
NO_BATCH = -1


@dataclass(frozen=True, slots=True)
class Compiled:
    """A segment, its NEFF, how many cores it goes on, and whether it takes any batch."""

    segment: Segment
    neff: bytes
    model_config: tuple[int, ...]
    dynamic_batch: bool

    def without_neff(self) -> Compiled:
        """The same before it was compiled."""
        return replace(self, neff=b"")


def operator_name(segment: Segment) -> str:
    """The same for the same tensors in and out."""
    text = "\n".join((*segment.inputs, "", *segment.outputs))
    return f"neuron_op_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def assemble(graph: Graph, compiled: Sequence[Compiled]) -> Any:
    """The GraphDef. An output of the graph that a segment makes keeps the name of its node."""
    inside = {name for c in compiled for name in c.segment.names}
    rewired = {
        tensor: f"{operator_name(c.segment)}:{n}" if n else operator_name(c.segment)
        for c in compiled
        for n, tensor in enumerate(_made(graph, c.segment))
    }
    by_node = {name: operator_name(c.segment) for c in compiled for name in c.segment.names}
    made = tf.compat.v1.GraphDef(versions=graph.versions)
    any_batch = any(c.dynamic_batch for c in compiled)
    for node in graph.nodes:
        if node.name not in inside:
            outside = _outside(node, rewired, by_node)
            if any_batch and node.op == "Placeholder" and outside.attr["shape"].shape.dim:
                outside.attr["shape"].shape.dim[0].size = -1
            made.node.append(outside)
    for one in compiled:
        made.node.append(_operator(graph, one, rewired, by_node))
    for name in dict.fromkeys(producer(t) for t in graph.outputs):
        if name in inside:
            made.node.append(_output(graph, name, rewired))
    made = _used(made, graph)
    _copy_library(graph.library, made)
    return made


def _made(graph: Graph, segment: Segment) -> list[str]:
    """What a segment must give: its outputs, and those of an output's node that come before."""
    wanted = dict.fromkeys(segment.outputs)
    for name in segment.names & {producer(t) for t in graph.outputs}:
        for tensor in _ports(graph, name):
            wanted[tensor] = None
    return list(wanted)


def _ports(graph: Graph, name: str) -> list[str]:
    """The tensors of a node up to the last that is an output of the graph."""
    ports = graph.ports[name]
    return ports[: 1 + max(n for n, t in enumerate(ports) if t in graph.outputs)]


def with_all_ports(graph: Graph, segment: Segment) -> Segment:
    """The segment with all that `assemble` needs of it as outputs."""
    return replace(segment, outputs=tuple(_made(graph, segment)))


def _rewire(
    node: Any, inputs: Sequence[str], rewired: Mapping[str, str], by_node: Mapping[str, str]
) -> None:
    data: list[str] = []
    control: dict[str, None] = {}
    for given in inputs:
        if is_control(given):
            name = producer(given)
            control[f"^{by_node.get(name, name)}"] = None
        else:
            data.append(rewired.get(tensor_name(given), given))
    node.input[:] = [*data, *control]


def _outside(node: Any, rewired: Mapping[str, str], by_node: Mapping[str, str]) -> Any:
    copy = tf.compat.v1.NodeDef()
    copy.CopyFrom(node)
    _rewire(copy, node.input, rewired, by_node)
    return copy


def _operator(
    graph: Graph, one: Compiled, rewired: Mapping[str, str], by_node: Mapping[str, str]
) -> Any:
    segment = one.segment
    node = tf.compat.v1.NodeDef(name=operator_name(segment), op="NeuronOp")
    waits = [f"^{name}" for name in waits_outside(graph, segment)]
    _rewire(node, [*segment.inputs, *waits], rewired, by_node)
    inner = inner_graph(graph, segment, constants=True)
    _erase_large(inner)
    attr = node.attr
    attr["graph_def"].s = inner.SerializeToString(deterministic=True)
    attr["executable"].s = one.neff
    for kind, tensors in (("input", segment.inputs), ("output", segment.outputs)):
        types = [graph.types[t] for t in tensors]
        attr[f"{kind}_names"].list.s.extend(f"{kind}{n}".encode() for n in range(len(tensors)))
        attr[f"{kind}_dtypes"].list.type.extend(t.dtype.as_datatype_enum for t in types)
        attr[f"{kind}_shapes"].list.shape.extend(_shape(t) for t in types)
        attr[f"{kind}_batch_axis"].list.i.extend(
            0 if one.dynamic_batch and t.dims else NO_BATCH for t in types
        )
    attr["model_config"].list.i.extend(one.model_config)
    return node


def _shape(kind: TensorType) -> Any:
    return tf.TensorShape(kind.dims).as_proto()


def _erase_large(inner: Any) -> None:
    """Leave out what the NEFF holds anyway."""
    for node in inner.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and tensor.ByteSize() > LARGE:
            del node.attr["value"]


def _output(graph: Graph, name: str, rewired: Mapping[str, str]) -> Any:
    ports = _ports(graph, name)
    node = tf.compat.v1.NodeDef(name=name, op="IdentityN")
    node.input.extend(rewired[tensor] for tensor in ports)
    node.attr["T"].list.type.extend(graph.types[t].dtype.as_datatype_enum for t in ports)
    return node


def _used(made: Any, graph: Graph) -> Any:
    """The graph without what no output needs any more; inputs stay."""
    nodes = {node.name: node for node in made.node}
    waiting = [producer(t) for t in (*graph.outputs, *graph.inputs)]
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting.extend(producer(t) for t in nodes[name].input)
    left = tf.compat.v1.GraphDef(versions=made.versions)
    left.node.extend(node for node in made.node if node.name in kept)
    return left


def _copy_library(library: Any, made: Any) -> None:
    """Keep the functions that are still called."""
    functions = {f.signature.name: f for f in library.function}
    waiting = list(made.node)
    kept: set[str] = set()
    while waiting:
        for called in called_by(waiting.pop()):
            if called.name in functions and called.name not in kept:
                kept.add(called.name)
                made.library.function.add().CopyFrom(functions[called.name])
                waiting.extend(functions[called.name].node_def)
