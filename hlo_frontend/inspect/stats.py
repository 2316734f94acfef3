"""Counts of a graph: instructions, operations, bytes and parameters, by layer and by opcode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from hlo_frontend.inspect.cost import Cost
from hlo_frontend.inspect.graph import Graph, Layer, Node, Port, total

NO_LAYER = "(no layer)"
LIMIT = 40  # rows that a table by layer has where no depth is asked for


@dataclass(frozen=True, slots=True)
class Count:
    """What a part of a graph holds; sizes in elements and bytes. A layer counts what is below."""

    name: str
    instructions: int = 0
    cost: Cost = field(default=Cost())
    parameters: int = 0
    parameter_bytes: int = 0
    opcodes: tuple[tuple[str, int], ...] = ()
    depth: int = 0


def weights(graph: Graph) -> Iterator[Port]:
    return (port for port in graph.inputs if port.kind != "input")


def _count(name: str, nodes: Iterable[Node], ports: Iterable[Port], depth: int = 0) -> Count:
    nodes, ports = tuple(nodes), tuple(ports)
    ops = Counter(n.op for n in nodes)
    return Count(
        name,
        len(nodes),
        total(n.cost for n in nodes),
        sum(p.elements for p in ports),
        sum(p.bytes for p in ports),
        tuple(sorted(ops.items(), key=lambda item: (-item[1], item[0]))),
        depth,
    )


def totals(graph: Graph) -> Count:
    """The counts of the entry function; what it calls counts in the instruction that calls."""
    return _count(graph.name, graph.entry.nodes, weights(graph))


def by_opcode(graph: Graph) -> tuple[Count, ...]:
    """The costliest opcode first."""
    groups = _grouped(graph.entry.nodes, lambda n: n.op)
    counts = [_count(op, nodes, ()) for op, nodes in groups.items()]
    counts.sort(key=lambda c: (-c.cost.flops, -c.cost.read - c.cost.written, c.name))
    return tuple(counts)


def by_engine(graph: Graph) -> tuple[Count, ...]:
    """For a placed program: what each engine runs."""
    groups = _grouped((n for n in graph.entry.nodes if n.engine), lambda n: n.engine)
    return tuple(_count(engine, groups[engine], ()) for engine in sorted(groups))


def _grouped(nodes: Iterable[Node], key: Callable[[Node], str]) -> dict[str, list[Node]]:
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(key(node), []).append(node)
    return groups


def by_layer(graph: Graph, depth: int | None = None) -> tuple[Count, ...]:
    """Layers down to a depth, each with all below it, in the order in which they end.

    What names no layer is in `NO_LAYER`. Without `depth`, as deep as `LIMIT` rows allow.
    """
    nodes: dict[Layer, list[Node]] = {}
    ports: dict[Layer, list[Port]] = {}
    for node in graph.entry.nodes:
        for prefix in _prefixes(node.layer):
            nodes.setdefault(prefix, []).append(node)
    for port in weights(graph):
        for prefix in _prefixes(port.layer):
            ports.setdefault(prefix, []).append(port)
            nodes.setdefault(prefix, [])
    depth = _fitting(nodes) if depth is None else depth
    last = {path: max(where) for path, where in _places(graph).items()}
    ordered = _ordered(sorted(nodes, key=lambda path: last.get(path, -1)))
    shown = [path for path in ordered if len(path) <= max(depth, 1)]
    return tuple(
        _count(".".join(p) or NO_LAYER, nodes[p], ports.get(p, ()), max(len(p) - 1, 0))
        for p in shown
    )


def _places(graph: Graph) -> dict[Layer, list[int]]:
    places: dict[Layer, list[int]] = {}
    for position, node in enumerate(graph.entry.nodes):
        for prefix in _prefixes(node.layer):
            places.setdefault(prefix, []).append(position)
    return places


def _prefixes(layer: Layer) -> Iterator[Layer]:
    return (layer[:n] for n in range(1, len(layer) + 1)) if layer else iter(((),))


def _fitting(paths: Iterable[Layer]) -> int:
    """The largest depth whose table has no more than `LIMIT` rows; at least 1."""
    lengths = Counter(map(len, paths))
    rows, depth = lengths[0], 0
    while lengths[depth + 1] and (depth == 0 or rows + lengths[depth + 1] <= LIMIT):
        depth += 1
        rows += lengths[depth]
    return depth


def _ordered(paths: Iterable[Layer]) -> Iterator[Layer]:
    """Parents before children; siblings in the order given."""
    children: dict[Layer, list[Layer]] = {}
    for path in paths:
        if path:
            children.setdefault(path[:-1], []).append(path)
        else:
            yield path
    stack = list(reversed(children.get((), [])))
    while stack:
        path = stack.pop()
        yield path
        stack.extend(reversed(children.get(path, [])))
