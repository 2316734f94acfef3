"""TensorFlow and PyTorch in one process, and the names of the package there."""

import re

import pytest

from tests.tfn.process import run

BOTH = """
import sys, torch, numpy as np
if sys.argv[1] == "keras":
    import keras
def trace_with_torch():
    import torch_neuronx
    layer = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
    given = torch.ones(2, 4)
    made = torch_neuronx.trace(layer, given)
    np.testing.assert_allclose(made(given).detach(), layer(given).detach(), rtol=1e-5)
    return lambda: made(given)
def trace_with_tensorflow():
    import tensorflow as tf, tensorflow.neuron as tfn
    weight = tf.random.normal([4, 3])
    given = tf.ones([2, 4])
    made = tfn.trace(lambda x: tf.nn.relu(x @ weight), given)
    np.testing.assert_allclose(made(given), tf.nn.relu(given @ weight), rtol=1e-5)
    return lambda: made(given)
order = [trace_with_torch, trace_with_tensorflow]
if sys.argv[1] == "keras":
    order.reverse()
calls = [trace() for trace in order]
calls += [trace() for trace in order]  # and once more, with both in the process
for call in calls:
    call()
import keras, tensorflow as tf, tensorflow.neuron as tfn, tensorflow_neuron
from tensorflow.neuron import saved_model
assert tfn is tensorflow_neuron is tf.neuron
assert saved_model is tensorflow_neuron.saved_model
assert hasattr(keras.models.load_model, "reads_traced_models")
assert tf.keras.models.load_model is keras.models.load_model
print(tfn.__version__)
"""


@pytest.mark.parametrize("first", ["torch", "keras"])
def test_both_frameworks_in_one_process(first):
    """In either order; TensorFlow may be imported by Keras."""
    version = run(BOTH, first).splitlines()[-1]
    assert re.fullmatch(r"2\.\d+\.\d+\.2\.32\.0\+emulator", version)
