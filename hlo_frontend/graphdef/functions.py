"""The functions that a graph's nodes call: their names, and whether they have effects."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Set
from typing import Any

from tensorflow.python.framework import convert_to_constants

from hlo_frontend.graphdef.graph import called_by
from hlo_frontend.graphdef.support import is_stateful

# Operators that call functions, and what they are where those functions only compute.
STATELESS = {
    "Case": "StatelessCase",
    "If": "StatelessIf",
    "StatefulPartitionedCall": "PartitionedCall",
    "While": "StatelessWhile",
}


@contextlib.contextmanager
def cases_kept() -> Iterator[None]:
    """Meanwhile, where TensorFlow keeps conditions and loops as it inlines, it keeps cases too.

    Else it makes operators of them of which some never run, and those of other branches with them.
    """
    kept = convert_to_constants._CONTROL_FLOW_OPS
    convert_to_constants._CONTROL_FLOW_OPS = kept | {"Case", "StatelessCase"}
    try:
        yield
    finally:
        convert_to_constants._CONTROL_FLOW_OPS = kept


def all_nodes(graph_def: Any) -> Iterator[Any]:
    """The nodes of a graph, and of its functions."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def mark_stateless(graph_def: Any) -> None:
    """Say so of control flow that has no effects now that it reads no variables."""
    functions = {f.signature.name: f for f in graph_def.library.function}
    stateful: set[str] = set()
    grown = True
    while grown:
        found = {
            name
            for name, function in functions.items()
            if any(_has_effects(node, stateful) for node in function.node_def)
        }
        grown, stateful = found != stateful, found
    for function in functions.values():
        function.signature.is_stateful = function.signature.name in stateful
    for node in all_nodes(graph_def):
        if node.op in STATELESS and not _has_effects(node, stateful):
            node.op = STATELESS[node.op]


def _has_effects(node: Any, stateful: Set[str]) -> bool:
    if node.op in STATELESS:
        return any(called.name in stateful for called in called_by(node))
    return is_stateful(node.op)


def name_by_contents(graph_def: Any) -> None:
    """Name functions so that another of the same name, in this process, is the very same."""
    digest = hashlib.sha256(graph_def.library.SerializeToString(deterministic=True)).hexdigest()
    functions = graph_def.library.function
    names = {f.signature.name: f"{f.signature.name}_{digest[:16]}" for f in functions}
    for function in functions:
        function.signature.name = names[function.signature.name]
    for node in all_nodes(graph_def):
        for called in called_by(node):
            called.name = names.get(called.name, called.name)
