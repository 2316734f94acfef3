"""From a Keras model or function to one that runs on NeuronCores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from hlo_frontend.graphdef.assemble import Compiled, assemble
from hlo_frontend.graphdef.fold import fold_shapes
from hlo_frontend.graphdef.freeze import Frozen, freeze, refuse_large
from hlo_frontend.graphdef.graph import Graph
from hlo_frontend.graphdef.lift import read_again
from tensorflow_neuron.flags import Flags, read_flags
from tensorflow_neuron.function import graph_function
from tensorflow_neuron.model import neuron_model
from tensorflow_neuron.segment import compile_segments
from tensorflow_neuron.signature import Traced, concrete_function
from tensorflow_neuron.snapshot import Example
from tensorflow_neuron.workdir import Workdir

logger = logging.getLogger("Neuron")
FEW = 0.5  # of the operations: below it, the user is warned


def trace_function(
    func: Callable[..., Any], example_inputs: Any, choose: Callable[[Any], bool] | None
) -> Any:
    """What `tensorflow.neuron.trace` does, with every argument given."""
    flags = read_flags()
    if not tf.nest.flatten(example_inputs):
        logger.warning("%s does not seem to have any input; returning an uncompiled callable", func)
        return func
    traced = concrete_function(func, example_inputs)
    frozen = freeze(traced.function, lifted=flags.extract_weights)
    _check_size(frozen, flags)
    graph = frozen.graph
    chosen = None if choose is None else _chosen(graph, choose)
    workdir = Workdir(flags.workdir, flags.words)
    workdir.make()
    workdir.write_graph("graph_def_shaped.pb", graph.graph_def())
    graph = fold_shapes(graph)
    example = Example(graph, (*traced.examples, *frozen.variables.values()))
    workdir = replace(workdir, example=example)
    compiled = compile_segments(graph, flags, chosen, workdir)
    refuse_large(sum(len(c.neff) for c in compiled), "the compiled model")
    made = assemble(graph, compiled)
    if flags.workdir is not None:
        before = assemble(graph, [c.without_neff() for c in compiled])
        workdir.write_graph("graph_def_fused.pb", before)
    workdir.write_graph("graph_def_fused_optimized.pb", made)
    ratio = on_neuron_ratio(frozen, made, compiled)
    if ratio < FEW:
        logger.warning(
            "Warning: Your traced model has %.2f%% of operators compiled to neuron.", 100 * ratio
        )
    function = _function(made, frozen, traced)
    return neuron_model(function, ratio, example_inputs, tuple(frozen.variables.values()))


def _chosen(graph: Graph, choose: Callable[[Any], bool]) -> frozenset[str]:
    """The names of the nodes that the user places on Neuron."""
    return frozenset(node.name for node in graph.nodes if choose(_copy(node)))


def _copy(node: Any) -> Any:
    copy = tf.compat.v1.NodeDef()
    copy.CopyFrom(node)
    return copy


def on_neuron_ratio(frozen: Frozen, made: Any, compiled: Sequence[Compiled]) -> float:
    """The part of the function's operations that are not left to TensorFlow.

    Placeholders, identities, reads of variables and the variables' values do not count.
    """
    traced_before = any(node.op == "NeuronOp" for node in frozen.graph.nodes)
    if not (compiled or traced_before) or not frozen.operations:
        return 0.0
    inside = {name for c in compiled for name in c.segment.names}
    left = {node.name for node in made.node if node.op != "NeuronOp"} - inside
    return 1 - len(left & frozen.operations) / len(frozen.operations)


MOST_EXTRACTED = 4 << 30  # bytes


def _check_size(frozen: Frozen, flags: Flags) -> None:
    if not flags.extract_weights:
        return
    size = sum(v.dtype.size * v.shape.num_elements() for v in frozen.variables.values())
    if size >= MOST_EXTRACTED:
        raise ValueError(
            f"tensorflow.neuron.trace: Your total model size including weights is {size} bytes; "
            f"with --extract-weights it must be below {MOST_EXTRACTED}"
        )


def _function(made: Any, frozen: Frozen, traced: Traced) -> Any:
    """The traced graph as a function, whose outputs nest as those of the original.

    Variables that are no constants are read at every call.
    """
    names = list(frozen.graph.outputs)
    outputs = tf.nest.pack_sequence_as(traced.function.structured_outputs, names)
    inputs = list(frozen.graph.inputs[: len(traced.inputs)])
    handles = read_again(made, list(frozen.variables))
    captures = {handles[n]: v.handle for n, v in frozen.variables.items() if n in handles}
    return graph_function(made, inputs, outputs, captures)
