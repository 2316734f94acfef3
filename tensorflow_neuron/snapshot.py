"""A segment's module and what goes through it for the example inputs: an HloSnapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from hlo_frontend.graphdef.extract import SegmentCapture
from hlo_frontend.graphdef.freeze import LIMIT
from hlo_frontend.graphdef.graph import Graph
from hlo_frontend.graphdef.partition import Segment
from hlo_frontend.hlo.literal import AnyLiteral, Literal, TupleLiteral
from hlo_frontend.hlo.proto import write_module
from hlo_frontend.hlo.proto_shape import write_literal
from hlo_frontend.hlo.schema import MESSAGES
from hlo_frontend.hlo.types import TupleShape
from tensorflow_neuron.function import graph_function


@dataclass(frozen=True, slots=True)
class Example:
    """The graph and a value for each of its inputs; TensorSpecs where there are only types."""

    graph: Graph
    inputs: Sequence[Any]

    def values(self, tensors: Sequence[str]) -> list[np.ndarray] | None:
        """The values of tensors of the graph; None where the inputs have none."""
        if not all(isinstance(t, tf.Tensor | tf.Variable) for t in self.inputs):
            return None
        function = graph_function(self.graph.graph_def(), self.graph.inputs, list(tensors))
        return [t.numpy() for t in function(*map(tf.convert_to_tensor, self.inputs))]


def snapshot(captured: SegmentCapture, segment: Segment, example: Example | None) -> bytes:
    """The HloSnapshot. Without example values it has the module alone, as it has where values
    and weights are too large for a protocol buffer."""
    made = hlo_pb2.HloSnapshot()
    made.hlo.hlo_module.ParseFromString(write_module(captured.module))
    kinds = (*captured.inputs, *captured.outputs)
    size = sum(k.bytes for k in kinds) + sum(w.array.nbytes for w in captured.weights)
    if example is None or size + made.ByteSize() >= LIMIT:
        return bytes(made.SerializeToString())
    values = example.values((*segment.inputs, *segment.outputs))
    if values is not None:
        count = len(segment.inputs)
        for array in (*values[:count], *(w.array for w in captured.weights)):
            made.arguments.add().ParseFromString(_proto(Literal.of(array)))
        results = tuple(Literal.of(array) for array in values[count:])
        root = captured.module.entry.instructions[captured.module.entry.root].shape
        whole = TupleLiteral(results) if isinstance(root, TupleShape) else results[0]
        made.result.ParseFromString(_proto(whole))
    return bytes(made.SerializeToString())


def _proto(literal: AnyLiteral) -> bytes:
    made = MESSAGES["LiteralProto"]()
    write_literal(literal, made)
    return bytes(made.SerializeToString())
