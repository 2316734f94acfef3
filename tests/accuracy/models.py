"""Small models with a layer that casts spoil, and how to make them from a command line."""

from __future__ import annotations

import torch
from torch import nn


class Cancel(nn.Module):
    """Adds much and takes it away again: what is left has lost its low bits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = x + 300.0
        return large - 300.0  # the line a report must name


CANCEL_LINE = Cancel.forward.__code__.co_firstlineno + 2


def perceptron(*middle: nn.Module) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layers = (nn.Linear(16, 32), nn.ReLU(), *middle, nn.Linear(32, 8))
    return nn.Sequential(*layers).eval(), torch.randn(4, 16)


def spoiled() -> tuple[nn.Module, torch.Tensor]:
    return perceptron(Cancel())


def plain() -> nn.Module:
    return perceptron()[0]


def plain_inputs() -> torch.Tensor:
    return perceptron()[1]


class Differences(nn.Linear):
    """Its rows sum to nothing, so that the offset drops out again: but not where it is rounded."""

    def __init__(self, features: int) -> None:
        super().__init__(features, features)
        with torch.no_grad():
            self.weight -= self.weight.mean(1, keepdim=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + 100.0)


class Attention(nn.Module):
    """One block of a transformer."""

    def __init__(self, value: nn.Module) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(16, 16), nn.Linear(16, 16)
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        return scores.softmax(-1) @ self.value(x)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        values = (nn.Linear(16, 16), Differences(16), nn.Linear(16, 16))
        self.blocks = nn.ModuleList([Attention(value) for value in values])
        self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in values])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = norm(x + block(x))
        return x


def transformer() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(1)
    return Transformer().eval(), torch.randn(2, 8, 16)


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.cancel = Cancel()
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.cancel(torch.relu(self.norm(self.first(x))))).mean((2, 3))


def convolutional() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(2)
    return Convolutional().eval(), torch.randn(1, 3, 8, 8)


NOT_A_MODEL = 3
