"""What a node calls its function with, and what is to be called in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx.node import Node, map_arg


class Keep(Exception):
    """A function of the table that stays a function, and why."""


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a node; `tensor_of` gives the tensor of the model that one reads, if any."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensor_of: Callable[[Node], torch.Tensor | None]

    def named(self, *names: str) -> Call:
        """The same with every argument under its name; those without one (`""`) are left out."""
        given = dict(zip(names, self.args, strict=False)) | self.kwargs
        given.pop("cudnn_enabled", None)
        return Call((), {k: v for k, v in given.items() if k}, self.tensor_of)

    def parameter(self, value: object) -> torch.nn.Parameter | None:
        """The model's parameter that this argument reads."""
        tensor = self.tensor_of(value) if isinstance(value, Node) else None
        return tensor if isinstance(tensor, torch.nn.Parameter) else None


@dataclass(frozen=True, slots=True)
class Replacement:
    """A module and what it is called with in the place of a function.

    The module takes the mode of the model, unless the call itself says whether it trains.
    """

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    training: bool | None = None


def is_static(value: Any) -> bool:
    """Whether an argument, with all that is nested in it, is known before the model runs."""
    nodes: list[Node] = []
    map_arg(value, nodes.append)
    return not nodes


def require_static(settings: dict[str, Any]) -> None:
    """Raise Keep where a setting is computed by the model."""
    for name, value in settings.items():
        if not is_static(value):
            raise Keep(f"its {name} is computed")
