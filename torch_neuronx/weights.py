"""`torch_neuronx.replace_weights`: new values for a trace whose weights are outside its NEFF."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import torch


def replace_weights(
    neuron_model: torch.jit.ScriptModule, weights: torch.nn.Module | Mapping[str, torch.Tensor]
) -> None:
    """Give a model traced with `inline_weights_to_neff=False` the weights of a module or state
    dict, in place.

    The names are those of the traced module; those that the trace does not use are passed over. A
    state dict may lack some (it never holds buffers that are not persistent): they stay as they
    are, with a warning. Warns, and does nothing, where the model's weights are in its NEFF.

    Raises KeyError for a weight that a module lacks or where a state dict has none of them,
    ValueError for one of another shape or type; then none is replaced.
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
    given = dict(_named_tensors(weights)) if isinstance(weights, torch.nn.Module) else weights
    held = {name.replace("->", "."): tensor for name, tensor in separated.named_parameters()}
    replaced = {name: tensor for name, tensor in held.items() if name in given}
    if missing := sorted(held.keys() - replaced.keys()):
        message = f"torch_neuronx.replace_weights: no weight for {', '.join(missing)}"
        if not replaced or isinstance(weights, torch.nn.Module):
            raise KeyError(message)
        warnings.warn(f"{message}: the model keeps its own", stacklevel=2)
    for name, tensor in replaced.items():  # all are right before any is changed
        new = given[name]
        if new.shape != tensor.shape or new.dtype != tensor.dtype:
            raise ValueError(
                f"torch_neuronx.replace_weights: {name} must be {tensor.dtype} "
                f"{list(tensor.shape)}, got {new.dtype} {list(new.shape)}"
            )
    with torch.no_grad():
        for name, tensor in replaced.items():
            tensor.copy_(given[name])


def _named_tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight under all its names, those that no state dict holds as well."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)
