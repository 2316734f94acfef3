"""A graph as a listing for people: by layer, in the order of the program, as deep as asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from rich.console import Console
from rich.text import Text

from hlo_frontend.inspect.console import bytes_text, count_text, flops_text
from hlo_frontend.inspect.graph import Block, Graph, Layer, Node, Port, plain_name, total
from hlo_frontend.inspect.stats import NO_LAYER, Count, totals

FULL = 200  # instructions up to which a listing leaves nothing out
LINES = 60  # what a listing aims at when it collapses layers
LIMIT = 400  # lines of a listing that was asked for by layer or depth
OWN = ("literal", "name", "number")  # attributes that stand in the place of operands
PORTS = 12  # inputs that are listed
ENGINE_STYLES = {
    "PE": "bold red", "Activation": "yellow", "DVE": "green", "Pool": "magenta", "SP": "blue",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """What of a graph to show: layers that match a pattern, layers to a depth, or everything."""

    layer: str = ""
    depth: int | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A collapsed layer: its path and the positions of what is in it."""

    path: Layer
    members: tuple[int, ...]


Item = int | Group


def print_graph(out: Console, graph: Graph, view: View) -> None:
    """The listing: what the graph is, what goes in and out, its instructions."""
    _line(out, headline(graph))
    for line in _interface(graph, view.everything):
        _line(out, line)
    small = sum(len(b.nodes) for b in graph.blocks) <= FULL
    if small or view.everything:
        for block in graph.blocks[:-1]:
            _line(out, Text(f"\n{block.name}", "bold"), Text(" (called)", "dim"))
            _print(out, _lines(block, range(len(block.nodes))), None)
    _line(out, Text(f"\n{graph.entry.name}", "bold"))
    _print(out, _entry(graph.entry, view), None if view.everything else LIMIT)
    if graph.blocks[:-1] and not (small or view.everything):
        _line(out, Text(f"\ncalls {_called(graph)}; --all shows them", "dim"))


def _called(graph: Graph) -> str:
    """The functions other than the entry, those that differ in their number as one."""
    counts = Counter(plain_name(b.name) for b in graph.blocks[:-1])
    return ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in counts.items())


def _line(out: Console, *parts: Text) -> None:
    out.print(Text.assemble(*parts), soft_wrap=True)


def _print(out: Console, lines: Iterable[Text], limit: int | None) -> None:
    left_out = 0
    for number, line in enumerate(lines):
        if limit is None or number < limit:
            _line(out, line)
        else:
            left_out += 1
    if left_out:
        _line(out, Text(f"  … {left_out:,} more lines; --all shows them", "dim"))


def headline(graph: Graph) -> Text:
    """What the graph is, and how much of it there is, on one line."""
    kind = {"hlo": "HloModule", "neff": "NEFF"}[graph.format]
    target = f" for {graph.target}" if graph.target else ""
    return Text.assemble((f"{kind} {graph.name}", "bold"), target, "  ", summary(totals(graph)))


def summary(count: Count) -> Text:
    parts = [f"{count.instructions:,} instructions", flops_text(count.cost.flops)]
    if count.parameters:
        size = bytes_text(count.parameter_bytes)
        parts.append(f"{count_text(count.parameters)} parameters ({size})")
    return Text(" · ".join(parts), "dim")


def _interface(graph: Graph, everything: bool) -> Iterator[Text]:
    inputs = [p for p in graph.inputs if p.kind != "weight" or everything]
    weights = len(graph.inputs) - len(inputs)
    shown = inputs if everything else inputs[:PORTS]
    wide = max((len(p.name) for p in (*shown, *graph.outputs)), default=0)
    yield from (_port("in ", p, wide) for p in shown)
    if rest := len(inputs) - len(shown):
        yield Text(f"  in  … {rest} more", "dim")
    if weights:
        yield Text(f"  in  and {weights} weights", "dim")
    yield from (_port("out", p, wide) for p in graph.outputs)
    yield from (Text(f"  {o} is written over {i}") for o, i in graph.aliases)


def _port(way: str, port: Port, wide: int) -> Text:
    kind = Text(f"  {port.kind}", "dim") if port.kind not in ("input", "output") else Text()
    return Text.assemble((f"  {way} ", "dim"), f"{port.name:<{wide}}  ", (port.type, "green"), kind)


def _entry(block: Block, view: View) -> Iterator[Text]:
    everything = range(len(block.nodes))
    if view.layer:
        chosen = [p for p in everything if matches(block.nodes[p].layer, view.layer)]
        if not chosen:
            return iter([Text(f"  no layer matches {view.layer!r}", "red")])
        return _lines(block, chosen)
    if view.everything or (view.depth is None and len(block.nodes) <= FULL):
        return _lines(block, everything)
    depth = fitting_depth(block) if view.depth is None else view.depth
    return _collapsed(block, collapse(block, depth))


def matches(layer: Layer, pattern: str) -> bool:
    """Whether a layer, or one it is in, has a name that matches, as a shell matches file names."""
    names = (".".join(layer[:n]) for n in range(1, len(layer) + 1))
    return any(fnmatchcase(name, pattern) for name in names)


def collapse(block: Block, depth: int) -> list[Item]:
    """Layers down to `depth` names as groups, each where it ends; what has no layer stays."""
    groups: dict[Layer, list[int]] = {}
    for position, node in enumerate(block.nodes):
        groups.setdefault(node.layer[:depth], []).append(position)
    items: list[Item] = list(groups.pop((), []))
    items += [Group(path, tuple(m)) if len(m) > 1 else m[0] for path, m in groups.items()]
    return sorted(items, key=lambda i: i.members[-1] if isinstance(i, Group) else i)


def fitting_depth(block: Block) -> int:
    """The largest depth at which a collapsed listing has no more than `LINES` lines; at least 1."""
    deepest = max((len(n.layer) for n in block.nodes), default=0)
    fits = [d for d in range(1, deepest + 1) if len(collapse(block, d)) <= LINES]
    return max(fits, default=1)


def _collapsed(block: Block, items: Iterable[Item]) -> Iterator[Text]:
    for item in items:
        yield _group(block, item) if isinstance(item, Group) else _instruction(block, item, "")


def _group(block: Block, group: Group) -> Text:
    nodes = [block.nodes[p] for p in group.members]
    flops = total(n.cost for n in nodes).flops
    text = f"  {len(nodes):>6,} instructions  {flops_text(flops):>10}"
    return Text.assemble("  ▸ ", (f"{'.'.join(group.path):<44}", "magenta"), (text, "dim"))


def _lines(block: Block, positions: Iterable[int]) -> Iterator[Text]:
    """Every instruction; a heading where the layer changes, the source where that changes."""
    key: Callable[[int], Layer] = lambda p: block.nodes[p].layer  # noqa: E731
    headed = False
    for layer, members in groupby(positions, key):
        if layer or headed:
            yield Text(f"  ▾ {'.'.join(layer) or NO_LAYER}", "magenta")
            headed = True
        said = ""
        for position in members:
            origin = _origin(block.nodes[position])
            yield _instruction(block, position, origin if origin != said else "")
            said = origin


def _origin(node: Node) -> str:
    return "  ".join(filter(None, (node.operator, node.source)))


def _instruction(block: Block, position: int, origin: str) -> Text:
    node = block.nodes[position]
    mark = Text("→ " if position in block.results else "  ", "bold")
    origin_text = Text(f"   ← {origin}", "blue") if origin else Text()
    return Text.assemble("  ", mark, _placement(node), instruction_text(block, node), origin_text)


def _placement(node: Node) -> Text:
    if not node.engine:
        return Text()
    region = "" if node.region is None else f"r{node.region}"
    style = ENGINE_STYLES.get(node.engine, "")
    return Text.assemble((f"{node.engine:<10} ", style), (f"{region:<5} ", "dim"))


def instruction_text(block: Block, node: Node) -> Text:
    """`dot.3 = f32[1,10] dot(x.1, w.2), lhs_contracting_dims={1}, …`."""
    operands = ", ".join(block.nodes[o].name for o in node.operands) or own_value(node)
    return Text.assemble(
        (node.name, "cyan"),
        " = ",
        (node.type, "green"),
        " ",
        (node.op, "bold"),
        f"({operands})",
        (attributes_text(node), "dim"),
        (f" @{node.buffer}" if node.buffer else "", "dim"),
    )


def own_value(node: Node) -> str:
    """What stands in the place of operands: a constant's value, a parameter's number."""
    return next((value for name, value in node.attributes if name in OWN), "")


def attributes_text(node: Node) -> str:
    parts = [f", {name}={value}" for name, value in node.attributes if name not in OWN]
    if node.calls:
        parts.append(f", calls={{{', '.join(node.calls)}}}")
    return "".join(parts)
