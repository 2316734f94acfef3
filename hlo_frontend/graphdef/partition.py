"""Which nodes of a graph go to Neuron, and in which segments."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from hlo_frontend.graphdef.graph import Graph, called_by, is_control, producer
from hlo_frontend.graphdef.segments import cut
from hlo_frontend.graphdef.support import is_supported, refusal

# Nodes that a segment is not made for.
LIGHT = frozenset({"Const", "Identity", "IdentityN", "NoOp", "Snapshot", "StopGradient"})
# Operators that make a segment worth its call, where another segment has one (AWS's rule).
INTENSIVE = ("BatchMatMul", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum", "MatMul")
DOMINANT = 0.8  # of all that is in segments: the largest alone goes to Neuron then
# What no tensor between a segment and the rest of the graph can be.
INNER = frozenset({tf.resource, tf.variant, tf.string})

# Where branches of TensorFlow 1's conditions begin, and where they end.
BRANCHING = {"Merge": -1, "RefMerge": -1, "RefSwitch": 1, "Switch": 1, "_SwitchN": 1}
IN_BRANCH = "is in a branch of TensorFlow 1's control flow"


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes that run as one on Neuron.

    `constants` are copied into it: nodes that depend on no input of the graph. `inputs` and
    `outputs` are tensors of the graph; a constant among the inputs stays outside.
    """

    nodes: tuple[Any, ...]
    constants: tuple[Any, ...]
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
        for called in called_by(waiting.pop()):
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
    free = _free(graph, chosen)
    member = _peeled(graph, _candidates(graph, refused, chosen), free)
    found = [
        [graph.nodes[n] for n in numbers]
        for numbers in cut(_ordering(graph), member, wide=chosen is None)
    ]
    found = [nodes for nodes in found if any(n.op not in LIGHT for n in nodes)]
    if chosen is None:
        found = _worthwhile(graph, found)
    segments = [_segment(graph, nodes, free) for nodes in found]
    return [s for s in segments if s.inputs and s.outputs]


def _ordering(graph: Graph) -> list[list[int]]:
    """What each node waits for, of the nodes that depend on an input of the graph."""
    fed = _fed(graph)
    waiting = [fed[n] and node.op != "Placeholder" for n, node in enumerate(graph.nodes)]
    return [[s for s in sources if waiting[s]] for sources in graph.sources]


def _candidates(graph: Graph, refused: Set[str], chosen: Set[str] | None) -> list[bool]:
    fed, sometimes = _fed(graph), _sometimes(graph)
    return [
        node.op not in ("Const", "Placeholder")
        and node.name not in refused
        and fed[n]
        and not sometimes[n]
        and _has_fixed_shapes(graph, node)
        and (compiles(graph, node) if chosen is None else node.name in chosen)
        for n, node in enumerate(graph.nodes)
    ]


def _fed(graph: Graph) -> list[bool]:
    """Whether each node depends on an input of the graph."""
    fed: list[bool] = []
    for node, sources in zip(graph.nodes, graph.sources, strict=True):
        fed.append(node.op == "Placeholder" or any(fed[s] for s in sources))
    return fed


def _sometimes(graph: Graph) -> list[bool]:
    """Whether each node is in a branch of TensorFlow 1's conditions.

    An operator with an input from a branch that is not taken makes nothing, so that no segment may
    have nodes of two of them.
    """
    depth: list[int] = []  # of the conditions around each node
    for node, sources in zip(graph.nodes, graph.sources, strict=True):
        around = max((depth[s] for s in sources), default=0)
        depth.append(max(0, around + BRANCHING.get(node.op, 0)))
    return [d > 0 for d in depth]


def _has_fixed_shapes(graph: Graph, node: Any) -> bool:
    made = graph.ports[node.name]
    if node.op.startswith("FusedBatchNorm"):
        made = made[:1]  # the others are for training, the last of them without a shape
    types = [graph.types[t] for t in (*graph.read_by(node), *made)]
    return all(t.dims is not None and t.dtype != tf.string for t in types)


def compiles(graph: Graph, node: Any) -> bool:
    """Whether TensorFlow's compiler has what a node, and the functions that it calls, need."""
    return is_supported(node) and all(
        is_supported(n) or n.op in ("NoOp", "Placeholder") for n in bodies(graph, node)
    )


def left_out(graph: Graph) -> dict[str, set[str]]:
    """Why nodes that depend on an input cannot go to Neuron; for each reason, their operators."""
    found: dict[str, set[str]] = {}
    fed, sometimes = _fed(graph), _sometimes(graph)
    for n, node in enumerate(graph.nodes):
        if fed[n] and node.op not in LIGHT and node.op not in ("NeuronOp", "Placeholder"):
            reason = _refusal(graph, node) or (IN_BRANCH if sometimes[n] else None)
            if reason is not None:
                found.setdefault(reason, set()).add(node.op)
    return found


def set_aside(graph: Graph, refused: Set[str], segments: Sequence[Segment]) -> dict[str, set[str]]:
    """Why nodes are in no segment though they can be compiled; by reason, their operators."""
    placed = {n.name for s in segments for n in (*s.nodes, *s.constants)}
    outside = [
        n
        for n, node in enumerate(graph.nodes)
        if node.name not in placed and node.op not in LIGHT and node.op != "Placeholder"
    ]
    if not outside:
        return {}
    fed = _fed(graph)
    candidates = _candidates(graph, refused, None)
    members = _peeled(graph, candidates, _free(graph, None))
    found: dict[str, set[str]] = {}
    for n in outside:
        node = graph.nodes[n]
        if not fed[n]:
            reason = "depends on no input of the function"
        elif members[n]:
            reason = "would not be worth a call to Neuron"
        elif candidates[n]:
            reason = "its tensors are no tensors of numbers, and their readers are left out"
        else:
            continue
        found.setdefault(reason, set()).add(node.op)
    return found


def _refusal(graph: Graph, node: Any) -> str | None:
    types = [graph.types[t] for t in (*graph.read_by(node), *graph.ports[node.name])]
    if any(t.dtype == tf.string for t in types):
        return "text"
    inner = [n for n in bodies(graph, node) if n.op not in ("NoOp", "Placeholder")]
    inner.sort(key=lambda n: bool(called_by(n)))  # what is called says more than who calls
    for one in (*inner, node):
        reason = refusal(one)
        if reason is not None:
            return reason if one is node else f"calls {one.op}: {reason}"
    return None if _has_fixed_shapes(graph, node) else "a shape that is not known before it runs"


def _peeled(graph: Graph, member: list[bool], free: Set[str]) -> list[bool]:
    """The members without those at the end of an edge that cannot leave a segment."""
    member = list(member)
    inner = [
        (graph.number[producer(t)], n)
        for n, node in enumerate(graph.nodes)
        for t in graph.read_by(node)
        if graph.types[t].dtype in INNER and producer(t) not in free
    ]
    ends = {producer(t) for t in graph.outputs if graph.types[t].dtype in INNER}
    for n, node in enumerate(graph.nodes):
        member[n] = member[n] and node.name not in ends
    while True:
        segment_of = {
            n: number
            for number, nodes in enumerate(cut(_ordering(graph), member, wide=True))
            for n in nodes
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


def _segment(graph: Graph, nodes: Sequence[Any], free: Set[str]) -> Segment:
    """A segment of these nodes and of what they read of the nodes in `free`."""
    names = {node.name for node in nodes}
    constants: dict[str, Any] = {}
    inputs: dict[str, None] = {}
    waiting = deque(nodes)
    while waiting:
        for tensor in graph.read_by(waiting.popleft()):
            name = producer(tensor)
            if name in free and name not in constants:
                constants[name] = graph.nodes[graph.number[name]]
                waiting.append(constants[name])
            elif name not in names and name not in free:
                inputs[tensor] = None
    made = [t for node in nodes for t in graph.ports[node.name]]
    outputs = [t for t in made if t in graph.outputs or not graph.readers.get(t, set()) <= names]
    copied = sorted(constants.values(), key=lambda node: graph.number[node.name])
    return Segment(tuple(nodes), tuple(copied), tuple(inputs), tuple(outputs))


def _free(graph: Graph, chosen: Set[str] | None) -> set[str]:
    """The nodes that can be copied into any segment: constants, and what is computed from them.

    With `chosen`, only constants of those names, and integers, which tell what is to be compiled.
    """
    free: set[str] = set()
    for node in graph.nodes:
        if node.op == "Const":
            if node.input:  # it waits for what has effects
                continue
            floating = graph.types[f"{node.name}:0"].dtype.is_floating
            if chosen is None or node.name in chosen or not floating:
                free.add(node.name)
        elif (
            node.op != "Placeholder"
            and (chosen is None or node.name in chosen)
            and all(producer(t) in free for t in node.input)
            and _has_fixed_shapes(graph, node)
            and compiles(graph, node)
        ):
            free.add(node.name)
    return free


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
