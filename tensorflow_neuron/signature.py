"""How a function is called with the example inputs, and the concrete function of that call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.autograph.core import ag_ctx
from tensorflow.python.autograph.impl import api as autograph
from tensorflow.python.eager import def_function, function, wrap_function
from tensorflow.python.framework import auto_control_deps_utils

from hlo_frontend.graphdef.freeze import changes, unhandled

Call = Callable[[Callable[..., Any], Any], Any]


@dataclass(frozen=True, slots=True)
class Traced:
    """The concrete function of flat inputs, and how its outputs nest."""

    function: Any  # ConcreteFunction
    inputs: tuple[tf.TensorSpec, ...]
    keywords: tuple[str, ...]  # of inputs that were given in a dict, in the order of the inputs
    examples: tuple[Any, ...]  # a tensor, or a TensorSpec, for each input


def concrete_function(func: Callable[..., Any], example_inputs: Any) -> Traced:
    """`func` called as the document says: with a tensor or list as it is, a tuple by position, a
    dict by keyword (where `func` has no such keywords, as it is).

    Raises TypeError for what is not a tensor, ValueError for one whose shape is not known, or
    whose type Neuron has not.
    """
    flat = [_example(t) for t in tf.nest.flatten(example_inputs)]
    keywords: tuple[str, ...] = ()
    if isinstance(example_inputs, Mapping) and not any(
        map(tf.nest.is_nested, example_inputs.values())
    ):
        keywords = tuple(sorted(example_inputs))  # as tf.nest orders them
    names = keywords or [f"input_{n}" for n in range(1, 1 + len(flat))]
    specs = tuple(tf.TensorSpec(t.shape, t.dtype, n) for t, n in zip(flat, names, strict=True))
    call = _call(func, example_inputs)
    inner = func if _is_function(func) else _converted(func)

    def traced(*arguments: tf.Tensor) -> Any:
        return call(inner, tf.nest.pack_sequence_as(example_inputs, arguments))

    made = tf.function(traced, input_signature=specs, autograph=False).get_concrete_function()
    _check_outputs(made.structured_outputs)
    if changes(made.graph.as_graph_def().node):
        made = _without_effects(made, traced, specs)
    return Traced(made, specs, keywords, tuple(flat))


def _check_outputs(outputs: Any) -> None:
    found = tf.nest.flatten(outputs)
    others = [type(t).__name__ for t in found if not isinstance(t, tf.Tensor)]
    if others or not found:
        raise TypeError(
            "tensorflow.neuron.trace: what the function returns must be tensors, got "
            + (", ".join(others) or "nothing")
        )


def _without_effects(
    function: Any, traced: Callable[..., Any], specs: Sequence[tf.TensorSpec]
) -> Any:
    """The concrete function of what the outputs need, without what else the function does.

    Layers that draw random numbers while they learn may step their generators in inference too.
    Raises ResourceError where the outputs need a variable that the function changes.
    """
    wrapped = wrap_function.wrap_function(traced, specs)
    given = wrapped.inputs[: len(specs)]
    pruned = wrapped.prune(given, wrapped.structured_outputs)
    needed = {outer.ref() for outer, inner in pruned.graph.captures if inner.consumers()}
    changed = {tensor.ref() for tensor in _changed(function.graph)}
    names = [v.name for v in function.graph.variables if v.handle.ref() in changed & needed]
    if names:
        raise unhandled(names)
    return pruned


def _changed(graph: Any) -> list[Any]:
    """The handles that a graph, or what it calls, may write to."""
    written = {
        tensor.ref()
        for operation in graph.get_operations()
        for tensor in auto_control_deps_utils.get_read_write_resource_inputs(operation)[1]
    }
    return [outer for outer, inner in graph.captures if inner.ref() in written]


def _example(value: Any) -> tf.Tensor:
    if isinstance(value, str | bytes | tf.RaggedTensor | tf.SparseTensor) or value is None:
        raise TypeError(
            "tensorflow.neuron.trace: example_inputs must be tensors, got " + type(value).__name__
        )
    if not isinstance(value, tf.Tensor | tf.TensorSpec):
        value = tf.convert_to_tensor(value)
    if not value.shape.is_fully_defined():
        raise ValueError(
            "tensorflow.neuron.trace: every dimension of an example input must be known, got "
            f"{value.shape}\n  try: a tensor of the shape that the model will be called with"
        )
    return value


def _converted(func: Callable[..., Any]) -> Callable[..., Any]:
    """The callable with Python's control flow over tensors as TensorFlow's, as in `tf.function`."""
    context = ag_ctx.ControlStatusCtx(status=ag_ctx.Status.ENABLED)
    converted: Callable[..., Any] = autograph.tf_convert(func, context)
    return converted


def _is_function(func: Any) -> bool:
    return isinstance(func, def_function.Function | function.ConcreteFunction)


def _call(func: Callable[..., Any], example_inputs: Any) -> Call:
    """How to call a function with inputs that nest like the example."""
    if isinstance(example_inputs, tuple):
        return lambda call, inputs: call(*inputs)
    if isinstance(example_inputs, Mapping) and _takes_keywords(func, example_inputs):
        return lambda call, inputs: call(**inputs)
    return lambda call, inputs: call(inputs)


def _is_tensor(parameter: Any) -> bool:
    return isinstance(parameter.type_constraint, tf.TensorSpec)


def _takes_keywords(func: Any, given: Mapping[str, Any]) -> bool:
    if isinstance(func, function.ConcreteFunction):
        by_name = {p.name for p in func.function_type.parameters.values() if _is_tensor(p)}
        return set(given) in (by_name, set(func.structured_input_signature[1]))
    if isinstance(func, def_function.Function):
        func = func.python_function
    elif isinstance(func, tf.Module | tf.keras.layers.Layer) and hasattr(func, "call"):
        func = func.call
    try:
        inspect.signature(func).bind(**given)
    except TypeError:
        return False
    return True
