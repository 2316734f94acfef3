"""Small integers that follow from shapes alone become constants.

So a node that needs them when it is compiled has them, wherever the graph is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import importer, tensor_util

from hlo_frontend.graphdef.graph import Graph, is_control, producer, tensor_name
from hlo_frontend.graphdef.support import is_pure

SHAPES = frozenset({"Shape", "ShapeN", "Size", "Rank"})
KEPT = frozenset({"Placeholder", "Const"})
MOST_BYTES = 16384  # of a value that is worked out


def fold_shapes(graph: Graph) -> Graph:
    """The graph with such nodes as constants of the same name."""
    static = _static(graph)
    folded = [n for n in static if n.op not in KEPT and len(graph.ports[n.name]) == 1]
    if not folded:
        return graph
    values = _values(graph, static, [f"{n.name}:0" for n in folded])
    return replace(graph, nodes=tuple(_constant(n, values) for n in graph.nodes))


def _static(graph: Graph) -> list[Any]:
    """The nodes whose value is known from shapes and small constants."""
    found: dict[str, Any] = {}
    for node in graph.nodes:
        small = all(_is_small_integer(graph, t) for t in graph.ports[node.name])
        if not small or any(map(is_control, node.input)):
            continue
        of_shape = node.op in SHAPES and all(
            graph.types[t].dims is not None for t in graph.read_by(node)
        )
        from_static = (
            node.op != "Placeholder"
            and is_pure(node)
            and all(producer(t) in found for t in node.input)
        )
        if of_shape or from_static:
            found[node.name] = node
    return list(found.values())


def _is_small_integer(graph: Graph, tensor: str) -> bool:
    kind = graph.types[tensor]
    integer = kind.dtype.is_integer or kind.dtype.is_bool
    return integer and kind.dims is not None and kind.bytes <= MOST_BYTES


def _values(graph: Graph, static: list[Any], wanted: list[str]) -> Mapping[str, np.ndarray]:
    """What the nodes compute."""
    part = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    names = {n.name for n in static}
    read = {t for n in static for t in graph.read_by(n)}
    with tf.Graph().as_default() as made:
        # The shape of a tensor is that of a placeholder with its type: its value is not needed.
        outer = {
            t: tf.compat.v1.placeholder(graph.types[t].dtype, graph.types[t].dims)
            for t in sorted(read)
            if producer(t) not in names
        }
        part.node.extend(static)
        importer.import_graph_def(part, input_map=outer, name="")
        with tf.compat.v1.Session(graph=made) as session:
            feed = {p: np.zeros(p.shape, p.dtype.as_numpy_dtype) for p in outer.values()}
            values = session.run(wanted, feed)
    return dict(zip(wanted, values, strict=True))


def _constant(node: Any, values: Mapping[str, np.ndarray]) -> Any:
    name = tensor_name(node.name)
    if name not in values:
        return node
    made = tf.compat.v1.NodeDef(name=node.name, op="Const")
    value = np.asarray(values[name])
    made.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
    made.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    return made
