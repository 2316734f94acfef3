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


def _shift_right(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch_xla divides, which rounds to zero: drop the bits first, and the division is exact."""
    source, count = args
    if source.dtype in _SIGNED and isinstance(count, int):
        source = source - torch.bitwise_and(source, 2**count - 1)
    return func(source, count, **kwargs)


def _shift_tensors(
    session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """torch_xla divides by a power here too, and gives a number the type of a tensor of its own."""
    kind = torch.result_type(args[0], args[1])
    tensor = args[0] if isinstance(args[0], torch.Tensor) else args[1]
    source, count = (
        v.to(kind) if isinstance(v, torch.Tensor) else torch.full_like(tensor, v, dtype=kind)
        for v in args[:2]
    )
    left = "left" in func._schema.name or "lshift" in func._schema.name
    shift = _aten.bitwise_left_shift if left else _aten.bitwise_right_shift
    return shift.Tensor(source, count)


def _divide(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Integers are divided in f64, where torch_xla takes f32; those of 64 bits in two steps."""
    mode = kwargs.get("rounding_mode", "floor" if "floor_divide" in func._schema.name else None)
    kind = torch.result_type(args[0], args[1])
    if mode == "floor" and kind.is_floating_point:
        return _floor_divided(*args[:2])
    if mode is None or kind.is_floating_point or kind is torch.bool:
        return func(*args, **kwargs)
    if kind is torch.int64:
        return _divided_in_steps(args[0], args[1], mode)
    x, y = (v.double() if isinstance(v, torch.Tensor) else float(v) for v in args[:2])
    quotient = torch.true_divide(x, y)
    return (torch.floor(quotient) if mode == "floor" else torch.trunc(quotient)).to(kind)


def _divided_in_steps(x: Any, y: Any, mode: str) -> torch.Tensor:
    """The quotient in f64 of what y divides, and that of what the first one leaves over.

    The first is off by some 2**11 at most, for which f64 has room.
    """
    tensor = x if isinstance(x, torch.Tensor) else y
    x, y = (v.to(torch.int64) if isinstance(v, torch.Tensor) else v for v in (x, y))
    x, y = (v if isinstance(v, torch.Tensor) else torch.full_like(tensor, v, dtype=torch.int64)
            for v in (x, y))  # fmt: skip
    rest = torch.fmod(x, y)
    whole = x - rest
    first = torch.trunc(torch.true_divide(whole.double(), y.double())).to(torch.int64)
    left = (whole - first * y).double()
    quotient = first + torch.round(torch.true_divide(left, y.double())).to(torch.int64)
    if mode == "floor":
        quotient = quotient - ((rest != 0) & ((rest < 0) != (y < 0))).to(torch.int64)
    return quotient


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


def _inverse(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """With one code for each matrix, where torch_xla says one for each element."""
    found, _ = func(*args, **kwargs)
    lead = args[0].shape[:-2]
    return found, torch.zeros(lead, dtype=torch.int32, device=args[0].device)


CORRECTIONS: dict[Any, Rule] = {
    _aten.linalg_inv_ex.default: _inverse,
    _aten.cumsum.default: _accumulate,
    _aten.cumprod.default: _accumulate,
    **dict.fromkeys(
        (_aten.__rshift__.Scalar, _aten.bitwise_right_shift.Tensor_Scalar), _shift_right
    ),
    **dict.fromkeys(
        (
            *(_aten.__rshift__.Tensor, _aten.bitwise_right_shift.Scalar_Tensor),
            *(_aten.__lshift__.Tensor, _aten.bitwise_left_shift.Scalar_Tensor),
        ),
        _shift_tensors,
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
