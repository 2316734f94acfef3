"""The `torch_neuronx` API on a machine without Neuron.

Importing it registers `neuron::Model` with TorchScript, so that traced models can be loaded.
Capture, compiler and runtime are imported when they are first needed.
"""

import sys

import torch

from runtime.library import ensure_loaded
from torch_neuronx.accuracy import accuracy_report
from torch_neuronx.version import __version__
from torch_neuronx.xla_impl.analyze import analyze
from torch_neuronx.xla_impl.trace import trace

ensure_loaded()
torch.neuronx = sys.modules[__name__]  # type: ignore[attr-defined]  # the documents' spelling

__all__ = ["__version__", "accuracy_report", "analyze", "trace"]
