"""`tensorflow.neuron.trace`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def trace(
    func: Callable[..., Any],
    example_inputs: Any,
    subgraph_builder_function: Callable[[Any], bool] | None = None,
) -> Any:
    """Compile a `keras.Model`, `tf.function` or callable; the result is a `keras.Model`.

    `example_inputs` is a tensor, or a list of them, that `func` takes as its one argument; or a
    tuple for `func(*example_inputs)`, or a dict for `func(**example_inputs)`. With
    `subgraph_builder_function`, the nodes of the graph for which it is true go to Neuron, and no
    others; else all that the compiler supports and that is worth it. The result is for inference,
    and its `on_neuron_ratio` says how much of `func` is on Neuron, from 0 to 1.

    Raises TypeError and ValueError for inputs that cannot be traced, neff.errors.OptionError for
    an unknown flag in NEURON_CC_FLAGS. What cannot be compiled stays on the CPU.
    Source: AWS Neuron documentation, TensorFlow 2.x tracing API.
    """
    from tensorflow_neuron.build import trace_function

    return trace_function(func, example_inputs, subgraph_builder_function)
