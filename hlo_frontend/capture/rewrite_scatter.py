"""Gathers, scatters and bags of rows, written with the ones that torch_xla knows."""

from __future__ import annotations

from typing import Any

import torch

_aten = torch.ops.aten


def gather(
    self: torch.Tensor, dim: int, index: torch.Tensor, *, sparse_grad: bool = False
) -> torch.Tensor:
    """Nothing is gathered by no index, whatever its rank."""
    if index.numel() == 0:
        return self.new_empty(index.shape)
    return _aten.gather.default(self, dim, index)


def index_reduce(
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> torch.Tensor:
    """A scatter whose index is the same for each row."""
    dim %= max(self.ndim, 1)
    if source.numel() == 0:
        return self.clone()
    places = index.reshape(-1, *(1,) * (source.ndim - 1 - dim)).expand(source.shape)
    return self.scatter_reduce(dim, places, source, reduce, include_self=include_self)


def scatter_reduced(
    self: torch.Tensor, dim: int, index: torch.Tensor, src: Any, *, reduce: str
) -> torch.Tensor:
    """`scatter` with the older names of reductions."""
    if not isinstance(src, torch.Tensor):
        src = torch.full(index.shape, src, dtype=self.dtype, device=self.device)
    named = {"add": "sum", "multiply": "prod"}[reduce]
    return self.scatter_reduce(dim, index, src, named)


def embedding_bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sums, means or maxima (`mode` 0, 1, 2) of the rows of each bag; padding does not count."""
    starts = offsets[:-1] if include_last_offset else offsets
    along = torch.arange(indices.shape[0], device=weight.device)
    bags = (along.unsqueeze(1) >= starts.unsqueeze(0)).sum(1) - 1
    counted = indices != padding_idx if padding_idx >= 0 else torch.ones_like(indices) > 0
    members = bags.unsqueeze(0) == torch.arange(len(starts), device=weight.device).unsqueeze(1)
    members = members & counted.unsqueeze(0)
    sizes = members.sum(1)
    rows = weight.index_select(0, indices)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    if mode == 2:
        lowest = torch.full_like(rows, -torch.inf).unsqueeze(0)
        found = torch.where(members.unsqueeze(2), rows.unsqueeze(0), lowest).amax(1)
        made = torch.where(sizes.unsqueeze(1) > 0, found, torch.zeros_like(found))
    else:
        wide = rows.to(torch.float32) if rows.dtype in (torch.bfloat16, torch.float16) else rows
        kept = torch.where(counted.unsqueeze(1), wide, torch.zeros_like(wide))
        total = torch.zeros(len(starts), rows.shape[1], dtype=wide.dtype, device=weight.device)
        made = total.index_add(0, bags, kept)
        if mode == 1:
            made = made / torch.clamp(sizes, min=1).unsqueeze(1)
    return made.to(weight.dtype), bags, sizes, torch.zeros_like(sizes)


def svd(
    A: torch.Tensor,
    full_matrices: bool = False,
    compute_uv: bool = True,
    *,
    driver: str | None = None,
) -> tuple[torch.Tensor, ...]:
    """One matrix after another: torch_xla takes the result of several to be that of one."""
    lead = A.shape[:-2]
    if A.numel() == 0:
        return _svd_of_nothing(A, full_matrices)
    each = A.reshape(-1, *A.shape[-2:]).unbind(0)
    parts = [_aten._linalg_svd.default(matrix, full_matrices, compute_uv) for matrix in each]
    stacked = [torch.stack(part) for part in zip(*parts, strict=True)]
    return tuple(part.reshape(*lead, *part.shape[1:]) for part in stacked)


def _svd_of_nothing(matrix: torch.Tensor, full: bool) -> tuple[torch.Tensor, ...]:
    (*lead, rows, columns), least = matrix.shape, min(matrix.shape[-2:])

    def eye(n: int, m: int) -> torch.Tensor:
        made = torch.eye(n, m, dtype=matrix.dtype, device=matrix.device)
        return made.expand(*lead, n, m).clone()

    left, right = eye(rows, rows if full else least), eye(columns if full else least, columns)
    return left, matrix.new_zeros((*lead, least)), right


def scatter_reduce(
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    src: torch.Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> torch.Tensor:
    """Reductions that leave out what was there, and means, from those that do not."""
    name = "sum" if reduce == "mean" else reduce
    start, ones = self, torch.ones_like(self)
    if not include_self:
        none = torch.zeros_like(self)
        touched = _aten.scatter_reduce.two(none, dim, index, torch.ones_like(src), "sum") > 0
        start = torch.where(touched, torch.full_like(self, _nothing(name, self.dtype)), self)
        ones = torch.where(touched, torch.zeros_like(self), ones)
    made = _aten.scatter_reduce.two(start, dim, index, src, name)
    if reduce != "mean":
        return made
    counts = _aten.scatter_reduce.two(ones, dim, index, torch.ones_like(src), "sum")
    if self.dtype.is_floating_point:
        return made / counts
    return torch.div(made, counts, rounding_mode="floor")


def _nothing(reduce: str, dtype: torch.dtype) -> float:
    """What changes nothing when it is reduced with another number."""
    if reduce in ("sum", "prod"):
        return int(reduce == "prod")
    bounds = (-torch.inf, torch.inf) if dtype.is_floating_point else _bounds(dtype)
    return bounds[reduce == "amin"]


def _bounds(dtype: torch.dtype) -> tuple[int, int]:
    info = torch.iinfo(dtype)
    return info.min, info.max
