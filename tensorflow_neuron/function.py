"""A graph as a function that TensorFlow calls without detours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import wrap_function
from tensorflow.python.framework import func_graph, importer


def graph_function(
    graph_def: Any, inputs: Sequence[str], outputs: Any, captures: Mapping[str, Any] | None = None
) -> Any:
    """The function of a GraphDef from the tensors `inputs` to `outputs`, names that may nest.

    `captures` are handles of variables, by the names of the placeholders that stand for them. The
    graph, which may hold hundreds of megabytes, is read once. The function's signature says that
    inputs go by position: without one, TensorFlow writes each call's tensors into an error that it
    then drops, which takes longer than all the rest.
    """
    graph = func_graph.FuncGraph("neuron")
    with graph.as_default():
        importer.import_graph_def(graph_def, name="")
    graph.inputs.extend(graph.as_graph_element(name) for name in inputs)
    keywords = [tensor.op.name for tensor in graph.inputs]
    specs = tuple(tf.TensorSpec(t.shape, t.dtype, t.op.name) for t in graph.inputs)
    graph.structured_input_signature = (specs, {})
    graph.structured_outputs = tf.nest.map_structure(graph.as_graph_element, outputs)
    graph.outputs.extend(tf.nest.flatten(graph.structured_outputs))
    for name, handle in (captures or {}).items():
        graph.add_capture(handle, graph.get_tensor_by_name(f"{name}:0"))
    made = wrap_function.WrappedFunction(graph, variable_holder=wrap_function.VariableHolder())
    made._num_positional_args = len(keywords)
    made._arg_keywords = keywords
    return made
