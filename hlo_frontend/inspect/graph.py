"""A module or program as inspection sees it: functions of nodes with their text, place and cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import HloComputation, HloInstruction, HloModule, Metadata
from hlo_frontend.hlo.text_attributes import RENDERERS
from hlo_frontend.hlo.types import AnyShape, Shape
from hlo_frontend.inspect.cost import Cost, Use, cost_of

Layer = tuple[str, ...]
SHOWN_ELEMENTS = 8  # of a constant
SHOWN_BYTES = 256  # of a text that an attribute carries
# Digits that only keep names apart: `add.12` and `add.7` are both `add`.
_SUFFIX = re.compile(r"\.\d+$")


@dataclass(frozen=True, slots=True)
class Node:
    """One instruction. `operands` are positions in the function; `layer` is a path of names."""

    name: str
    op: str
    type: str
    operands: tuple[int, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    calls: tuple[str, ...] = ()
    layer: Layer = ()
    operator: str = ""  # of the framework, `aten__addmm`
    source: str = ""  # `model.py:41`
    cost: Cost = field(default=Cost(), compare=False)
    engine: str = ""
    region: int | None = None
    buffer: str = ""  # `HBM+32768, 8192 bytes`


@dataclass(frozen=True, slots=True)
class Block:
    """A function: nodes in dependency order, the positions of what it returns."""

    name: str
    nodes: tuple[Node, ...]
    results: tuple[int, ...]

    def users(self) -> list[list[int]]:
        """For each node, the nodes that read it, each once, in order."""
        users: list[list[int]] = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for operand in dict.fromkeys(node.operands):
                users[operand].append(position)
        return users


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: `kind` is input, weight, state or output; sizes in elements and bytes."""

    name: str
    type: str
    kind: str
    elements: int
    bytes: int
    digest: str = ""

    @property
    def layer(self) -> Layer:
        return layer_of_tensor(self.name)


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole module or program; the entry function stands last."""

    format: str  # "hlo" or "neff"
    name: str
    blocks: tuple[Block, ...]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()  # names of an output and of the input it writes
    target: str = ""

    @property
    def entry(self) -> Block:
        return self.blocks[-1]


def layer_of_operator(op_name: str) -> Layer:
    """The layer in the name of an operator: `encoder.layer.0/aten__mm` is in `encoder.layer.0`."""
    return tuple(filter(None, op_name.rpartition("/")[0].replace("/", ".").split(".")))


def layer_of_tensor(name: str) -> Layer:
    """The layer that holds a tensor: `encoder.layer.0.weight` is in `encoder.layer.0`."""
    return tuple(filter(None, name.rpartition(".")[0].split(".")))


def layer_of(op: str, metadata: Metadata) -> Layer:
    """The layer of an instruction, as its metadata names it."""
    find = layer_of_tensor if op == "parameter" else layer_of_operator
    return find(metadata.op_name)


def operator_of(metadata: Metadata) -> str:
    """The framework's operator, or the last part of the name where that is all there is."""
    return metadata.op_type or metadata.op_name.rpartition("/")[2]


def source_of(metadata: Metadata) -> str:
    return f"{metadata.source_file}:{metadata.source_line}" if metadata.source_file else ""


def attribute_texts(attrs: tuple[tuple[str, Any], ...]) -> Iterator[tuple[str, str]]:
    """Attributes as HLO text spells them, long values cut short."""
    for name, value in attrs:
        if isinstance(value, Literal):
            yield name, literal_text(value)
        elif name == "number":
            yield name, str(value)
        else:
            texts = (text.partition("=") for text in RENDERERS[name](value))
            yield from ((key, _short(text)) for key, _, text in texts)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}…"


def literal_text(literal: Literal) -> str:
    """`{1, 2, 3, …}`: the first elements of a constant."""
    flat = literal.numpy().reshape(-1)
    shown = ", ".join(str(v) for v in flat[:SHOWN_ELEMENTS])
    more = ", …" if flat.size > SHOWN_ELEMENTS else ""
    return shown if not literal.shape.dims else f"{{{shown}{more}}}"


def plain_name(name: str) -> str:
    """A name without the digits that keep it apart."""
    return _SUFFIX.sub("", name)


def total(costs: Iterator[Cost]) -> Cost:
    return sum(costs, Cost())


def graph_of_module(module: HloModule) -> Graph:
    """The graph of a verified module."""
    called: dict[str, Cost] = {}
    blocks: list[Block] = []
    for computation in module.computations:
        block = _block(computation, called)
        called[computation.name] = total(n.cost for n in block.nodes)
        blocks.append(block)
    entry = module.entry
    inputs = tuple(_inputs([entry.instructions[p] for p in entry.parameters]))
    root = entry.instructions[entry.root]
    made = root.operands if root.opcode == "tuple" else (entry.root,)
    outputs = tuple(
        Port(f"output{n}", str(s), "output", *_size(s))
        for n, s in enumerate(entry.instructions[p].shape for p in made)
    )
    aliases = tuple(
        ("output" + ".".join(map(str, a.output_index)), inputs[a.parameter].name)
        for a in module.aliases
        if a.parameter < len(inputs)
    )
    return Graph("hlo", module.name, tuple(blocks), inputs, outputs, aliases)


def _inputs(parameters: Sequence[HloInstruction]) -> Iterator[Port]:
    """The entry parameters; HLO does not say which of them are weights, but their layers do."""
    plain = Counter(plain_name(p.name) for p in parameters)
    for p in parameters:
        name = plain_name(p.name) if plain[plain_name(p.name)] == 1 else p.name
        kind = "weight" if layer_of(p.opcode, p.metadata) else "input"
        yield Port(p.metadata.op_name or name, str(p.shape), kind, *_size(p.shape))


def _size(shape: AnyShape) -> tuple[int, int]:
    """Elements and bytes."""
    if isinstance(shape, Shape):
        return shape.size, shape.bytes
    parts = [_size(e) for e in getattr(shape, "elements", ())]
    return sum(n for n, _ in parts), sum(b for _, b in parts)


def _block(computation: HloComputation, called: Mapping[str, Cost]) -> Block:
    shapes = [i.shape for i in computation.instructions]
    nodes = tuple(_node(i, shapes, called) for i in computation.instructions)
    return Block(computation.name, nodes, (computation.root,))


def _node(i: HloInstruction, shapes: list[AnyShape], called: Mapping[str, Cost]) -> Node:
    operands = tuple(shapes[o] for o in i.operands)
    bodies = tuple(called[name] for name in i.calls)
    return Node(
        i.name,
        i.opcode,
        str(i.shape),
        i.operands,
        tuple(attribute_texts(i.attrs)),
        i.calls,
        layer_of(i.opcode, i.metadata),
        operator_of(i.metadata),
        source_of(i.metadata),
        cost_of(Use(i.opcode, i.shape, operands, dict(i.attrs), bodies)),
    )
