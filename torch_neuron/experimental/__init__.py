"""Which NeuronCores a model runs on: see torch_neuron.placement."""

from torch_neuron.placement import (
    multicore_context,
    neuron_cores_context,
    set_multicore,
    set_neuron_cores,
)

__all__ = ["multicore_context", "neuron_cores_context", "set_multicore", "set_neuron_cores"]
