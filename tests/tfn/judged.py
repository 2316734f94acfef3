"""Traces a function and compares what it computes with what TensorFlow computes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import tensorflow_neuron as tfn

WHOLE = {"Placeholder", "NeuronOp", "IdentityN"}  # the graph of what is all on Neuron


def nodes_of(model):
    return list(model.aws_neuron_function.graph.as_graph_def().node)


def operators(model):
    """The operators of a traced model's graph, without what only carries values."""
    light = ("Placeholder", "Const", "Identity", "IdentityN")
    return sorted(node.op for node in nodes_of(model) if node.op not in light)


def assert_equal(wanted, got, bound=1e-3):
    """Nested tensors nest alike, and differ by at most `bound` of the largest magnitude."""
    tf.nest.assert_same_structure(wanted, got)
    for one, other in zip(tf.nest.flatten(wanted), tf.nest.flatten(got), strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype.kind not in "fcV":
            np.testing.assert_array_equal(one, other)
            continue
        one, other = one.astype(np.complex128), other.astype(np.complex128)
        assert np.max(np.abs(one - other), initial=0) <= bound * np.max(np.abs(one), initial=0)


def call(function, inputs):
    return function(*inputs) if isinstance(inputs, tuple) else function(inputs)


def traced(function, inputs, **keywords):
    """The traced function, after a comparison with the function itself."""
    made = tfn.trace(function, inputs, **keywords)
    assert_equal(call(function, inputs), call(made, inputs))
    return made


def ones(*shape):
    return tf.ones(shape, tf.float32)


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), tf.float32)
