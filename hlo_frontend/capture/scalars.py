"""Operators with a dimension, of tensors that have none: torch_xla wants at least one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_aten = torch.ops.aten
# Arguments that PyTorch lets have no dimension and treats as a vector of one element.
_VECTORS = frozenset({"self", "index", "src", "source", "input", "grad_output", "output"})


def at_least_one_dimension(func: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call(args, kwargs)` with vectors for scalars; the result has the sizes it should have."""
    names = [argument.name for argument in func._schema.arguments]
    sized = "index" if func in _SIZED_BY_INDEX else "self"

    def scalar_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        named = dict(zip(names, args, strict=False)) | kwargs
        scalars = {k for k in _VECTORS & named.keys() if _is_scalar(named[k])}
        if not scalars:
            return call(args, kwargs)
        given = tuple(_vector(v) if n in scalars else v for n, v in zip(names, args, strict=False))
        result = call(given, {k: _vector(v) if k in scalars else v for k, v in kwargs.items()})
        like = named.get(sized, named.get("grad_output"))
        assert isinstance(like, torch.Tensor)
        if isinstance(result, tuple | list):
            return type(result)(r.reshape(like.shape) for r in result)
        return result.reshape(like.shape)

    return scalar_call


def _is_scalar(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 0


def _vector(value: Any) -> Any:
    return value.reshape(1) if _is_scalar(value) else value


_SIZED_BY_INDEX = frozenset({_aten.gather.default})
SCALARS = frozenset({
    _aten._softmax.default, _aten._log_softmax.default, _aten._softmax_backward_data.default,
    _aten._log_softmax_backward_data.default, _aten.cumsum.default, _aten.cumprod.default,
    _aten.logcumsumexp.default, _aten.cummax.default, _aten.cummin.default, _aten.kthvalue.default,
    _aten.max.dim, _aten.min.dim, _aten.topk.default, _aten.sort.default, _aten.sort.stable,
    _aten.gather.default, _aten.index_fill.int_Scalar, _aten.index_fill.int_Tensor,
    _aten.index_copy.default, _aten.index_select.default, _aten.index_add.default,
    _aten.scatter.src, _aten.scatter.value, _aten.scatter.reduce, _aten.scatter.value_reduce,
    _aten.scatter_add.default, _aten.scatter_reduce.two, _aten.argmax.default, _aten.argmin.default,
    _aten.median.dim, _aten.nanmedian.dim, _aten.mode.default, _aten.prod.dim_int,
    _aten.amax.default, _aten.amin.default, _aten.logsumexp.default, _aten.squeeze_copy.dim,
    _aten.squeeze_copy.dims, _aten.index_reduce.default, _aten.flip.default, _aten.roll.default,
})  # fmt: skip
