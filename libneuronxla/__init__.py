"""Compilation through a cache, under the names that frameworks and exporters import."""

from importlib import import_module
from typing import Any

_MODULES = ("neuron_cc_cache", "neuron_cc_wrapper")


def __getattr__(name: str) -> Any:
    """What is looked up here is imported then: `import torch_xla` looks into this package too."""
    if name in _MODULES:
        return import_module(f"libneuronxla.{name}")
    if name == "neuron_xla_compile":
        return import_module("libneuronxla.neuron_cc_wrapper").neuron_xla_compile
    raise AttributeError(f"module 'libneuronxla' has no attribute {name!r}")
