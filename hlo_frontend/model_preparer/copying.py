"""Independent modules for a module that is called more than once."""

from __future__ import annotations

import copy

import torch


def independent_copy(module: torch.nn.Module) -> torch.nn.Module:
    """A module of its own, with hooks and settings of its own, that shares the original's tensors.

    Were the parameters copied, training would take a model with one weight apart into one with
    two; with shared buffers the statistics of a normalization are those of all its calls.
    """
    tensors = (value for part in module.modules() for value in _tensors(part))
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    held = (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
    return [value for value in held if isinstance(value, torch.Tensor)]
