"""Tensors in nested lists, tuples and dicts: the arguments and results of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def mapped(function: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """A nested value with `function` applied to every tensor in it."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if type(value) in (tuple, list):
        return type(value)(mapped(function, v) for v in value)
    if type(value) is dict:
        return {k: mapped(function, v) for k, v in value.items()}
    return value


def tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in a nested value, depth first."""
    found: list[torch.Tensor] = []
    mapped(found.append, value)
    return found
