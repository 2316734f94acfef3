"""The `keras.Model` that a trace returns, under Keras 3 and under legacy Keras."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

SIGNATURE = "serving_default"
FILES = (".h5", ".hdf5", ".keras")  # what legacy Keras writes as a file


def is_keras3() -> bool:
    """Whether `tf.keras` is Keras 3, not legacy Keras (TF_USE_LEGACY_KERAS=1)."""
    return bool(tf.keras.Model.__module__.startswith("keras."))


@functools.cache
def model_class() -> Any:
    """The class of traced models: a subclass of what `tf.keras.Model` is in this process."""
    own: dict[str, Any] = {"__module__": __name__}
    if is_keras3():  # which would take all inputs for floats
        own["_default_save_signature"] = property(_Traced.serving)
    return type("AwsNeuronModel", (_Traced, tf.keras.Model), own)


class _Traced:
    """A function that runs on NeuronCores, as a Keras model for inference."""

    def __init__(self, function: Any, weights: tuple[Any, ...] = ()) -> None:
        super().__init__(trainable=False, autocast=False)  # type: ignore[call-arg]
        self.aws_neuron_function = function
        self.on_neuron_ratio = 0.0
        self._ordered_weights = list(weights) or None  # those of --extract-weights

    def call(self, inputs: Any, *arguments: Any) -> Any:
        """The outputs, nested as the traced function's; the inputs may nest in any way."""
        return self.aws_neuron_function(*_flat(self._inputs(), inputs, arguments))

    def _inputs(self) -> list[tf.TensorSpec]:
        placeholders = self.aws_neuron_function.inputs
        captured = len(self.aws_neuron_function.captured_inputs)
        kept = placeholders[: len(placeholders) - captured]
        return [tf.TensorSpec(t.shape, t.dtype, t.op.name) for t in kept]

    def get_config(self) -> dict[str, Any]:
        """Nothing: a traced model is restored from its SavedModel, not built anew."""
        return {}

    def save(self, filepath: Any, *arguments: Any, **keywords: Any) -> None:
        """Write a SavedModel, which `tf.keras.models.load_model` reads.

        Raises FileExistsError where there is something already and `overwrite=False`.
        """
        if is_keras3():
            overwrite = keywords.get("overwrite", arguments[0] if arguments else True)
            if not overwrite and os.path.exists(filepath):
                raise FileExistsError(
                    f"AwsNeuronModel.save: nothing must be there, got {os.fspath(filepath)!r}\n"
                    "  try: overwrite=True"
                )
            tf.saved_model.save(self, str(filepath), signatures={SIGNATURE: self.signature()})
        else:
            if os.path.splitext(filepath)[1] in FILES:
                raise ValueError(
                    "AwsNeuronModel.save: a traced model is saved as a folder, a SavedModel, got "
                    f"the name of a file, {os.fspath(filepath)!r}"
                )
            super().save(filepath, *arguments, **keywords)  # type: ignore[misc]

    def signature(self) -> Any:
        """The concrete function that serves the model: named inputs, and a dict of outputs."""
        return self.serving().get_concrete_function()

    def serving(self) -> Any:
        """The function of that."""

        def serving(*arguments: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = self.aws_neuron_function(*arguments)
            if isinstance(outputs, Mapping) and not any(map(tf.nest.is_nested, outputs.values())):
                return dict(outputs)
            flat = tf.nest.flatten(outputs)
            return {f"output_{n}": t for n, t in enumerate(flat, start=1)}

        return tf.function(serving, input_signature=self._inputs(), autograph=False)


def _flat(specs: list[tf.TensorSpec], inputs: Any, arguments: tuple[Any, ...]) -> list[tf.Tensor]:
    """The arguments in the order of the function's inputs, as tensors."""
    flat = tf.nest.flatten((inputs, arguments))
    if len(flat) != len(specs):
        raise ValueError(
            f"AwsNeuronModel: the model was traced with {len(specs)} inputs "
            f"({', '.join(s.name for s in specs)}), got {len(flat)}"
        )
    names = {spec.name for spec in specs}
    if isinstance(inputs, Mapping) and not arguments and set(inputs) == names:
        flat = [inputs[spec.name] for spec in specs]
    tensors = [tf.convert_to_tensor(t, s.dtype) for t, s in zip(flat, specs, strict=True)]
    for tensor, spec in zip(tensors, specs, strict=True):
        _check_shape(tensor, spec)
    return tensors


def _check_shape(tensor: tf.Tensor, spec: tf.TensorSpec) -> None:
    if spec.shape.is_compatible_with(tensor.shape):
        return
    wanted, got = (
        "[" + ",".join("?" if n is None else str(n) for n in shape) + "]"
        for shape in (spec.shape, tensor.shape)
    )
    remedy = "; try: NEURON_CC_FLAGS=--dynamic-batch-size"
    if not spec.shape.is_fully_defined():
        remedy = "; dimension 0 alone may differ"
    raise tf.errors.InvalidArgumentError(
        None,
        None,
        f"AwsNeuronModel: {spec.name} was compiled for the shape {wanted}, got {got}{remedy}",
    )


def neuron_model(
    function: Any, ratio: float | None, example_inputs: Any, weights: tuple[Any, ...] = ()
) -> Any:
    """A model that calls `function`, which reads `weights` if any, and that can be saved."""
    model = model_class()(function, weights)
    model.on_neuron_ratio = ratio
    if not is_keras3():
        first, *others = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
        model._set_save_spec(first, others, {})
    return model


def restored_model(loaded: Any) -> Any:
    """The Keras model of what `tf.saved_model.load` read."""
    model = model_class()(loaded.aws_neuron_function)
    model.on_neuron_ratio = None  # is not saved
    model._loaded = loaded  # keeps what the function refers to
    return model
