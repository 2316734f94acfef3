"""The `tensorflow.neuron` API on a machine without Neuron.

Importing it registers the operator NeuronOp with TensorFlow, and has Keras 3 load traced models.
Capture, compiler and runtime are imported when they are first needed.
"""

from tensorflow_neuron import saved_model
from tensorflow_neuron.analyze import analyze_model
from tensorflow_neuron.keras3 import teach_loading
from tensorflow_neuron.multicore import auto_multicore
from tensorflow_neuron.operator import register
from tensorflow_neuron.trace import trace
from tensorflow_neuron.version import __version__

register()
teach_loading()

__all__ = ["__version__", "analyze_model", "auto_multicore", "saved_model", "trace"]
