"""The JSON that the tools print: one function for each document, stable from release to release.

A document says what it is in `document` and carries the version of its schema; keys are only ever
added within a version.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hlo_frontend.inspect.cost import Cost
from hlo_frontend.inspect.difference import BlockDifference, Difference, opcodes
from hlo_frontend.inspect.graph import Block, Graph, Node, Port
from hlo_frontend.inspect.stats import Count, by_engine, by_layer, by_opcode, totals

SCHEMA = 1
Document = dict[str, Any]


def document(kind: str, **values: Any) -> Document:
    return {"document": kind, "schema": SCHEMA, **values}


def graph_document(graph: Graph) -> Document:
    """Everything the graph holds."""
    return document(
        "graph",
        format=graph.format,
        name=graph.name,
        target=graph.target,
        inputs=[port_value(p) for p in graph.inputs],
        outputs=[port_value(p) for p in graph.outputs],
        aliases=[{"output": o, "input": i} for o, i in graph.aliases],
        functions=[_block_value(b) for b in graph.blocks],
        entry=graph.entry.name,
    )


def port_value(port: Port) -> Document:
    return dataclasses.asdict(port)


def _block_value(block: Block) -> Document:
    nodes = [node_value(n) for n in block.nodes]
    return {"name": block.name, "results": list(block.results), "instructions": nodes}


def node_value(node: Node) -> Document:
    return {
        "name": node.name,
        "op": node.op,
        "type": node.type,
        "operands": list(node.operands),
        "attributes": dict(node.attributes),
        "calls": list(node.calls),
        "layer": ".".join(node.layer),
        "operator": node.operator,
        "source": node.source,
        **_cost_value(node.cost),
        "engine": node.engine,
        "region": node.region,
        "buffer": node.buffer,
    }


def _cost_value(cost: Cost) -> Document:
    return {"flops": cost.flops, "bytes_read": cost.read, "bytes_written": cost.written}


def stats_document(graph: Graph, depth: int | None = None) -> Document:
    return document(
        "stats",
        format=graph.format,
        name=graph.name,
        total=_count_value(totals(graph)),
        layers=[_count_value(c) for c in by_layer(graph, depth)],
        opcodes=[_count_value(c) for c in by_opcode(graph)],
        engines=[_count_value(c) for c in by_engine(graph)],
        notes=notes(graph),
    )


def notes(graph: Graph) -> list[str]:
    """What the counts leave out, each thing once."""
    return list(dict.fromkeys(n.cost.note for n in graph.entry.nodes if n.cost.note))


def _count_value(count: Count) -> Document:
    return {
        "name": count.name,
        "depth": count.depth,
        "instructions": count.instructions,
        **_cost_value(count.cost),
        "parameters": count.parameters,
        "parameter_bytes": count.parameter_bytes,
        "opcodes": dict(count.opcodes),
    }


def difference_document(difference: Difference) -> Document:
    return document(
        "diff",
        equal=not difference,
        interface=[_change_value(c) for c in difference.interface],
        functions=[block_difference_value(b) for b in difference.blocks],
    )


def _change_value(change: tuple[str, str, str]) -> Document:
    return dict(zip(("what", "before", "after"), change, strict=True))


def block_difference_value(block: BlockDifference) -> Document:
    return {
        "name": block.name,
        "same": block.same,
        "removed": [node_value(n) for n in block.removed],
        "added": [node_value(n) for n in block.added],
        "changed": [
            {
                "before": node_value(c.before),
                "after": node_value(c.after),
                "changes": [_change_value(w) for w in c.what],
            }
            for c in block.changed
        ],
        "results": list(block.results) if block.results else None,
        "opcodes": opcodes(block),
    }
