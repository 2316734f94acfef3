"""Operators that PyTorch computes in a wider type than that of their operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hlo_frontend.capture.nested import mapped, tensors

_aten = torch.ops.aten
_HALVES = (torch.bfloat16, torch.float16)
Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def in_float32(func: Any, call: Call) -> Call:
    """`call(args, kwargs)` in float32 where operands are halves, rounded once at the end."""

    def wide_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        halves = {t.dtype for t in tensors((args, kwargs)) if t.dtype in _HALVES}
        if len(halves) != 1:
            return call(args, kwargs)
        (half,) = halves
        mixed = any(t.dtype is torch.float32 for t in tensors((args, kwargs)))
        result = call(mapped(_widened, args), mapped(_widened, kwargs))
        if isinstance(result, torch.Tensor):
            return _narrowed(result, half)
        # Statistics of halves are kept in the type of the running statistics.
        return type(result)(r if n and mixed else _narrowed(r, half) for n, r in enumerate(result))

    return wide_call


def in_float(func: Any, call: Call) -> Call:
    """`call(args, kwargs)` with the default floating-point type in place of integers."""

    def float_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call(mapped(_floating, args), mapped(_floating, kwargs))

    return float_call


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32) if tensor.dtype in _HALVES else tensor


def _narrowed(tensor: torch.Tensor, half: torch.dtype) -> torch.Tensor:
    return tensor.to(half) if tensor.dtype is torch.float32 else tensor


def _floating(tensor: torch.Tensor) -> torch.Tensor:
    exact = not tensor.dtype.is_floating_point and not tensor.dtype.is_complex
    return tensor.to(torch.get_default_dtype()) if exact else tensor


IN_FLOAT32 = frozenset({
    _aten.native_batch_norm.default, _aten._native_batch_norm_legit.default,
    _aten._native_batch_norm_legit.no_stats, _aten._native_batch_norm_legit_no_training.default,
    _aten._native_batch_norm_legit_functional.default,
    _aten.binary_cross_entropy_with_logits.default, _aten.binary_cross_entropy.default,
    _aten._softmax_backward_data.default, _aten._log_softmax_backward_data.default,
    _aten.upsample_bilinear2d.default, _aten.upsample_bilinear2d.vec,
    _aten.lerp.Scalar, _aten.lerp.Tensor, _aten.fmod.Tensor, _aten.fmod.Scalar,
    _aten.remainder.Tensor, _aten.remainder.Scalar, _aten.remainder.Scalar_Tensor,
    _aten.div.Tensor_mode, _aten.div.Scalar_mode, _aten.floor_divide.default,
    _aten.floor_divide.Scalar, _aten.cumsum.default, _aten.cumprod.default,
    _aten.logaddexp.default, _aten.logaddexp2.default, _aten.exp2.default, _aten.addbmm.default,
})  # fmt: skip
IN_FLOAT = frozenset(
    {_aten.erfc.default, _aten.exp2.default, _aten.erfinv.default, _aten.logsumexp.default}
)
