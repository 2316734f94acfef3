"""What differs between two graphs: by structure and origin, not by names, numbers or order."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hlo_frontend.inspect.graph import Block, Graph, Node, Port, plain_name

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Changed:
    """An instruction that both sides have, and what is not the same: (what, before, after)."""

    before: Node
    after: Node
    what: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class BlockDifference:
    """What differs in one function."""

    name: str
    removed: tuple[Node, ...] = ()
    added: tuple[Node, ...] = ()
    changed: tuple[Changed, ...] = ()
    same: int = 0
    results: tuple[str, str] | None = None  # what is returned, where it is not the same

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed or self.results)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs; `interface` holds (what, before, after) outside the functions."""

    interface: tuple[tuple[str, str, str], ...]
    blocks: tuple[BlockDifference, ...]

    def __bool__(self) -> bool:
        return bool(self.interface or any(self.blocks))


def difference(before: Graph, after: Graph) -> Difference:
    """What differs between two graphs of one format."""
    before, after = (replace(g, blocks=tuple(map(_named, g.blocks))) for g in (before, after))
    pairs = _paired_blocks(before, after)
    blocks = tuple(_block(old, new) for old, new in pairs)
    return Difference(tuple(_interface(before, after)), blocks)


def _named(block: Block) -> Block:
    """The function with parameters known by their names, where they have one, not by number."""
    names = Counter(n.operator for n in block.nodes if n.op == "parameter" and n.operator)

    def named(node: Node) -> Node:
        if node.op != "parameter" or names[node.operator] != 1:
            return node
        return replace(node, attributes=(("name", node.operator),))

    return replace(block, nodes=tuple(map(named, block.nodes)))


def _interface(before: Graph, after: Graph) -> Iterator[tuple[str, str, str]]:
    for what in ("format", "name", "target"):
        old, new = getattr(before, what), getattr(after, what)
        if old != new:
            yield what, old, new
    for what, old_ports, new_ports in (
        ("input", before.inputs, after.inputs),
        ("output", before.outputs, after.outputs),
    ):
        yield from _ports(what, old_ports, new_ports)
    yield from _order(before.inputs, after.inputs)
    old_aliases, new_aliases = set(before.aliases), set(after.aliases)
    for output, name in sorted(old_aliases ^ new_aliases):
        text = f"{output} = {name}"
        gone = (output, name) in old_aliases
        yield ("alias", text, "") if gone else ("alias", "", text)


def _ports(
    what: str, before: Sequence[Port], after: Sequence[Port]
) -> Iterator[tuple[str, str, str]]:
    old, new = ({p.name: p for p in ports} for ports in (before, after))
    for name in dict.fromkeys((*old, *new)):
        a, b = (_port_text(side[name]) if name in side else "" for side in (old, new))
        if a != b:
            yield f"{what} {name}", a, b


def _order(before: Sequence[Port], after: Sequence[Port]) -> Iterator[tuple[str, str, str]]:
    """Whether the caller's inputs that both sides have come in another order."""
    common = {p.name for p in before} & {p.name for p in after}
    old, new = (
        ", ".join(p.name for p in ports if p.name in common and p.kind == "input")
        for ports in (before, after)
    )
    if old != new and sorted(old.split(", ")) == sorted(new.split(", ")):
        yield "order of inputs", old, new


def _port_text(port: Port) -> str:
    digest = f" sha256:{port.digest[:12]}" if port.digest else ""
    return f"{port.type} {port.kind}{digest}"


def _paired_blocks(before: Graph, after: Graph) -> Iterator[tuple[Block, Block]]:
    """The entries; then functions of equal structure, of equal names, and those of one side."""
    old, new = list(before.blocks[:-1]), list(after.blocks[:-1])
    keys: tuple[Callable[[Block], Hashable], ...] = (
        lambda b: (plain_name(b.name), _structure(b)),
        _structure,
        lambda b: plain_name(b.name),
    )
    for key in keys:
        for a, b in _in_turn(old, new, key):
            yield a, b
            old.remove(a)
            new.remove(b)
    yield from ((a, Block(a.name, (), ())) for a in old)
    yield from ((Block(b.name, (), ()), b) for b in new)
    yield before.entry, after.entry


def _in_turn(
    old: Sequence[Block], new: Sequence[Block], key: Callable[[Block], Hashable]
) -> list[tuple[Block, Block]]:
    """Pairs with equal keys: the first with the first, the second with the second."""
    waiting: dict[Hashable, list[Block]] = {}
    for block in new:
        waiting.setdefault(key(block), []).append(block)
    return [(a, waiting[key(a)].pop(0)) for a in old if waiting.get(key(a))]


def _own(node: Node) -> tuple[Hashable, ...]:
    """An instruction without its operands and names."""
    calls = tuple(map(plain_name, node.calls))
    return node.op, node.type, node.attributes, calls, node.engine


def _structure(block: Block) -> tuple[Hashable, ...]:
    return tuple((_own(n), n.operands) for n in block.nodes), block.results


def _hashes(block: Block) -> list[int]:
    """For each node, a hash of the whole expression that it is the root of."""
    made: list[int] = []
    for node in block.nodes:
        made.append(hash((_own(node), tuple(made[o] for o in node.operands))))
    return made


# In the order they are tried, each on what the ones before left over.
_KEYS: tuple[Callable[[Node], Hashable], ...] = (
    lambda n: (_own(n), n.layer, n.operator, n.source),
    lambda n: (_own(n), n.layer),
    lambda n: (n.op, n.type, n.layer, n.operator),
    lambda n: (n.op, n.layer, n.operator),
)


def match(before: Block, after: Block) -> dict[int, int]:
    """Positions in `after` for those in `before` that are the same instruction.

    Equal expressions of equal layers match first, in order; then, along the program, instructions
    that agree in less and less.
    """
    old_hashes, new_hashes = _hashes(before), _hashes(after)
    waiting: dict[Hashable, list[int]] = {}
    for position in reversed(range(len(after.nodes))):
        key = (new_hashes[position], after.nodes[position].layer)
        waiting.setdefault(key, []).append(position)
    found: dict[int, int] = {}
    for position, node in enumerate(before.nodes):
        if places := waiting.get((old_hashes[position], node.layer)):
            found[position] = places.pop()
    for key_of in _KEYS:
        found.update(_aligned(before, after, found, key_of))
    return found


def _aligned(
    before: Block, after: Block, found: dict[int, int], key: Callable[[Node], Hashable]
) -> Iterator[Pair]:
    """Further pairs with equal keys: the longest sequence of them that keeps the order."""
    taken = set(found.values())
    old = [p for p in range(len(before.nodes)) if p not in found]
    new = [p for p in range(len(after.nodes)) if p not in taken]
    matcher = difflib.SequenceMatcher(
        None, [key(before.nodes[p]) for p in old], [key(after.nodes[p]) for p in new], False
    )
    for a, b, size in matcher.get_matching_blocks():
        yield from zip(old[a : a + size], new[b : b + size], strict=True)


def _block(before: Block, after: Block) -> BlockDifference:
    found = match(before, after)
    changed = []
    for old, new in sorted(found.items()):
        if what := tuple(_changes(before, after, old, new, found)):
            changed.append(Changed(before.nodes[old], after.nodes[new], what))
    taken = set(found.values())
    return BlockDifference(
        after.name or before.name,
        tuple(n for p, n in enumerate(before.nodes) if p not in found),
        tuple(n for p, n in enumerate(after.nodes) if p not in taken),
        tuple(changed),
        len(found) - len(changed),
        _results(before, after, found),
    )


def _changes(
    before: Block, after: Block, old: int, new: int, found: dict[int, int]
) -> Iterator[tuple[str, str, str]]:
    a, b = before.nodes[old], after.nodes[new]
    for what in ("type", "engine"):
        if getattr(a, what) != getattr(b, what):
            yield what, getattr(a, what), getattr(b, what)
    old_attributes, new_attributes = dict(a.attributes), dict(b.attributes)
    for name in dict.fromkeys((*old_attributes, *new_attributes)):
        pair = old_attributes.get(name, ""), new_attributes.get(name, "")
        if pair[0] != pair[1]:
            yield name, *pair
    if tuple(map(plain_name, a.calls)) != tuple(map(plain_name, b.calls)):
        yield "calls", ", ".join(a.calls), ", ".join(b.calls)
    if [found.get(o) for o in a.operands] != list(b.operands):
        yield "operands", _names(before, a.operands), _names(after, b.operands)


def _names(block: Block, positions: Iterable[int]) -> str:
    return ", ".join(f"{block.nodes[p].op} {block.nodes[p].name}" for p in positions)


def _results(before: Block, after: Block, found: dict[int, int]) -> tuple[str, str] | None:
    if [found.get(r) for r in before.results] == list(after.results):
        return None
    return _names(before, before.results), _names(after, after.results)


def opcodes(block: BlockDifference) -> dict[str, int]:
    """How many more of each opcode there are after; fewer is negative."""
    counts = Counter(n.op for n in block.added)
    counts.subtract(n.op for n in block.removed)
    return {op: n for op, n in sorted(counts.items()) if n}
