"""Runs a graph once on its example inputs and keeps values that are computed on the way."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from hlo_frontend.partition.traced import Traced

Wanted = tuple[int, int | None]


def recorded(traced: Traced, wanted: Sequence[Wanted]) -> dict[Wanted, Any]:
    """Values by their `unique` numbers, each with the number of a node where it is wanted as it is
    just before that node runs, because something writes to its memory."""
    if not wanted:
        return {}
    graph = traced.graph.copy()
    place = _places(traced.graph, graph)
    nodes = list(graph.nodes())
    kept = [
        place[unique] if node is None else _cloned(graph, place[unique], nodes[node])
        for unique, node in wanted
    ]
    result = graph.create("prim::TupleConstruct", kept, 1)
    result.output().setType(torch._C.TupleType([value.type() for value in kept]))
    graph.appendNode(result)
    for _ in list(graph.outputs()):
        graph.eraseOutput(0)
    graph.registerOutput(result.output())
    inputs = copy.deepcopy(traced.example_inputs)  # the program may write to its inputs
    function = torch._C._create_function_from_graph("recorded", graph)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.jit.optimized_execution(False):
        values = function(traced.module._c, *inputs)
    return dict(zip(wanted, values, strict=True))


def _places(graph: Any, copied: Any) -> dict[int, Any]:
    """The values of a copy by the numbers of the originals."""
    place = {
        value.unique(): same for value, same in zip(graph.inputs(), copied.inputs(), strict=True)
    }
    for node, other in zip(graph.nodes(), copied.nodes(), strict=True):
        for value, same in zip(node.outputs(), other.outputs(), strict=True):
            place[value.unique()] = same
    return place


def _cloned(graph: Any, value: Any, node: Any) -> Any:
    none = graph.create("prim::Constant", [], 1)
    none.output().setType(torch._C.NoneType.get())
    made = graph.create("aten::clone", [value, none.output()], 1)
    none.insertBefore(node)
    made.insertBefore(node)
    return made.output()
