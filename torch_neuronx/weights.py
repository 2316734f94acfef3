"""`torch_neuronx.replace_weights`: new values for a trace whose weights are outside its NEFF."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch


def replace_weights(
    neuron_model: torch.jit.ScriptModule, weights: torch.nn.Module | Mapping[str, torch.Tensor]
) -> None:
    """Give a model traced with `inline_weights_to_neff=False` the weights of a module or state
    dict, in place.

    The names are those of the traced module. Warns, and does nothing, where the weights are in the
    NEFF. Raises KeyError for a weight that is missing, ValueError for one of another shape or type.
    Source: AWS Neuron documentation, PyTorch Neuron weight replacement API.
    """
    separated = getattr(neuron_model, "weights", None)
    if not isinstance(separated, torch.nn.Module):
        warnings.warn(
            "torch_neuronx.replace_weights: the model's weights are in its NEFF and stay as they "
            "are; trace it with inline_weights_to_neff=False",
            stacklevel=2,
        )
        return
    given = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
    wanted = {name.replace("->", "."): p for name, p in separated.named_parameters()}
    if missing := wanted.keys() - given.keys():
        raise KeyError(f"torch_neuronx.replace_weights: no weight for {', '.join(sorted(missing))}")
    for name, parameter in wanted.items():  # all are right before any is changed
        new = given[name]
        if new.shape != parameter.shape or new.dtype != parameter.dtype:
            raise ValueError(
                f"torch_neuronx.replace_weights: {name} must be {parameter.dtype} "
                f"{list(parameter.shape)}, got {new.dtype} {list(new.shape)}"
            )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])
