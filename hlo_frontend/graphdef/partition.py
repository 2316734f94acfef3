"""Which nodes of a graph go to Neuron, and in which segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from hlo_frontend.graphdef.graph import Graph, is_control, producer
from hlo_frontend.graphdef.segments import cut
from hlo_frontend.graphdef.support import is_supported

# Nodes that a segment is not made for.
LIGHT = frozenset({"Const", "Identity", "IdentityN", "NoOp", "Snapshot", "StopGradient"})
# Operators that make a segment worth its call, where another segment has one (AWS's rule).
INTENSIVE = ("BatchMatMul", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum", "MatMul")
DOMINANT = 0.8  # of all that is in segments: the largest alone goes to Neuron then
# What no tensor between a segment and the rest of the graph can be.
INNER = frozenset({tf.resource, tf.variant, tf.string})


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes that run as one on Neuron; constants that they read are no part of it.

    `inputs` and `outputs` are tensors of the graph; a constant among the inputs stays outside.
    """

    nodes: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(node.name for node in self.nodes)


def bodies(graph: Graph, node: Any) -> Iterator[Any]:
    """The nodes of the functions that a node calls, and of those that these call."""
    library = {f.signature.name: f for f in graph.library.function}
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        for attr in waiting.pop().attr.values():
            for called in (*([attr.func] if attr.func.name else []), *attr.list.func):
                if called.name not in seen and called.name in library:
                    seen.add(called.name)
                    inner = list(library[called.name].node_def)
                    waiting.extend(inner)
                    yield from inner


def partition(graph: Graph, refused: Set[str], chosen: Set[str] | None = None) -> list[Segment]:
    """The segments of a graph, without the nodes in `refused`.

    With `chosen`, the nodes of those names; else all that can be compiled, except segments that
    are too small to be worth a call.
    """
    member = _peeled(graph, _candidates(graph, refused, chosen))
    found = [[graph.nodes[n] for n in numbers] for numbers in cut(_ordering(graph), member)]
    found = [nodes for nodes in found if any(n.op not in LIGHT for n in nodes)]
    if chosen is None:
        found = _worthwhile(graph, found)
    segments = [_segment(graph, nodes, chosen) for nodes in found]
    return [s for s in segments if s.inputs and s.outputs]


def _ordering(graph: Graph) -> list[list[int]]:
    """What each node waits for, without constants and placeholders, which wait for nothing."""
    free = {n for n, node in enumerate(graph.nodes) if node.op in ("Const", "Placeholder")}
    return [[s for s in sources if s not in free] for sources in graph.sources]


def _candidates(graph: Graph, refused: Set[str], chosen: Set[str] | None) -> list[bool]:
    fed = _fed(graph)
    return [
        node.op not in ("Const", "Placeholder")
        and node.name not in refused
        and fed[n]
        and _has_fixed_shapes(graph, node)
        and (_compiles(graph, node) if chosen is None else node.name in chosen)
        for n, node in enumerate(graph.nodes)
    ]


def _fed(graph: Graph) -> list[bool]:
    """Whether each node depends on an input of the graph."""
    fed: list[bool] = []
    for node, sources in zip(graph.nodes, graph.sources, strict=True):
        fed.append(node.op == "Placeholder" or any(fed[s] for s in sources))
    return fed


def _has_fixed_shapes(graph: Graph, node: Any) -> bool:
    made = graph.ports[node.name]
    if node.op.startswith("FusedBatchNorm"):
        made = made[:1]  # the others are for training, the last of them without a shape
    types = [graph.types[t] for t in (*graph.read_by(node), *made)]
    return all(t.dims is not None and t.dtype != tf.string for t in types)


def _compiles(graph: Graph, node: Any) -> bool:
    return is_supported(node) and all(
        is_supported(n) or n.op in ("NoOp", "Placeholder") for n in bodies(graph, node)
    )


def _peeled(graph: Graph, member: list[bool]) -> list[bool]:
    """The members without those at the end of an edge that cannot leave a segment."""
    member = list(member)
    inner = [
        (graph.number[producer(t)], n)
        for n, node in enumerate(graph.nodes)
        for t in graph.read_by(node)
        if graph.types[t].dtype in INNER
    ]
    ends = {producer(t) for t in graph.outputs if graph.types[t].dtype in INNER}
    for n, node in enumerate(graph.nodes):
        member[n] = member[n] and node.name not in ends
    while True:
        segment_of = {
            n: number for number, nodes in enumerate(cut(_ordering(graph), member)) for n in nodes
        }
        crossing = [e for e in inner if segment_of.get(e[0], -1) != segment_of.get(e[1], -1)]
        left = {n for edge in crossing for n in edge if member[n]}
        if not left:
            return member
        for n in left:
            member[n] = False


def _worthwhile(graph: Graph, found: list[list[Any]]) -> list[list[Any]]:
    """Of several segments, those that are worth a call to Neuron."""
    if len(found) > 1:
        sizes = [sum(n.op not in LIGHT for n in nodes) for nodes in found]
        if max(sizes) > DOMINANT * sum(sizes):
            return [found[sizes.index(max(sizes))]]
        intensive = [nodes for nodes in found if any(_is_intensive(graph, n) for n in nodes)]
        return intensive or found
    return found


def _is_intensive(graph: Graph, node: Any) -> bool:
    return any(n.op.startswith(INTENSIVE) for n in (node, *bodies(graph, node)))


def _segment(graph: Graph, nodes: Sequence[Any], chosen: Set[str] | None) -> Segment:
    """A segment of these nodes, and of the constants that they read.

    Of constants that are not in `chosen`, only integers, which tell what is to be compiled.
    """
    names = {node.name for node in nodes}
    inputs = {
        tensor: None
        for node in nodes
        for tensor in graph.read_by(node)
        if producer(tensor) not in names and not _is_copied(graph, tensor, chosen)
    }
    wanted = set(graph.outputs)
    for node in graph.nodes:
        if node.name not in names:
            wanted.update(graph.read_by(node))
    outputs = [t for node in nodes for t in graph.ports[node.name] if t in wanted]
    return Segment(tuple(nodes), tuple(inputs), tuple(outputs))


def _is_copied(graph: Graph, tensor: str, chosen: Set[str] | None) -> bool:
    name = producer(tensor)
    if graph.nodes[graph.number[name]].op != "Const":
        return False
    return chosen is None or name in chosen or not graph.types[tensor].dtype.is_floating


def waits_outside(graph: Graph, segment: Segment) -> list[str]:
    """The nodes outside that must have run before a segment, though it reads nothing of them."""
    names = segment.names
    return sorted(
        {
            producer(t)
            for node in segment.nodes
            for t in node.input
            if is_control(t) and producer(t) not in names
        }
    )
