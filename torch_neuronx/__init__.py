"""The `torch_neuronx` API on a machine without Neuron.

Importing it registers `neuron::Model` with TorchScript, so that traced models can be loaded.
Capture and compiler are imported when they are first needed, and JAX is.
"""

import sys

import torch

import runtime.bridge  # noqa: F401 - what neuron::Model calls, which a load need not wait for then
from runtime.library import ensure_loaded
from torch_neuronx import experimental, testing, utils
from torch_neuronx.accuracy import accuracy_report
from torch_neuronx.bucketing import BucketModelConfig, bucket_model_trace
from torch_neuronx.calls import async_load, dynamic_batch, lazy_load, wrap_jit_load
from torch_neuronx.partitioner import PartitionerConfig
from torch_neuronx.placement import (
    move_trace_to_device,
    multicore_context,
    neuron_cores,
    neuron_cores_context,
    set_multicore,
    set_neuron_cores,
)
from torch_neuronx.version import __version__
from torch_neuronx.weights import replace_weights
from torch_neuronx.xla_impl.analyze import analyze
from torch_neuronx.xla_impl.data_parallel import DataParallel
from torch_neuronx.xla_impl.trace import trace

ensure_loaded()
wrap_jit_load()
torch.neuronx = sys.modules[__name__]  # type: ignore[attr-defined]  # the documents' spelling

__all__ = [
    "BucketModelConfig",
    "DataParallel",
    "PartitionerConfig",
    "__version__",
    "accuracy_report",
    "analyze",
    "async_load",
    "bucket_model_trace",
    "dynamic_batch",
    "experimental",
    "lazy_load",
    "move_trace_to_device",
    "multicore_context",
    "neuron_cores",
    "neuron_cores_context",
    "replace_weights",
    "set_multicore",
    "set_neuron_cores",
    "testing",
    "trace",
    "utils",
]
