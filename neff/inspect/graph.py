"""A program as a graph for inspection: what runs where, and what its regions move to and from HBM.

Within a region only operands from outside are read from HBM, each once, and only values that HBM
holds are written to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hlo_frontend.inspect.cost import COSTS, Cost, Use, cost_of
from hlo_frontend.inspect.graph import (
    Block,
    Graph,
    Node,
    Port,
    attribute_texts,
    layer_of,
    layer_of_tensor,
    operator_of,
    source_of,
    total,
)
from neff.program import Function, Instruction, Program, Space, Variable

# Free by themselves, but where they stand at the edge of a region they load or store their value.
RENAMES = frozenset({"bitcast", "get-tuple-element", "reshape"})


def graph_of_program(program: Program) -> Graph:
    """The graph of a verified program, placed or not."""
    called: dict[str, Cost] = {}
    blocks: list[Block] = []
    for function in program.functions:
        uses = [_use(function, i, called) for i in function.instructions]
        nodes = [_node(p, i, use) for (p, i), use in zip(function.numbered(), uses, strict=True)]
        if function is program.main:
            nodes = _placed(program, [_named(program, n) for n in nodes], uses)
        called[function.name] = total(n.cost for n in nodes)
        blocks.append(Block(function.name, tuple(nodes), function.results))
    return Graph(
        "neff",
        program.name,
        tuple(blocks),
        tuple(_port(v, v.kind) for v in program.inputs),
        tuple(_port(v, "output") for v in program.outputs),
        tuple((program.outputs[o].name, program.inputs[i].name) for o, i in program.aliases),
        program.target,
    )


def _port(v: Variable, kind: str) -> Port:
    digest = v.weight.digest if v.weight is not None else ""
    return Port(v.name, str(v.shape), str(kind), v.shape.size, v.shape.bytes, digest)


def _use(function: Function, i: Instruction, called: Mapping[str, Cost]) -> Use:
    operands = tuple(function.instructions[o].shape for o in i.operands)
    bodies = tuple(called[name] for name in i.bodies)
    return Use(i.op, i.shape, operands, dict(i.attrs), bodies)


def _node(position: int, i: Instruction, use: Use) -> Node:
    return Node(
        f"%{position}",
        i.op,
        str(i.shape),
        i.operands,
        tuple(attribute_texts(i.attrs)),
        i.bodies,
        layer_of(i.op, i.metadata),
        operator_of(i.metadata),
        source_of(i.metadata),
        cost_of(use),
        str(i.engine or ""),
    )


def _named(program: Program, node: Node) -> Node:
    """A parameter of the entry function with the name and layer of the input it is."""
    if node.op != "parameter":
        return node
    name = program.inputs[int(dict(node.attributes)["number"])].name
    return replace(node, operator=name, layer=layer_of_tensor(name))


def _placed(program: Program, nodes: list[Node], uses: list[Use]) -> list[Node]:
    """The entry's nodes with region, buffer and, where there are buffers, the traffic to HBM."""
    region = {p: n for n, r in enumerate(program.regions) for p in r.members}
    buffers = {b.value: b for b in program.buffers}
    in_hbm = {p for p, b in buffers.items() if b.space is Space.HBM}
    seen: set[tuple[int, int]] = set()
    made = []
    for position, node in enumerate(nodes):
        home = region.get(position)
        buffer = buffers.get(position)
        text = f"{buffer.space}+{buffer.offset}, {buffer.size} bytes" if buffer else ""
        cost = node.cost
        if buffers and home is not None:
            read = _read(node, uses[position], home, region, seen)
            written = uses[position].shape.bytes if node.op in RENAMES else cost.written
            cost = replace(cost, read=read, written=written if position in in_hbm else 0)
        made.append(replace(node, region=home, buffer=text, cost=cost))
    return made


def _read(
    node: Node, use: Use, home: int, region: Mapping[int, int], seen: set[tuple[int, int]]
) -> int:
    """Bytes that the operands from outside the region bring in, if no member read them before."""
    read = 0
    sizes = (use.shape.bytes,) if node.op in RENAMES else COSTS[node.op].reads(use)
    for operand, size in zip(node.operands, sizes, strict=True):
        if region.get(operand) != home and (home, operand) not in seen:
            seen.add((home, operand))
            read += size
    return read
