"""What mixtures of experts are made of: counts of the tokens of each, products by group."""

from __future__ import annotations

import torch


def histc(self: torch.Tensor, bins: int = 100, min: float = 0, max: float = 0) -> torch.Tensor:
    """How many elements lie in each of `bins` equal parts of a range; the last holds its end.

    What lies outside, and NaN, is not counted. An empty range is that of the elements.
    """
    values = self.reshape(-1)
    low, high = _range(values, min, max)
    inside = (values >= low) & (values <= high)
    place = ((values - low) * bins / (high - low)).to(torch.int64).clamp(max=bins - 1)
    place = torch.where(inside, place, torch.full_like(place, bins))
    count = torch.zeros(bins + 1, dtype=self.dtype, device=self.device)
    return count.index_add(0, place, torch.ones_like(values))[:bins]


def _range(
    values: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor | float, torch.Tensor | float]:
    if low != high:
        return low, high
    if not values.numel():
        return low - 1, high + 1
    least, most = values.min(), values.max()
    return torch.where(least == most, least - 1, least), torch.where(least == most, most + 1, most)


def grouped_mm(
    self: torch.Tensor,
    mat2: torch.Tensor,
    offs: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Products of the parts that `offs` ends, each with its own matrix.

    `[rows, k] x [groups, k, n]` has groups of rows, `[groups, m, k] x [k, columns]` of columns and
    `[m, k] x [k, n]` of what is summed over, with a matrix for each in the result.
    """
    if self.ndim == mat2.ndim == 3:
        made = torch.bmm(self, mat2)
    elif mat2.ndim == 3:
        made = _by_rows(self, mat2, _ends(offs))
    elif self.ndim == 3:
        made = _by_rows(mat2.mT, self.mT, _ends(offs)).mT
    else:
        member = _members(_ends(offs), self.shape[1])[:, None, :]
        made = torch.matmul(torch.where(member, self, torch.zeros_like(self)), mat2)
    return made.to(out_dtype or self.dtype) if bias is None else made + bias


def _ends(offs: torch.Tensor | None) -> torch.Tensor:
    assert offs is not None  # PyTorch has checked that it is given with a two-dimensional operand
    return offs


def _by_rows(rows: torch.Tensor, matrices: torch.Tensor, offs: torch.Tensor) -> torch.Tensor:
    """Rows beyond the last group, which PyTorch leaves as they are in memory, are zero."""
    member = _members(offs, rows.shape[0])
    if rows.shape[0] < matrices.shape[0]:  # a matrix for each row is less than all of them
        group = member.to(torch.int64).argmax(0)
        made = torch.matmul(rows[:, None], matrices.index_select(0, group))[:, 0]
        return torch.where(member.any(0)[:, None], made, torch.zeros_like(made))
    made = torch.matmul(rows, matrices)
    return torch.where(member[:, :, None], made, torch.zeros_like(made)).sum(0)


def _members(offs: torch.Tensor, count: int) -> torch.Tensor:
    """pred[groups, count]: which places a group has."""
    place = torch.arange(count, device=offs.device)
    starts = torch.nn.functional.pad(offs, (1, 0))[:-1]
    return (place >= starts[:, None]) & (place < offs[:, None])
