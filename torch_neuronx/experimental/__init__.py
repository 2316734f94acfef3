"""The earlier names of the placement functions."""

from torch_neuronx.placement import (
    multicore_context,
    neuron_cores_context,
    set_multicore,
    set_neuron_cores,
)

__all__ = ["multicore_context", "neuron_cores_context", "set_multicore", "set_neuron_cores"]
