"""The `torch_neuron` API, for Inferentia (Inf1), on a machine without Neuron.

Importing it registers `neuron::Model` with TorchScript, as `torch_neuronx` does, and makes the
package known as `torch.neuron` too. Capture, compiler and runtime are imported when they are first
needed.
"""

import sys

import torch

from torch_neuron import experimental
from torch_neuron.analyze import analyze_model
from torch_neuron.data_parallel import DataParallel
from torch_neuron.operators import get_supported_operations
from torch_neuron.optimization import Optimization
from torch_neuron.placement import is_available
from torch_neuron.trace import trace
from torch_neuron.version import __version__

torch.neuron = sys.modules[__name__]  # type: ignore[attr-defined]  # the documents' spelling
sys.modules["torch.neuron"] = sys.modules[__name__]

__all__ = [
    "DataParallel",
    "Optimization",
    "__version__",
    "analyze_model",
    "experimental",
    "get_supported_operations",
    "is_available",
    "trace",
]
