"""A segment of a graph as a graph of its own, and as an HLO module."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.eager.polymorphic_function import compiler_ir
from tensorflow.python.framework import importer, tensor_util

from hlo_frontend.errors import CaptureError
from hlo_frontend.graphdef.graph import Graph, TensorType, is_control, producer
from hlo_frontend.graphdef.partition import Segment
from hlo_frontend.hlo.module import HloInstruction, HloModule
from hlo_frontend.hlo.proto import read_module

LEAST_WEIGHT = 256  # bytes: a smaller constant stays part of the program


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant that is a parameter of the module."""

    name: str
    array: np.ndarray = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SegmentCapture:
    """The module of a segment: its parameters are the segment's inputs, then the weights."""

    module: HloModule
    inputs: tuple[TensorType, ...]
    weights: tuple[Weight, ...]
    outputs: tuple[TensorType, ...]


def inner_graph(graph: Graph, segment: Segment, *, constants: bool) -> Any:
    """The GraphDef of a segment, which reads its inputs from `placeholder_name`d placeholders.

    With `constants`, those that it reads are part of it.
    """
    made = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    place = {tensor: placeholder_name(tensor) for tensor in segment.inputs}
    names = segment.names
    for tensor in segment.inputs:
        kind = graph.types[tensor]
        node = made.node.add(name=place[tensor], op="Placeholder")
        node.attr["dtype"].type = kind.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(kind.dims).as_proto())
    if constants:
        made.node.extend(segment.constants)
    for node in segment.nodes:
        copy = made.node.add()
        copy.CopyFrom(node)
        copy.device = ""
        kept = [t for t in node.input if not is_control(t) or producer(t) in names]
        copy.input[:] = [place.get(_full(t), t) for t in kept]
    return made


def placeholder_name(tensor: str) -> str:
    """The name of the node that stands for a tensor outside: AWS's, so that dumps look alike."""
    return tensor.replace(":", "")


def _full(tensor: str) -> str:
    return tensor if ":" in tensor or is_control(tensor) else f"{tensor}:0"


def capture(graph: Graph, segment: Segment) -> SegmentCapture:
    """The HLO of a segment, by TensorFlow's own compiler; large constants are its weights.

    Raises UnsupportedNodes that name what it cannot compile, CaptureError where it does not say.
    """
    heavy = [node for node in segment.constants if _is_weight(graph, node)]
    weights = [Weight(n.name, tensor_util.MakeNdarray(n.attr["value"].tensor)) for n in heavy]
    part = inner_graph(graph, segment, constants=False)
    del part.node[: len(segment.inputs)]  # what is outside is mapped to the arguments
    held = {node.name for node in heavy}
    part.node.extend(node for node in segment.constants if node.name not in held)
    names = [placeholder_name(t) for t in segment.inputs] + [n.name for n in heavy]
    types = [graph.types[t] for t in (*segment.inputs, *(f"{n.name}:0" for n in heavy))]
    data = _hlo(part, names, types, list(segment.outputs))
    return SegmentCapture(
        _without_places(read_module(data)),
        tuple(graph.types[t] for t in segment.inputs),
        tuple(weights),
        tuple(graph.types[t] for t in segment.outputs),
    )


def _without_places(module: HloModule) -> HloModule:
    """The module without source lines: TensorFlow names a file that is not there."""

    def named(i: HloInstruction) -> HloInstruction:
        if not i.metadata.source_file:
            return i
        return replace(i, metadata=replace(i.metadata, source_file="", source_line=0))

    computations = tuple(
        replace(c, instructions=tuple(map(named, c.instructions))) for c in module.computations
    )
    return replace(module, computations=computations)


def _is_weight(graph: Graph, node: Any) -> bool:
    kind = graph.types[f"{node.name}:0"]
    return node.op == "Const" and kind.dtype.is_floating and kind.bytes >= LEAST_WEIGHT


def _hlo(
    part: Any, names: Sequence[str], types: Sequence[TensorType], outputs: Sequence[str]
) -> bytes:
    def segment(*arguments: tf.Tensor) -> Any:
        given = {f"{name}:0": a for name, a in zip(names, arguments, strict=True)}
        return importer.import_graph_def(part, given, list(outputs), name="")

    specs = [tf.TensorSpec(t.dims, t.dtype) for t in types]
    made = tf.function(segment, input_signature=specs, autograph=False)
    function = made.get_concrete_function()
    for called in part.library.function:
        if not context.context().has_function(called.signature.name):
            context.context().add_function_def(called)
    try:
        data: bytes = compiler_ir.from_concrete_function(function)(stage="hlo_serialized")
    except (ValueError, tf.errors.OpError) as error:
        raise _unsupported(str(error)) from error
    return data


class UnsupportedNodesError(CaptureError):
    """TensorFlow's compiler cannot compile some nodes; `nodes` are their names."""

    def __init__(self, message: str, nodes: frozenset[str]) -> None:
        super().__init__(message)
        self.nodes = nodes


_NODE = re.compile(r"\{\{node ([^}]+)\}\}")


def _unsupported(message: str) -> CaptureError:
    nodes = frozenset(_NODE.findall(message))
    reason = message.partition("\n")[0].removeprefix("Failed getting HLO text: ").strip("'")
    text = f"TensorFlow's compiler refuses it: {reason}"
    return UnsupportedNodesError(text, nodes) if nodes else CaptureError(text)
