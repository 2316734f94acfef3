"""A graph as a function that TensorFlow calls without detours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import wrap_function
from tensorflow.python.framework import importer


def graph_function(
    graph_def: Any, inputs: Sequence[str], outputs: Any, captures: Mapping[str, Any] | None = None
) -> Any:
    """The function of a GraphDef from the tensors `inputs` to `outputs`, names that may nest.

    `captures` are handles of variables, by the names of the placeholders that stand for them. The
    function's signature says that inputs go by position: without one, TensorFlow writes each
    call's tensors into an error that it then drops, which takes longer than all the rest.
    """

    def imported() -> None:
        importer.import_graph_def(graph_def, name="")
        graph = tf.compat.v1.get_default_graph()
        for name, handle in (captures or {}).items():
            graph.add_capture(handle, graph.get_tensor_by_name(f"{name}:0"))

    whole = wrap_function.wrap_function(imported, [])
    element = whole.graph.as_graph_element
    feeds = [element(name) for name in inputs]
    specs = tuple(tf.TensorSpec(t.shape, t.dtype, t.op.name) for t in feeds)
    fetches = tf.nest.map_structure(element, outputs)
    return whole.prune(feeds, fetches, input_signature=(specs, {}))
