"""Makes the operator NeuronOp known to TensorFlow."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from runtime.library import TFNEURON, build


@functools.cache
def register() -> None:
    """Load the library that has NeuronOp, built where that was not done before.

    Where TensorFlow found it by itself, as a plugin, nothing is left to do.
    """
    if op_def_registry.get("NeuronOp") is None:
        tf.load_op_library(str(build(TFNEURON)))
    tf.RegisterGradient("NeuronOp")(_refuse_gradient)


def _refuse_gradient(operation: Any, *gradients: Any) -> None:
    raise NotImplementedError(
        f"{operation.name}: a traced model is for inference and has no gradient\n"
        "  try: tf.stop_gradient around its inputs"
    )
