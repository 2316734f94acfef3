"""Medians, searches and running extremes, written with sorts, comparisons and gathers."""

from __future__ import annotations

from typing import Any

import torch

Pair = tuple[torch.Tensor, torch.Tensor]


def running_max(x: torch.Tensor, dim: int) -> Pair:
    """Of equal elements the last one counts, and a NaN stays."""
    dim = dim % x.ndim
    if x.numel() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values = _scanned(x, dim)
    hits = values == x
    if x.dtype.is_floating_point:
        hits = torch.where(torch.isnan(values), torch.isnan(x), hits)
    return values, _last(hits, dim)


def _scanned(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Maxima of all elements so far, over twice as many in each step; a NaN stays."""
    step, size = 1, x.shape[dim]
    while step < size:
        later = torch.maximum(x.narrow(dim, step, size - step), x.narrow(dim, 0, size - step))
        x = torch.cat((x.narrow(dim, 0, step), later), dim)
        step *= 2
    return x


def cummin(self: torch.Tensor, dim: int) -> Pair:
    """The running maximum of the operand in reversed order."""
    if self.dtype.is_floating_point:
        values, indices = torch.cummax(-self, dim)
        return -values, indices
    values, indices = torch.cummax(torch.bitwise_not(self), dim)
    return torch.bitwise_not(values), indices


def _last(hits: torch.Tensor, dim: int) -> torch.Tensor:
    """The position of the last hit so far, along a dimension."""
    along = torch.arange(hits.shape[dim], device=hits.device)
    along = along.reshape(-1, *(1,) * (hits.ndim - 1 - dim))
    marked = torch.where(hits, along, torch.zeros_like(along))
    return _scanned(marked, dim)


def median(self: torch.Tensor) -> torch.Tensor:
    """The lower median of all elements, NaN if there is one."""
    return _median_of(self.reshape(-1), 0, False, ignore=False)[0]


def nanmedian(self: torch.Tensor) -> torch.Tensor:
    """The lower median of all elements but NaN."""
    return _median_of(self.reshape(-1), 0, False, ignore=True)[0]


def median_dim(self: torch.Tensor, dim: int, keepdim: bool = False) -> Pair:
    """The lower median along a dimension and its place."""
    return _median_of(self, dim, keepdim, ignore=False)


def nanmedian_dim(self: torch.Tensor, dim: int, keepdim: bool = False) -> Pair:
    """The lower median along a dimension, without NaN, and its place."""
    return _median_of(self, dim, keepdim, ignore=True)


def _median_of(x: torch.Tensor, dim: int, keep: bool, *, ignore: bool) -> Pair:
    if x.numel() == 0:
        return x.sum(dim, keep) * torch.nan, x.sum(dim, keep).to(torch.int64)
    values, order = torch.sort(x, dim=dim, stable=True)
    size = x.shape[dim]
    place = torch.full_like(values.narrow(dim, 0, 1), (size - 1) // 2, dtype=torch.int64)
    if x.dtype.is_floating_point:
        nan = torch.isnan(x).sum(dim, keepdim=True)
        if ignore:
            place = torch.clamp((size - nan - 1) // 2, min=0)
        else:
            place = torch.where(nan > 0, size - nan, place)  # NaN sorts last
    found = values.gather(dim, place), order.gather(dim, place)
    return found if keep else (found[0].squeeze(dim), found[1].squeeze(dim))


def mode(self: torch.Tensor, dim: int = -1, keepdim: bool = False) -> Pair:
    """The most frequent element, the smallest of several, and the place of its last occurrence."""
    x = self.movedim(dim, -1)
    same = x.unsqueeze(-1) == x.unsqueeze(-2)
    counts = same.sum(-1)
    often = counts == counts.amax(-1, keepdim=True)
    order = torch.sort(x, dim=-1, stable=True)[1]
    first = often.gather(-1, order).to(torch.int32).argmax(-1, keepdim=True)
    values = x.gather(-1, order.gather(-1, first))
    along = torch.arange(x.shape[-1], device=x.device)
    indices = torch.where(x == values, along, torch.zeros_like(along)).amax(-1, keepdim=True)
    found = values.movedim(-1, dim), indices.movedim(-1, dim)
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


def searchsorted(
    sorted_sequence: torch.Tensor,
    self: torch.Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: torch.Tensor | None = None,
) -> torch.Tensor:
    """How many elements of the sequence come before a value; NaN comes after all."""
    sequence, right = sorted_sequence, right or side == "right"
    if sorter is not None:
        sequence = sequence.gather(-1, sorter)
    if sequence.ndim > 1:
        sequence, values = sequence.unsqueeze(-2), self.unsqueeze(-1)
    else:
        values = self.unsqueeze(-1)
    kind = torch.promote_types(sequence.dtype, values.dtype)
    sequence, values = sequence.to(kind), values.to(kind)
    before = sequence <= values if right else sequence < values
    if kind.is_floating_point:
        before = before | torch.isnan(values)
    return before.sum(-1).to(torch.int32 if out_int32 else torch.int64)


def searchsorted_scalar(sorted_sequence: torch.Tensor, self: Any, **options: Any) -> torch.Tensor:
    """`searchsorted` of a number."""
    value = torch.full((), self, dtype=sorted_sequence.dtype, device=sorted_sequence.device)
    return searchsorted(sorted_sequence, value, **options)


def bucketize(
    self: torch.Tensor, boundaries: torch.Tensor, *, out_int32: bool = False, right: bool = False
) -> torch.Tensor:
    """`searchsorted` with its operands in the other order."""
    return searchsorted(boundaries, self, out_int32=out_int32, right=right)


def bucketize_scalar(self: Any, boundaries: torch.Tensor, **options: Any) -> torch.Tensor:
    """`bucketize` of a number."""
    return searchsorted_scalar(boundaries, self, **options)


def isin(
    elements: torch.Tensor,
    test_elements: torch.Tensor,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> torch.Tensor:
    """Whether each element is among others."""
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


def randperm(n: int, **options: Any) -> torch.Tensor:
    """The order of random numbers."""
    dtype = options.pop("dtype", None) or torch.int64
    return torch.argsort(torch.rand(n, **options)).to(dtype)
