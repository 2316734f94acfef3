"""`tensorflow.neuron.saved_model.compile`: a SavedModel compiled into another."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

logger = logging.getLogger("Neuron")
SIGNATURE = "serving_default"


def compile(
    model_dir: str | os.PathLike[str],
    new_model_dir: str | os.PathLike[str],
    tags: Sequence[str] | None = None,
    model_feed_dict: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Compile the one signature of a SavedModel, or `serving_default`, for NeuronCores.

    `model_feed_dict` gives an example for each input of the signature, by name; without it the
    signature must have shapes that are known but for the batch, which is taken as one.
    Returns `{"OnNeuronRatio": ratio}`. Raises NotImplementedError where it cannot choose a
    signature. `tensorflow.neuron.trace` is the better way (AWS Neuron documentation).
    """
    from tensorflow_neuron.trace import trace

    logger.warning(
        "tensorflow.neuron.saved_model.compile is limited; tensorflow.neuron.trace is preferred"
    )
    loaded = tf.saved_model.load(os.fspath(model_dir), tags=tags)
    signature = _signature(loaded.signatures)
    specs = signature.structured_input_signature[1]
    given = (
        model_feed_dict
        if model_feed_dict is not None
        else {n: _zeros(n, s) for n, s in specs.items()}
    )
    if set(given) != set(specs):
        raise ValueError(
            f"saved_model.compile: model_feed_dict must have {sorted(specs)}, got {sorted(given)}"
        )
    examples = {n: tf.convert_to_tensor(given[n], specs[n].dtype) for n in specs}
    model = trace(signature, examples)
    tf.saved_model.save(model, os.fspath(new_model_dir), {SIGNATURE: model.signature()})
    return {"OnNeuronRatio": model.on_neuron_ratio}


def _signature(signatures: Mapping[str, Any]) -> Any:
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    if SIGNATURE in signatures:
        return signatures[SIGNATURE]
    raise NotImplementedError(
        f"saved_model.compile: the model must have one signature, or {SIGNATURE}, got "
        f"{sorted(signatures)}"
    )


def _zeros(name: str, spec: tf.TensorSpec) -> Any:
    sizes = [1 if n == 0 and size is None else size for n, size in enumerate(spec.shape)]
    if None in sizes:
        raise ValueError(
            f"saved_model.compile: input {name!r} must have known dimensions, got {spec.shape}\n"
            f"  try: model_feed_dict={{{name!r}: an example}}"
        )
    return np.zeros(sizes, spec.dtype.as_numpy_dtype)
