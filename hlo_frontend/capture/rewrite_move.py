"""Views and copies of parts of tensors, written with the positions that they take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def constant(data: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Known positions or masks, beside the tensor that they are used with."""
    flat = torch.tensor(data.reshape(-1).tolist(), dtype=_DTYPES[data.dtype.kind])
    return flat.to(like.device).reshape(data.shape)


_DTYPES = {"b": torch.bool, "i": torch.int64, "f": torch.float32}


def unfold(self: torch.Tensor, dim: int, size: int, step: int) -> torch.Tensor:
    """Windows along a dimension, last in the result."""
    if self.ndim == 0:
        return self.reshape(1)[:size].clone()
    dim %= self.ndim
    count = (self.shape[dim] - size) // step + 1
    starts = torch.arange(count, device=self.device) * step
    places = starts[:, None] + torch.arange(size, device=self.device)
    taken = self.index_select(dim, places.reshape(-1)).unflatten(dim, (count, size))
    return taken.movedim(dim + 1, -1)


def diagonal(self: torch.Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> torch.Tensor:
    """The diagonal of two dimensions, last in the result."""
    moved = self.movedim((dim1, dim2), (-2, -1))
    rows, columns = moved.shape[-2:]
    count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    flat = moved.reshape(*moved.shape[:-2], rows * columns)
    return flat.index_select(-1, _along(count, columns, offset, self))


def diagonal_scatter(
    self: torch.Tensor, src: torch.Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> torch.Tensor:
    """The tensor with other values on the diagonal of two dimensions."""
    dim1, dim2 = dim1 % self.ndim, dim2 % self.ndim
    moved = self.movedim((dim1, dim2), (-2, -1))
    rows, columns = moved.shape[-2:]
    places = _along(src.shape[-1], columns, offset, self)
    flat = moved.reshape(*moved.shape[:-2], rows * columns)
    made = flat.index_copy(-1, places, src.to(self.dtype))
    return made.reshape(moved.shape).movedim((-2, -1), (dim1, dim2))


def _along(count: int, columns: int, offset: int, like: torch.Tensor) -> torch.Tensor:
    """The places of a diagonal among the elements of a matrix, row by row."""
    along = torch.arange(count, device=like.device)
    return (along + max(-offset, 0)) * columns + along + max(offset, 0)


def as_strided(
    self: torch.Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> torch.Tensor:
    """The elements at the places that strides give in a row-major tensor."""
    places = _strided(size, stride, storage_offset or 0)
    return self.reshape(-1).index_select(0, constant(places.reshape(-1), self)).reshape(*size)


def as_strided_scatter(
    self: torch.Tensor,
    src: torch.Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> torch.Tensor:
    """A row-major tensor with other elements at these places; where they meet, the last stays."""
    places = _strided(size, stride, storage_offset or 0).reshape(-1)
    if not places.size:
        return self.clone()
    source = np.full(self.numel(), -1, np.int64)
    source[places] = np.arange(places.size)
    taken = src.reshape(-1).to(self.dtype).index_select(0, constant(np.maximum(source, 0), self))
    flat = torch.where(constant(source >= 0, self), taken, self.reshape(-1))
    return flat.reshape(self.shape)


def _strided(size: Sequence[int], stride: Sequence[int], offset: int) -> np.ndarray:
    places = np.full(tuple(size), offset, np.int64)
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        shape = [-1 if i == axis else 1 for i in range(len(size))]
        places = places + (np.arange(count) * step).reshape(shape)
    return places


def tensor_split(
    self: torch.Tensor, tensor_indices_or_sections: torch.Tensor, dim: int = 0
) -> list[torch.Tensor]:
    """The parts between known places."""
    known = tensor_indices_or_sections.tolist()
    return list(torch.tensor_split(self, known, dim))


def embedding_renorm(
    self: torch.Tensor, indices: torch.Tensor, max_norm: float, norm_type: float
) -> torch.Tensor:
    """The table with the rows that are looked up scaled to a norm not above a bound."""
    norms = torch.linalg.vector_norm(self, norm_type, -1, keepdim=True)
    scaled = torch.where(norms > max_norm, self * (max_norm / (norms + 1e-7)), self)
    used = torch.zeros(len(self), 1, dtype=torch.bool, device=self.device)
    used = used.index_fill(0, indices.reshape(-1), True)
    return torch.where(used, scaled, self)
