"""Elementwise operators and small sums of products, written with simpler ones."""

from __future__ import annotations

import math
from typing import Any

import torch


def copysign(self: torch.Tensor, other: Any) -> torch.Tensor:
    """The magnitude of one operand with the sign of the other; zero has a sign too."""
    kind = torch.result_type(self, other)
    kind = kind if kind.is_floating_point else torch.get_default_dtype()
    size = self.to(kind).abs()
    if not isinstance(other, torch.Tensor):
        other = torch.full((), other, dtype=kind, device=self.device)
    sign = other.to(kind)
    negative = (sign < 0) | ((sign == 0) & (1 / sign < 0))
    return torch.where(negative, -size, size)


def fmin(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The smaller of two numbers, of which a NaN is none."""
    return _without_nan(torch.minimum, self, other)


def fmax(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The larger of two numbers, of which a NaN is none."""
    return _without_nan(torch.maximum, self, other)


def _without_nan(extreme: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    kind = torch.result_type(x, y)
    x, y = x.to(kind), y.to(kind)
    if not kind.is_floating_point:
        return extreme(x, y)
    return torch.where(torch.isnan(x), y, torch.where(torch.isnan(y), x, extreme(x, y)))


def exp2(self: torch.Tensor) -> torch.Tensor:
    """Powers of two."""
    return torch.pow(2.0, self)


def logaddexp(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The logarithm of a sum, from logarithms; equal infinities stay as they are."""
    larger = torch.maximum(self, other)
    apart = (self - other).abs()
    made = larger + torch.log1p(torch.exp(-apart))
    return torch.where((self == other) & torch.isinf(self), self, made)


def logaddexp2(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`logaddexp` to the base of two."""
    larger = torch.maximum(self, other)
    apart = (self - other).abs()
    made = larger + torch.log1p(torch.pow(2.0, -apart)) * 1.4426950408889634
    return torch.where((self == other) & torch.isinf(self), self, made)


def aminmax(
    self: torch.Tensor, *, dim: int | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest and the largest element."""
    dims = list(range(self.ndim)) if dim is None else [dim]
    return torch.amin(self, dims, keepdim), torch.amax(self, dims, keepdim)


def addbmm(
    self: torch.Tensor,
    batch1: torch.Tensor,
    batch2: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> torch.Tensor:
    """A matrix plus the sum of products of matrices."""
    products = torch.bmm(batch1, batch2).sum(0)
    if not self.dtype.is_floating_point:
        beta, alpha = int(beta), int(alpha)
    products = products if alpha == 1 else products * alpha
    return products if beta == 0 else (self if beta == 1 else self * beta) + products


def signbit(self: torch.Tensor) -> torch.Tensor:
    """Whether a number is negative, or a zero with a sign."""
    if not self.dtype.is_floating_point:
        return self < 0
    return (self < 0) | ((self == 0) & (1 / self < 0))


def angle(self: torch.Tensor) -> torch.Tensor:
    """The angle of a real number: zero, or pi where it is negative."""
    if self.dtype.is_complex:
        return torch.atan2(torch.imag(self), torch.real(self))
    kind = self.dtype if self.dtype.is_floating_point else torch.get_default_dtype()
    real = self.to(kind)
    made = torch.where(real < 0, torch.full_like(real, math.pi), torch.zeros_like(real))
    return torch.where(torch.isnan(real), real, made)


def hypot(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The hypotenuse, without overflow on the way."""
    kind = torch.result_type(self, other)
    x, y = self.to(kind).abs(), other.to(kind).abs()
    longer, shorter = torch.maximum(x, y), torch.minimum(x, y)
    ratio = torch.where(longer == 0, torch.zeros_like(longer), shorter / longer)
    made = longer * torch.sqrt(1 + ratio * ratio)
    return torch.where(torch.isinf(x) | torch.isinf(y), torch.full_like(made, math.inf), made)


def batch_norm_with_update(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, ...]:
    """Batch normalization in training, with what a backward pass would need left empty."""
    functional = torch.ops.aten._native_batch_norm_legit_functional.default
    out, mean, deviation, *running = functional(
        input, weight, bias, running_mean, running_var, True, momentum, eps
    )
    reserve = torch.empty(0, dtype=torch.uint8, device=input.device)
    return out, mean, deviation, reserve, *running
