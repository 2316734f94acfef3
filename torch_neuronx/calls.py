"""How a traced model is loaded and called: dynamic batching, lazy and background loading."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from torch_neuronx.models import neuron_models


class BatchError(ValueError, RuntimeError):
    """The inputs of a dynamically batched model do not fit it: the message names which and why."""


def dynamic_batch(neuron_script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Let a traced model take any batch size: dimension 0 of all its inputs and outputs.

    A batch is split, and padded with zeros, into parts of the size that was traced, which run on
    all the NeuronCores the model is on. Works in place, returns its argument, and is saved with it.

    Raises ValueError where the traced tensors do not share their dimension 0; the model's calls
    raise it where an input differs from the traced one in another dimension, or inputs from each
    other in dimension 0.
    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference.
    """
    _set_option(neuron_script, "dynamic_batch", True)
    return with_batch_errors(neuron_script)


def set_dynamic_batching(trace: torch.jit.ScriptModule, enable: bool) -> None:
    """Allow or forbid other batch sizes than the traced one."""
    _set_option(trace, "dynamic_batch", enable)


def lazy_load(trace: torch.jit.ScriptModule, enable_lazy_load: bool = True) -> None:
    """Have a saved trace load its model at the first call rather than at torch.jit.load."""
    _set_option(trace, "lazy_load", enable_lazy_load)


def async_load(trace: torch.jit.ScriptModule, enable_async_load: bool = True) -> None:
    """Have a saved trace load its model in the background: torch.jit.load returns at once, and the
    first call waits."""
    _set_option(trace, "async_load", enable_async_load)


def _set_option(trace: torch.jit.ScriptModule, name: str, value: bool) -> None:
    models = neuron_models(trace)
    if not models:
        raise ValueError(f"torch_neuronx.{name}: the module must come from torch_neuronx.trace")
    for model in models:
        model.set_options(json.dumps({**json.loads(model.options()), name: value}))


def with_batch_errors(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Have a dynamically batched module's calls raise what TorchScript's interpreter, which makes
    every error a RuntimeError, would hide."""
    module.forward = _unwrapping(module.forward)
    return module


def _unwrapping(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            return forward(*arguments, **keywords)
        except RuntimeError as error:
            _, found, message = str(error).rpartition(_MARK)
            if not found:
                raise
            raise BatchError(_MARK + message.strip()) from None

    return call


_MARK = "dynamic batching: "


def wrap_jit_load() -> None:
    """Have torch.jit.load give dynamically batched models their errors (see with_batch_errors).

    AWS's package wraps torch.jit.load as well.
    """
    original = torch.jit.load

    @wraps(original)
    def load(*arguments: Any, **keywords: Any) -> torch.jit.ScriptModule:
        module = original(*arguments, **keywords)
        options = (json.loads(model.options()) for model in neuron_models(module))
        return with_batch_errors(module) if any("dynamic_batch" in o for o in options) else module

    torch.jit.load = load
