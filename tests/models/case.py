"""What a model of the zoo is: how it is made, how its inputs are drawn, what is expected of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Inputs = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A callable, a function that draws new inputs for it, and the states it keeps."""

    func: nn.Module
    draw: Callable[[], Inputs]
    aliases: Mapping[torch.Tensor, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One architecture. `refused` is part of the message with which it is rightly refused."""

    group: str
    family: str
    name: str
    make: Callable[[], Made]
    refused: str | None = None


class Called(nn.Module):
    """A model whose inputs are given by position: `names` says which keyword each of them is.

    Keywords in `fixed` have one value in every call. With `take`, only these outputs are returned.
    """

    def __init__(
        self,
        model: nn.Module,
        names: Sequence[str],
        fixed: Mapping[str, Any] | None = None,
        take: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.model, self.names, self.fixed, self.take = model, names, dict(fixed or {}), take

    def forward(self, *inputs: torch.Tensor) -> Any:
        result = self.model(**dict(zip(self.names, inputs, strict=True)), **self.fixed)
        return tuple(getattr(result, name) for name in self.take) if self.take else result


def ids(vocabulary: int, *shape: int) -> torch.Tensor:
    """Tokens, none of them 0, which many vocabularies use for padding."""
    return torch.randint(1, vocabulary, shape)


def padded(batch: int, length: int) -> torch.Tensor:
    """An attention mask in which every row but the first ends in padding."""
    mask = torch.ones(batch, length, dtype=torch.int64)
    for row in range(1, batch):
        mask[row, length - length // 4 :] = 0
    return mask


@torch.no_grad()
def settle(model: nn.Module) -> nn.Module:
    """Evaluation mode, and weights that let every layer be seen in the result.

    Fresh models have layers that do nothing: zero scales and biases, statistics of 0 and 1; and
    convolutions so small that after some of them nothing of the input is left.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        if parameter.is_floating_point() and parameter.ndim > 2 and len(parameter) > 1:
            wanted = (2 / parameter[0].numel()) ** 0.5
            if parameter.std() < wanted / 2:
                parameter.mul_(wanted / parameter.std())
    for module in model.modules():
        mean, variance = (getattr(module, n, None) for n in ("running_mean", "running_var"))
        if isinstance(mean, torch.Tensor) and isinstance(variance, torch.Tensor):
            mean.normal_(0, 0.1)
            variance.uniform_(0.8, 1.2)
            weight = getattr(module, "weight", None)
            if isinstance(weight, torch.Tensor) and weight.abs().mean() < 0.5:
                weight.uniform_(0.8, 1.2)
    return model.eval()


def calibrated(model: nn.Module, side: int) -> nn.Module:
    """Statistics of batch normalization as 32 random images have them: without, some deep models
    amplify a last bit of a weight to the size of the result."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average, whatever came before
        norm.train()
    with torch.no_grad():
        model(torch.rand(32, 3, side, side))
    return model.eval()
