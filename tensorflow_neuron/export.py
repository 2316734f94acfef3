"""Exports a traced model for programs that have no NeuronOp: what its NEFF computes runs on XLA."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from hlo_frontend.graphdef.lift import read_again
from tensorflow_neuron.function import graph_function

SIGNATURE = "serving_default"


def export_portable(model: Any, folder: str | os.PathLike[str]) -> None:
    """Write a SavedModel that stock TensorFlow, and TensorFlow Serving, load and run.

    In the place of each NeuronOp it has an XlaCallModule with the program of the NEFF: the numbers
    are the same, casts by the compiler included, but no NeuronCore is used, and shapes are those
    that were traced. Raises ValueError for what was not traced.
    """
    function = getattr(model, "aws_neuron_function", None)
    if function is None:
        raise ValueError("export_portable: the model must be one of tensorflow.neuron.trace")
    module = tf.Module()
    module.weights = []
    graph_def = function.graph.as_graph_def()
    variables: dict[str, tf.Variable] = {}
    for node in list(graph_def.node):
        if node.op == "NeuronOp":
            variables |= _replace(graph_def, node)
    names = [tensor.name for tensor in function.outputs]
    handles = read_again(graph_def, list(variables))
    captures = {handles[name]: variable.handle for name, variable in variables.items()}
    given = len(function.inputs) - len(function.captured_inputs)
    inputs = [tensor.name for tensor in function.inputs[:given]]
    module.weights = list(variables.values())
    module.function = graph_function(graph_def, inputs, names, captures)
    specs = [tf.TensorSpec(t.shape, t.dtype, t.op.name) for t in function.inputs[:given]]
    keys = sorted(model.signature().structured_outputs)
    module.serving = tf.function(
        lambda *arguments: dict(zip(keys, module.function(*arguments), strict=True)),
        input_signature=specs,
        autograph=False,
    )
    tf.saved_model.save(module, os.fspath(folder), {SIGNATURE: module.serving})


def _replace(graph_def: Any, node: Any) -> dict[str, tf.Variable]:
    """Turn a NeuronOp into an XlaCallModule; the variables that it reads, by name."""
    from runtime.portable import portable

    made = portable(node.attr["executable"].s)
    variables = {
        f"{node.name}/weight_{n}": tf.Variable(value, trainable=False)
        for n, value in enumerate(made.weights)
    }
    old = tf.compat.v1.NodeDef()
    old.CopyFrom(node)
    node.Clear()
    node.name, node.op = old.name, "XlaCallModule"
    data = [name for name in old.input if not name.startswith("^")]
    node.input.extend([*data, *variables, *old.input[len(data) :]])
    types = [v.dtype.as_datatype_enum for v in variables.values()]
    node.attr["version"].i = made.version
    node.attr["module"].s = made.module
    node.attr["platforms"].list.s.append(b"CPU")
    node.attr["Tin"].list.type.extend([*old.attr["input_dtypes"].list.type, *types])
    node.attr["Tout"].list.type.extend(old.attr["output_dtypes"].list.type)
    node.attr["Sout"].list.shape.extend(old.attr["output_shapes"].list.shape)
    for name, variable in variables.items():
        placeholder = graph_def.node.add(name=name, op="Placeholder")
        placeholder.attr["dtype"].type = variable.dtype.as_datatype_enum
        placeholder.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    return variables
