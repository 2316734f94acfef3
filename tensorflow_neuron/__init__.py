"""The `tensorflow.neuron` API on a machine without Neuron.

Importing it registers the operator NeuronOp with TensorFlow, and has Keras 3 load traced models.
Capture, compiler and runtime are imported when they are first needed.
"""

from typing import NoReturn

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

# Of AWS's package, for TensorFlow 1 or its own tests: what to use in their place.
ABSENT = {
    "_trace": "tensorflow.neuron.trace",
    "fuse": "tensorflow.neuron.trace with subgraph_builder_function",
    "graph_util": "tensorflow.neuron.trace",
    "is_tf_v1": "TensorFlow 2, which this always is",
    "measure_performance": "a loop around the traced model",
    "predictor": "tf.saved_model.load(folder).signatures['serving_default']",
    "python": "what tensorflow.neuron itself offers",
}


def __getattr__(name: str) -> NoReturn:
    if name in ABSENT:
        raise AttributeError(
            f"tensorflow.neuron.{name} is not part of this emulator\n  try: {ABSENT[name]}"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
