"""Pooling over windows that torch_xla does not know: adaptive, dilated, with unequal divisors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from hlo_frontend.capture.rewrite_move import constant

Pair = tuple[torch.Tensor, torch.Tensor]
_MAX_POOLS = {
    2: torch.ops.aten.max_pool2d_with_indices.default,
    3: torch.ops.aten.max_pool3d_with_indices.default,
}


def adaptive_avg_pool(self: torch.Tensor, output_size: Sequence[int]) -> torch.Tensor:
    """Means over windows that cover each dimension evenly, one dimension after another."""
    made = self.to(torch.float32) if self.dtype in (torch.bfloat16, torch.float16) else self
    for number, out in enumerate(output_size):
        dim = self.ndim - len(output_size) + number
        size = self.shape[dim]
        if out and size % out == 0:
            made = made.unflatten(dim, (out, size // out)).mean(dim + 1) if size != out else made
            continue
        places, valid = _adaptive(size, out)
        taken = made.index_select(dim, constant(places.reshape(-1), self))
        taken = taken.unflatten(dim, places.shape)
        tail = (1,) * (made.ndim - dim - 1)
        inside = constant(valid, self).reshape(*valid.shape, *tail)
        lengths = constant(valid.sum(1).astype(np.float32), self).reshape(-1, *tail)
        total = torch.where(inside, taken, torch.zeros_like(taken)).sum(dim + 1)
        made = total / lengths.to(total.dtype)
    return made.to(self.dtype)


def adaptive_max_pool(self: torch.Tensor, output_size: Sequence[int]) -> Pair:
    """Maxima over windows that cover each dimension evenly, and their places."""
    sizes = self.shape[-len(output_size) :]
    if all(out and size % out == 0 for size, out in zip(sizes, output_size, strict=True)):
        kernel = [size // out for size, out in zip(sizes, output_size, strict=True)]
        return _MAX_POOLS[len(kernel)](self, kernel, kernel)
    spans = [_adaptive(size, out) for size, out in zip(sizes, output_size, strict=True)]
    return _max_over(self, spans)


def max_pool(
    self: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Pair:
    """Maxima over windows, which may be dilated, and their places."""
    spans = _spans(self, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_over(self, spans)


def avg_pool(
    self: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> torch.Tensor:
    """Sums over windows by what PyTorch divides them by; integers round to zero."""
    rank = len(kernel_size)
    spans = _spans(self, kernel_size, stride, padding, (1,), ceil_mode)
    half = self.dtype in (torch.bfloat16, torch.float16)
    total = self.to(torch.float32) if half else self
    for number, (places, valid) in enumerate(spans):
        dim = self.ndim - rank + number
        taken = total.index_select(dim, constant(places.reshape(-1), self))
        taken = taken.unflatten(dim, places.shape)
        inside = constant(valid, self).reshape(*valid.shape, *(1,) * (self.ndim - dim - 1))
        total = torch.where(inside, taken, torch.zeros_like(taken)).sum(dim + 1)
    if divisor_override is not None:
        return _divided(total, divisor_override).to(self.dtype)
    counts = [
        _counted(valid, self.shape[self.ndim - rank + n], _at(kernel_size, n), _at(padding, n),
                 _at(stride or kernel_size, n), count_include_pad)
        for n, (_, valid) in enumerate(spans)
    ]  # fmt: skip
    divisor = counts[0]
    for count in counts[1:]:
        divisor = divisor[..., None] * count
    return _divided(total, constant(divisor, self)).to(self.dtype)


def _divided(total: torch.Tensor, divisor: torch.Tensor | int) -> torch.Tensor:
    if total.dtype.is_floating_point:
        return total / divisor
    return torch.div(total, divisor, rounding_mode="trunc")


def _counted(
    valid: np.ndarray, size: int, kernel: int, padding: int, stride: int, padded: bool
) -> np.ndarray:
    """What a window's sum is divided by: its elements, those in the padding with them or not."""
    if not padded:
        return valid.sum(1)
    starts = np.arange(len(valid)) * stride - padding
    return np.minimum(starts + kernel, size + padding) - starts


def _spans(
    x: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each pooled dimension the positions of each window, and which lie in the tensor."""
    rank = len(kernel)
    sizes = x.shape[-rank:]
    return [
        _span(size, k, _at(stride or kernel, n), _at(padding, n), _at(dilation, n), ceil_mode)
        for n, (size, k) in enumerate(zip(sizes, kernel, strict=True))
    ]


def _at(values: Sequence[int], number: int) -> int:
    return values[number] if len(values) > 1 else values[0]


def _span(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (math.ceil(reach / stride) if ceil_mode else reach // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1  # the last window would start in the padding
    starts = np.arange(count)[:, None] * stride - padding
    places = starts + np.arange(kernel) * dilation
    valid = (places >= 0) & (places < size)
    return np.clip(places, 0, max(size - 1, 0)), valid


def _adaptive(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of each window of adaptive pooling, and which of them it has."""
    starts = [i * size // out for i in range(out)]
    ends = [-(-(i + 1) * size // out) for i in range(out)]
    longest = max((e - s for s, e in zip(starts, ends, strict=True)), default=0)
    places = np.array(starts, np.int64)[:, None] + np.arange(longest)
    valid = places < np.array(ends, np.int64)[:, None]
    return np.minimum(places, max(size - 1, 0)), valid


def _max_over(x: torch.Tensor, spans: list[tuple[np.ndarray, np.ndarray]]) -> Pair:
    """The maximum, the first of several, of each combination of windows, and its flat place."""
    sizes, outs = x.shape[-len(spans) :], [len(places) for places, _ in spans]
    flat, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for size, (places, valid) in zip(sizes, spans, strict=True):
        flat = _crossed(flat * size, places, np.add)
        inside = _crossed(inside, valid, np.logical_and)
    lead = x.shape[: -len(spans)]
    taken = x.reshape(*lead, math.prod(sizes)).index_select(-1, constant(flat.reshape(-1), x))
    taken = taken.reshape(*lead, *flat.shape)
    kept = constant(inside, x)
    lowest = -math.inf if x.dtype.is_floating_point else torch.iinfo(x.dtype).min
    masked = torch.where(kept, taken, torch.full_like(taken, lowest))
    values, chosen = masked.max(-1)
    table = constant(flat, x).expand(*lead, *flat.shape)
    indices = table.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    return values.reshape(*lead, *outs), indices.reshape(*lead, *outs)


def _crossed(rows: np.ndarray, others: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """[a, k] and [b, l] combined to [a * b, k * l]."""
    made = combine(rows[:, None, :, None], others[None, :, None, :])
    return made.reshape(len(rows) * len(others), -1)
