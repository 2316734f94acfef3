"""Placement as `torch_neuronx` has it, on a machine with NeuronCores of the first version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neff.inf1_options import TARGET
from runtime.core import machine
from runtime.status import NeuronRuntimeError
from torch_neuronx import placement
from torch_neuronx.placement import set_multicore, set_neuron_cores

__all__ = [
    "is_available",
    "multicore_context",
    "neuron_cores_context",
    "set_multicore",
    "set_neuron_cores",
]


def is_available() -> bool:
    """Whether this process has NeuronCores: it takes them, as the first load does."""
    try:
        machine(TARGET)
    except NeuronRuntimeError:
        return False
    return True


@contextmanager
def neuron_cores_context(start_nc: int = -1, nc_count: int = -1) -> Iterator[None]:
    """Have torch.jit.load put models on these NeuronCores (see set_neuron_cores).

    Not thread-safe: it holds for loads in all threads.
    Source: AWS Neuron documentation, PyTorch Neuron core placement API.
    """
    machine(TARGET)
    with placement.neuron_cores_context(start_nc, nc_count):
        yield


@contextmanager
def multicore_context() -> Iterator[None]:
    """Have torch.jit.load put models on all visible NeuronCores. Not thread-safe."""
    machine(TARGET)
    with placement.multicore_context():
        yield
