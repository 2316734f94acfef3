"""`tensorflow.neuron.auto_multicore`: a traced model on several NeuronCores at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

MULTICORE = "_automatic_multicore"  # the attribute of NeuronOp


def auto_multicore(model: Any, example_inputs: Any, num_cores: int = 1) -> Any:
    """A copy of a traced model whose calls go in turn to `num_cores` cores, from the first on.

    Raises ValueError for what was not traced. Whether the cores are there is seen at the first
    call. Source: AWS Neuron documentation, TensorFlow 2.x auto multicore replication.
    """
    from tensorflow_neuron.function import graph_function
    from tensorflow_neuron.model import neuron_model

    function = getattr(model, "aws_neuron_function", None)
    if function is None:
        raise ValueError("Invalid model is not AwsNeuronModel: it has no aws_neuron_function")
    graph_def = function.graph.as_graph_def()
    for node in graph_def.node:
        if node.op == "NeuronOp":
            node.attr[MULTICORE].i = num_cores
    names = [tensor.name for tensor in function.outputs]
    outputs = tf.nest.pack_sequence_as(function.structured_outputs, names)
    captures = {inner.op.name: outer for outer, inner in function.graph.captures}
    given = len(function.inputs) - len(captures)
    inputs = [tensor.name for tensor in function.inputs[:given]]
    made = graph_function(graph_def, inputs, outputs, captures)
    ratio = getattr(model, "on_neuron_ratio", None)
    weights = getattr(model, "_ordered_weights", None) or ()
    return neuron_model(made, ratio, example_inputs, tuple(weights))


def _examples(function: Any) -> tuple[tf.Tensor, ...]:
    """A tensor for each input; any size where the model takes any."""
    given = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
    sizes = [[1 if size is None else size for size in t.shape] for t in given]
    return tuple(tf.zeros(s, t.dtype) for s, t in zip(sizes, given, strict=True))


def main(words: Sequence[str] | None = None) -> int:
    """`tf-neuron-auto-multicore MODEL_DIR --num_cores N --new_model_dir DIR`."""
    parser = argparse.ArgumentParser(
        prog="tf-neuron-auto-multicore",
        description="Write a traced SavedModel anew, for several NeuronCores.",
    )
    parser.add_argument("model_dir", help="the folder of a traced SavedModel")
    parser.add_argument("--num_cores", type=int, required=True)
    parser.add_argument("--new_model_dir", required=True, help="where to write the new one")
    given = parser.parse_args(words)
    if given.num_cores < 1:
        parser.error(f"--num_cores must be at least 1, got {given.num_cores}")
    loaded = tf.saved_model.load(given.model_dir)
    if not hasattr(loaded, "aws_neuron_function"):
        parser.error(f"{given.model_dir} must hold a model of tensorflow.neuron.trace")
    examples = _examples(loaded.aws_neuron_function)
    auto_multicore(loaded, examples, given.num_cores).save(given.new_model_dir)
    return 0
