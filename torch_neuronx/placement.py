"""Which NeuronCores a model runs on.

Source: AWS Neuron documentation, PyTorch Neuron NeuronCore placement APIs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from runtime import placement
from torch_neuronx.models import cores_at_once, neuron_models


def set_neuron_cores(trace: torch.jit.ScriptModule, start_nc: int = -1, nc_count: int = -1) -> None:
    """Move every Neuron subgraph of `trace` to `nc_count` NeuronCores from `start_nc` on.

    -1 for `start_nc` is the least used core, for `nc_count` exactly one core, or as many as a
    pipeline takes; on more cores the model is replicated, as often as it fits, and calls go to the
    replicas in turn. Indices count within the cores visible to the
    process. A plain module is left alone.

    Raises ValueError for cores the process does not have, RuntimeError where the runtime cannot be
    initialized or a core has too little memory.
    """
    models = neuron_models(trace)
    if models:
        # Refuse before anything is moved.
        placement.cores(start_nc, nc_count, cores_at_once(models))
    for model in models:
        model.set_neuron_devices(start_nc, nc_count)


def set_multicore(trace: torch.jit.ScriptModule) -> None:
    """Move every Neuron subgraph of `trace` to all visible NeuronCores; calls take them in turn."""
    models = neuron_models(trace)
    for model in models:
        model.set_neuron_devices(0, len(placement.all_cores()))


@contextmanager
def neuron_cores_context(start_nc: int = -1, nc_count: int = -1) -> Iterator[None]:
    """Have torch.jit.load put models on these NeuronCores (see set_neuron_cores).

    Not thread-safe: it holds for loads in all threads.
    """
    placement.cores(start_nc, nc_count)
    with placement.placing(partial(placement.cores, start_nc, nc_count)):
        yield


@contextmanager
def multicore_context() -> Iterator[None]:
    """Have torch.jit.load put models on all visible NeuronCores. Not thread-safe."""
    with placement.placing(placement.all_cores):
        yield


def move_trace_to_device(trace: torch.jit.ScriptModule, device_id: int) -> None:
    """Move a trace to one NeuronCore. Raises ValueError for a core the process does not have.

    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference.
    """
    if not isinstance(device_id, int) or isinstance(device_id, bool) or device_id < 0:
        raise ValueError(
            f"move_trace_to_device: device_id must be the index of a NeuronCore, got {device_id!r}"
        )
    set_neuron_cores(trace, device_id, 1)


def neuron_cores(trace: torch.nn.Module) -> list[list[int]]:
    """The NeuronCores each Neuron subgraph of a module is on; none while it is not loaded.

    The emulator's own: AWS's package has no way to ask.
    """
    return [model.cores() for model in neuron_models(trace)]
