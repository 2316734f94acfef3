"""How a traced model is loaded and called: dynamic batching, lazy and background loading."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from torch_neuronx.models import NeuronModel, neuron_models, neuron_subgraphs

# What the runtime's errors about batches begin with, after the operator's name.
_MARK = "dynamic batching: "


class BatchError(ValueError, RuntimeError):
    """The inputs of a dynamically batched model do not fit it: the message names which and why."""


def dynamic_batch(neuron_script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Let a traced model take any batch size: dimension 0 of all its inputs and outputs.

    A batch is split, and padded with zeros, into parts of the size that was traced, which run on
    all the NeuronCores the model is on. Works in place, returns its argument, and is saved with it.

    Raises ValueError where the traced tensors do not share their dimension 0, and for weights that
    are not in the NEFF; the model's calls raise it where an input differs from the traced one in
    another dimension, or inputs from each other in dimension 0.
    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference.
    """
    if any(subgraph.supplied for subgraph in neuron_subgraphs(neuron_script)):
        raise ValueError(
            "torch_neuronx.dynamic_batch: Dynamic batching is not yet compatible with the "
            "weights/neff non-inlined model\n  try: inline_weights_to_neff=True"
        )
    set_dynamic_batching(neuron_script, True)
    return with_batch_errors(neuron_script)


def set_dynamic_batching(trace: torch.jit.ScriptModule, enable: bool) -> None:
    """Allow or forbid other batch sizes than the traced one. Raises like `dynamic_batch`."""
    _set_option(trace, "dynamic_batch", enable)


def lazy_load(trace: torch.jit.ScriptModule, enable_lazy_load: bool = True) -> None:
    """Have a saved trace load its model when it is first placed or called, not at torch.jit.load.

    Source: AWS Neuron documentation, PyTorch Neuron lazy and asynchronous loading API.
    """
    _set_option(trace, "lazy_load", enable_lazy_load)


def async_load(trace: torch.jit.ScriptModule, enable_async_load: bool = True) -> None:
    """Have a saved trace load its model in the background: torch.jit.load returns at once, and the
    first call waits. An error of the load is raised by that call.

    Source: AWS Neuron documentation, PyTorch Neuron lazy and asynchronous loading API.
    """
    _set_option(trace, "async_load", enable_async_load)


def _set_option(trace: torch.jit.ScriptModule, name: str, value: bool) -> None:
    """Set an option of every Neuron model of a module, or of none where one refuses."""
    models = neuron_models(trace)
    if not models:
        raise ValueError(f"torch_neuronx.{name}: the module must come from torch_neuronx.trace")
    before = [model.options() for model in models]
    try:
        for model, options in zip(models, before, strict=True):
            model.set_options(json.dumps({**json.loads(options), name: value}))
    except ValueError:
        for model, options in zip(models, before, strict=True):
            model.set_options(options)
        raise


def with_batch_errors(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Have a dynamically batched module's calls raise what TorchScript's interpreter, which makes
    every error a RuntimeError, would hide."""
    if not isinstance(module.forward, _Unwrapping):
        module.forward = _Unwrapping(module.forward)
    return module


class _Unwrapping:
    """A `forward` that finds errors about batches in those of TorchScript's interpreter."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            return self.forward(*arguments, **keywords)
        except RuntimeError as error:
            _, found, message = str(error).rpartition(_MARK)
            if not found:
                raise
            raise BatchError(_MARK + message.strip()) from None


def wrap_jit_load() -> None:
    """Have torch.jit.load give dynamically batched models their errors (see with_batch_errors).

    AWS's package wraps torch.jit.load as well.
    """
    original = torch.jit.load

    @wraps(original)
    def load(*arguments: Any, **keywords: Any) -> torch.jit.ScriptModule:
        module = original(*arguments, **keywords)
        return with_batch_errors(module) if is_dynamically_batched(module) else module

    torch.jit.load = load


def is_dynamically_batched(module: torch.nn.Module) -> bool:
    """Whether some Neuron model of a module takes any batch size."""
    return any(has_option(model, "dynamic_batch") for model in neuron_models(module))


def has_option(model: NeuronModel, name: str) -> bool:
    """Whether an option of a Neuron model is on."""
    return bool(json.loads(model.options()).get(name))
