"""A concrete function as a graph in which every variable is a constant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.framework import convert_to_constants
from tensorflow.python.grappler import tf_optimizer

from hlo_frontend.graphdef.functions import (
    STATELESS,
    all_nodes,
    cases_kept,
    mark_stateless,
    name_by_contents,
)
from hlo_frontend.graphdef.graph import Graph, TensorType, is_control, producer, typed
from hlo_frontend.graphdef.lift import lift
from hlo_frontend.graphdef.support import is_pure

# What is removed from the graph: checks and prints, what no output needs, edges of control that
# order nothing.
CLEANUP = ("debug_stripper", "pruning", "dependency")
# Not counted as operations where it is said how many of a model's are on Neuron (AWS, tracing
# API of TensorFlow 2.x).
UNCOUNTED = frozenset({"Placeholder", "Identity", "ReadVariableOp", "NoOp"})
SIGNATURE = "serving_default"
LIMIT = 1 << 31  # bytes of a protocol buffer
RESOURCES = frozenset({tf.resource.as_datatype_enum, tf.variant.as_datatype_enum})


class ResourceError(TypeError):
    """The function holds what is neither a variable nor a tensor."""


class TooLargeError(ValueError):
    """With its variables as constants, the graph is larger than a protocol buffer may be."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The graph, and the names of the operations that the function had before it was cleaned.

    `variables` are those that are no constants of the graph but its last inputs, by name.
    """

    graph: Graph
    operations: frozenset[str]
    variables: Mapping[str, Any]


def freeze(function: Any, *, lifted: bool = False) -> Frozen:
    """The graph of a concrete function whose flat inputs have shapes that are known.

    With `lifted`, variables are inputs after the others. Raises ResourceError where the function
    needs hash tables, or variables that it changes, TooLargeError where its weights are too large
    for a graph.
    """
    _refuse_assignments(function.graph)
    captured = len(function.captured_inputs)
    given = function.inputs[: len(function.inputs) - captured]
    graph_def, variables = lift(function) if lifted else (_with_constants(function), {})
    _refuse_resources(graph_def)
    weights = {inner.op.name for _, inner in function.graph.captures}
    outputs = [(t.name, t) for t in function.outputs]
    inputs = [(t.name, t) for t in given]
    inputs += [(f"{name}:0", v) for name, v in variables.items()]
    short = _shorten(graph_def)
    operations = frozenset(
        node.name
        for node in graph_def.node
        if node.op not in UNCOUNTED and node.name not in weights
    )
    cleaned = _cleaned(graph_def, inputs, outputs)
    known = _known_shapes(function.graph)
    _keep_shapes(cleaned, {short.get(name, name): shapes for name, shapes in known.items()})
    mark_stateless(cleaned)
    name_by_contents(cleaned)
    types = [TensorType(t.dtype, tuple(t.shape.as_list())) for _, t in inputs]
    graph = typed(cleaned, [n for n, _ in inputs], [n for n, _ in outputs], types)
    _drop_idle_waits(graph)
    return Frozen(graph, operations, variables)


def _drop_idle_waits(graph: Graph) -> None:
    """Have no node wait for another that, with all before it, only computes.

    Checks that are gone leave such edges behind, even between the inputs and constants.
    """
    ordered: set[str] = set()  # what has effects, and what comes after it
    for node in graph.nodes:
        node.input[:] = [t for t in node.input if not is_control(t) or producer(t) in ordered]
        if not (node.op == "Placeholder" or is_pure(node)) or any(
            producer(t) in ordered for t in node.input
        ):
            ordered.add(node.name)


def refuse_large(size: int, what: str) -> None:
    """Raise TooLargeError for bytes that no protocol buffer holds."""
    if size >= LIMIT:
        raise TooLargeError(
            f"tensorflow.neuron.trace: {what} must be smaller than 2 GB, got {size} bytes in one "
            "protocol buffer\n  try: NEURON_CC_FLAGS=--extract-weights"
        )


def _with_constants(function: Any) -> Any:
    """The GraphDef of a function with its variables as constants."""
    size = sum(v.dtype.size * v.shape.num_elements() for v in function.graph.variables)
    refuse_large(size, "a model's weights")
    try:
        with cases_kept():
            frozen = convert_to_constants.convert_variables_to_constants_v2(
                function, lower_control_flow=False, aggressive_inlining=True
            )
        return frozen.graph.as_graph_def()
    except (ValueError, DecodeError) as error:
        if size < LIMIT // 2:
            raise
        raise TooLargeError(
            "tensorflow.neuron.trace: with its weights as constants a graph must fit in a protocol "
            f"buffer of 2 GB, got {size} bytes of variables beside its other constants: {error}\n"
            "  try: NEURON_CC_FLAGS=--extract-weights"
        ) from error


CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def _shorten(graph_def: Any) -> dict[str, str]:
    """Name the nodes of a function that was called, and is inlined, as in the function itself.

    The result is the new names, by the old.
    """
    taken = {node.name for node in graph_def.node}
    short: dict[str, str] = {}
    for node in graph_def.node:
        name = node.name
        for prefix in CALLS:
            name = name.removeprefix(f"{prefix}/")
        if name not in taken:
            taken.add(name)
            short[node.name] = name
    for node in graph_def.node:
        node.name = short.get(node.name, node.name)
        node.attr.pop("_class", None)
        node.input[:] = [_renamed(t, short) for t in node.input]
    return short


def _renamed(tensor: str, short: Mapping[str, str]) -> str:
    name = producer(tensor)
    return tensor.replace(name, short[name], 1) if name in short else tensor


def _refuse_resources(graph_def: Any) -> None:
    resources = {
        node.name
        for node in graph_def.node
        if node.op == "Placeholder" and node.attr["dtype"].type in RESOURCES
    }
    left = [
        f"{node.op} {node.name}"
        for node in _after_identities(graph_def.node, resources)
        if node.op != "Identity"
    ]
    if resources:
        raise unhandled(left)


def _after_identities(nodes: Sequence[Any], names: set[str]) -> list[Any]:
    """The nodes that read the nodes of these names, or an identity of one."""
    found: list[Any] = []
    while True:
        readers = [n for n in nodes if any(producer(t) in names for t in n.input)]
        if len(readers) == len(found):
            return readers
        found = readers
        names = names | {n.name for n in readers if n.op == "Identity"}


def _refuse_assignments(graph: Any) -> None:
    nodes = list(all_nodes(graph.as_graph_def()))
    changing = changes(nodes)
    if changing:
        raise unhandled(changing)
    references = [node.name for node in nodes if node.op in REFERENCES]
    if references:
        raise ResourceError(
            "tensorflow.neuron.trace: variables must be resources, got reference variables of "
            f"TensorFlow 1: {', '.join(references)}\n"
            "  try: save the model anew after tf.compat.v1.enable_resource_variables()"
        )


def changes(nodes: Iterable[Any]) -> list[str]:
    """The names of the nodes that change a variable."""
    return [node.name for node in nodes if node.op.startswith(CHANGES)]


CHANGES = ("Assign", "ResourceApply", "ResourceScatter", "ResourceStridedSliceAssign", "RngRead")

REFERENCES = ("Variable", "VariableV2")


def unhandled(names: Sequence[str]) -> ResourceError:
    """The error for resources, by name, that are no constants."""
    return ResourceError(
        f"tensorflow.neuron.trace: Found unhandled resource tensors: {', '.join(names)}; hash "
        "tables, and variables that the function changes, cannot be traced\n"
        "  try: look tables up, and change variables, outside the function; if layers draw random "
        "numbers, a function that calls the model with training=False"
    )


# Nodes that are other ones once variables are constants.
RESHAPED = frozenset({"Const", "Placeholder", *STATELESS, *STATELESS.values()})


def _known_shapes(graph: Any, prefix: str = "") -> dict[str, list[Any]]:
    """The shapes that a graph, and the functions that it calls, have for the outputs of each node.

    Nodes of functions have the names that they get where their call is inlined.
    """
    known: dict[str, list[Any]] = {}
    for operation in graph.get_operations():
        name = prefix + operation.name
        if all(t.dtype != tf.resource for t in operation.outputs):  # else it is a constant now
            known[name] = [t.shape.as_proto() for t in operation.outputs]
        if operation.type in CALLS:
            called = graph._get_function(operation.get_attr("f").name)
            if hasattr(called, "graph"):  # a function that was loaded has its shapes in its nodes
                known |= _known_shapes(called.graph, f"{name}/")
    return known


def _keep_shapes(graph_def: Any, known: Mapping[str, list[Any]]) -> None:
    """Have nodes keep the shapes that the program gave them, and that no inference can find."""
    for node in graph_def.node:
        if node.name in known and node.op not in RESHAPED:
            shapes = node.attr["_output_shapes"].list.shape
            del shapes[:]
            shapes.extend(known[node.name])


def _cleaned(
    graph_def: Any, inputs: Sequence[tuple[str, Any]], outputs: Sequence[tuple[str, Any]]
) -> Any:
    meta = meta_graph_pb2.MetaGraphDef()
    meta.graph_def.CopyFrom(graph_def)
    for kind, tensors in (("inputs", inputs), ("outputs", outputs)):
        infos = getattr(meta.signature_def[SIGNATURE], kind)
        for n, (name, tensor) in enumerate(tensors):
            infos[str(n)].name = name
            infos[str(n)].dtype = tensor.dtype.as_datatype_enum
            infos[str(n)].tensor_shape.CopyFrom(tensor.shape.as_proto())
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.optimizers.extend(CLEANUP)
    rewrite.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewrite.min_graph_nodes = -1
    return tf_optimizer.OptimizeGraph(config, meta)
