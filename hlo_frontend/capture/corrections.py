"""Operators that torch_xla lowers to something else than PyTorch computes: rewritten or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hlo_frontend.capture.session import Session

_aten = torch.ops.aten
Rule = Callable[[Session, Any, tuple[Any, ...], dict[str, Any]], Any]
_SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)


def _named(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _accumulate(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Sums of integers are int64, also of booleans, which torch_xla adds as bytes."""
    source, dtype = args[0], kwargs.get("dtype")
    if not (source.dtype.is_floating_point or source.dtype.is_complex or dtype):
        source = source.to(torch.int64)
    if source.numel() == 0:  # XLA has no windows over nothing
        return source.to(dtype or source.dtype, copy=True)
    return func(source, *args[1:], **kwargs)


def _upsample(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch_xla takes the ratio of the sizes for the scale: the same where they divide."""
    named = _named(func, args, kwargs)
    sizes = args[0].shape[2:]
    given = [v for k, v in named.items() if k.startswith("scales")] or [named.get("scale_factors")]
    scales = given[0] if isinstance(given[0], list | tuple) else given
    for size, scale in zip(sizes, scales or (), strict=False):
        if scale is not None and not named.get("align_corners") and not (size * scale).is_integer():
            raise session.refusal(
                f"aten::{func._schema.name.removeprefix('aten::')}",
                f"by a scale of {scale} on a size of {size} would be computed with another scale",
                "give size=, or recompute_scale_factor=True",
            )
    return func(*args, **kwargs)


def _shift_right(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch_xla divides, which rounds to zero: drop the bits first, and the division is exact."""
    source, count = args
    if source.dtype in _SIGNED and isinstance(count, int):
        source = source - torch.bitwise_and(source, 2**count - 1)
    return func(source, count, **kwargs)


def _divide(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Integers are divided in f64, where torch_xla takes f32: exact up to 2**53."""
    mode = kwargs.get("rounding_mode", "floor" if "floor_divide" in func._schema.name else None)
    kind = torch.result_type(args[0], args[1])
    if mode == "floor" and kind.is_floating_point:
        return _floor_divided(*args[:2])
    if mode is None or kind.is_floating_point or kind is torch.bool:
        return func(*args, **kwargs)
    x, y = (v.double() if isinstance(v, torch.Tensor) else float(v) for v in args[:2])
    quotient = torch.true_divide(x, y)
    return (torch.floor(quotient) if mode == "floor" else torch.trunc(quotient)).to(kind)


def _floor_divided(x: Any, y: Any) -> torch.Tensor:
    """From the exact remainder, as PyTorch does: a quotient may round up to the next integer."""
    x, y = (
        v if isinstance(v, torch.Tensor) else torch.full_like(o, v) for v, o in ((x, y), (y, x))
    )
    rest = torch.fmod(x, y)
    quotient = (x - rest) / y
    quotient = torch.where((rest != 0) & ((y < 0) != (rest < 0)), quotient - 1, quotient)
    floor = torch.floor(quotient)
    floor = torch.where(quotient - floor > 0.5, floor + 1, floor)
    whole = torch.where(quotient != 0, floor, torch.zeros_like(floor) * torch.sign(x / y))
    return torch.where(y == 0, x / y, whole)


def _arg_extreme(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The index of the first NaN where there is one: torch_xla passes over them."""
    found = func(*args, **kwargs)
    named = _named(func, args, kwargs)
    source, dim, keep = named["self"], named.get("dim"), named.get("keepdim", False)
    if not source.dtype.is_floating_point:
        return found
    nan = torch.isnan(source)
    first = torch.argmax(nan.to(torch.int32), dim, keep)
    some = nan.any() if dim is None else nan.any(dim, keep)
    if isinstance(found, tuple | list):
        return type(found)((found[0], torch.where(some, first, found[1])))
    return torch.where(some, first, found)


def _count(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A count is int64; torch_xla says that it has the type of what is counted."""
    return func(*args, **kwargs).to(torch.int64)


CORRECTIONS: dict[Any, Rule] = {
    _aten.cumsum.default: _accumulate,
    _aten.cumprod.default: _accumulate,
    **dict.fromkeys(
        (
            *(_aten.upsample_nearest2d.default, _aten.upsample_nearest2d.vec),
            *(_aten.upsample_bilinear2d.default, _aten.upsample_bilinear2d.vec),
        ),
        _upsample,
    ),
    **dict.fromkeys(
        (_aten.__rshift__.Scalar, _aten.bitwise_right_shift.Tensor_Scalar), _shift_right
    ),
    **dict.fromkeys(
        (
            *(_aten.floor_divide.default, _aten.floor_divide.Scalar),
            *(_aten.div.Tensor_mode, _aten.div.Scalar_mode),
        ),
        _divide,
    ),
    **dict.fromkeys(
        (_aten.argmax.default, _aten.argmin.default, _aten.max.dim, _aten.min.dim), _arg_extreme
    ),
    **dict.fromkeys((_aten.count_nonzero.default, _aten.count_nonzero.dim_IntList), _count),
}
