"""A concrete function as a graph whose variables are further inputs, for weights that stay out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants, tensor_util

from hlo_frontend.errors import CaptureError
from hlo_frontend.graphdef.functions import cases_kept
from hlo_frontend.graphdef.graph import is_control, producer


def lift(function: Any) -> tuple[Any, dict[str, Any]]:
    """The GraphDef, and the variables by the names of the placeholders that they are now.

    Raises CaptureError where a variable is used in another way than being read.
    """
    with cases_kept():
        graph_def = convert_to_constants._run_inline_graph_optimization(
            function, lower_control_flow=False, aggressive_inlining=True
        )
    handles = {v.handle.ref(): v for v in function.graph.variables}
    variables: dict[str, Any] = {}
    for outer, inner in function.graph.captures:
        if outer.dtype == tf.resource and outer.ref() in handles:
            variables[inner.op.name] = handles[outer.ref()]
    made = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    handed = _handed(graph_def.node, variables)
    values = {inner.op.name: outer for outer, inner in function.graph.captures}
    for node in graph_def.node:
        if node.name in variables:
            made.node.append(_placeholder(node.name, variables[node.name]))
        elif node.name in values and values[node.name].dtype != tf.resource:
            made.node.append(_constant(node.name, values[node.name]))
        else:
            made.node.extend(_reading(node, handed))
    return made, variables


def _handed(nodes: Sequence[Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables by every name of a handle: functions that were inlined hand them on."""
    found = dict(variables)
    passing = {n.name: producer(n.input[0]) for n in nodes if n.op == "Identity"}
    for name in passing:
        end = name
        while end in passing:
            end = passing[end]
        if end in variables:
            found[name] = variables[end]
    return found


def _placeholder(name: str, variable: Any) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    return node


def _constant(name: str, value: Any) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = value.dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value.numpy()))
    return node


def _reading(node: Any, variables: Mapping[str, Any]) -> list[Any]:
    """The node, with the variable's value in the place of its handle."""
    used = [name for name in map(producer, node.input) if name in variables]
    if not used or all(map(is_control, node.input)):
        return [node]
    if node.op == "Identity":
        made = tf.compat.v1.NodeDef()
        made.CopyFrom(node)
        made.attr["T"].type = variables[used[0]].dtype.as_datatype_enum
        return [made]
    if node.op == "ReadVariableOp":
        made = tf.compat.v1.NodeDef(name=node.name, op="Identity", input=node.input)
        made.attr["T"].type = node.attr["dtype"].type
        return [made]
    if node.op == "ResourceGather":
        axis = _constant(f"{node.name}/axis", tf.constant(0))
        made = tf.compat.v1.NodeDef(name=node.name, op="GatherV2")
        made.input.extend([*node.input[:2], axis.name, *node.input[2:]])
        made.attr["Tparams"].type = node.attr["dtype"].type
        made.attr["Tindices"].type = node.attr["Tindices"].type
        made.attr["Taxis"].type = tf.int32.as_datatype_enum
        made.attr["batch_dims"].i = node.attr["batch_dims"].i
        return [axis, made]
    raise CaptureError(
        "tensorflow.neuron.trace: with --extract-weights variables may only be read, got "
        f"{node.op} {node.name} that takes {used[0]}\n  try: without --extract-weights"
    )


def read_again(graph_def: Any, names: Sequence[str]) -> dict[str, str]:
    """Have a graph read its variables itself: the placeholders of their handles, by their names."""
    handles: dict[str, str] = {}
    for node in list(graph_def.node):
        if node.name not in names:
            continue
        handle = graph_def.node.add(name=f"{node.name}/handle", op="Placeholder")
        handle.attr["dtype"].type = tf.resource.as_datatype_enum
        handles[node.name] = handle.name
        node.op = "ReadVariableOp"
        node.attr.pop("shape")
        node.input.append(handle.name)
    return handles
