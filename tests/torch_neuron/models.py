"""Small models for the tests, and what is seen of a traced one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Net(nn.Module):
    """All of it is supported."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 4)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))).softmax(-1)

    def twice(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(self.first(x))


class Cut(nn.Module):
    """Three parts that are supported, and `cumsum`, which is not, between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:2]:
            x = torch.cumsum(torch.tanh(layer(x)), -1)
        return torch.tanh(self.layers[2](x))


def operators(traced: torch.jit.ScriptModule) -> list[str]:
    """The kinds of the operators of a traced model, in order."""
    kinds = [node.kind() for node in traced.inlined_graph.nodes()]
    return [kind for kind in kinds if not kind.startswith("prim::")]


def segments(traced: torch.jit.ScriptModule) -> list[str]:
    """The names of the compiled segments."""
    return [name for name, _ in traced.named_children() if name.startswith("_NeuronGraph#")]


def assert_close(actual: Any, expected: Any) -> None:
    """Within what bf16 leaves of f32."""
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(actual, expected.detach(), rtol=0.02, atol=0.02)
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        assert_close(list(actual.values()), list(expected.values()))
    else:
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e)
