"""Makes the operator NeuronOp known to TensorFlow."""

from __future__ import annotations

import functools

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
