"""Distances between the rows of matrices, written with differences and norms."""

from __future__ import annotations

import torch


def cdist(x1: torch.Tensor, x2: torch.Tensor, p: float, compute_mode: int | None) -> torch.Tensor:
    """The distances between rows of two matrices, or of several."""
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    return _norm(difference, p)


def pdist(self: torch.Tensor, p: float = 2.0) -> torch.Tensor:
    """The distances between the rows of a matrix, each pair once."""
    rows, columns = torch.triu_indices(len(self), len(self), 1, device=self.device)
    return _norm(self.index_select(0, rows) - self.index_select(0, columns), p)


def _norm(difference: torch.Tensor, p: float) -> torch.Tensor:
    size = difference.abs()
    if difference.shape[-1] == 0:
        return size.sum(-1)
    if p == 0:
        return (size != 0).to(size.dtype).sum(-1)
    if p == float("inf"):
        return size.amax(-1)
    if p == 1:
        return size.sum(-1)
    if p == 2:
        return torch.sqrt((size * size).sum(-1))
    return torch.pow(torch.pow(size, p).sum(-1), 1 / p)
