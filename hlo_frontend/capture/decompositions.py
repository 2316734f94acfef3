"""What operators are made of: for those that torch_xla cannot lower, or lowers wrongly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from hlo_frontend.capture.rewrites import REWRITES, WHEN

Operator = torch._ops.OpOverload
Decomposition = Callable[..., Any]


@functools.cache
def decomposition_of(func: Operator) -> Decomposition | None:
    """A function of the operator's arguments that computes it with other operators, or None.

    One written here comes first, then PyTorch's own (`torch._decomp`), then the operator's kernel
    where it is a composition for every device.
    """
    if func in REWRITES:
        return REWRITES[func]
    if func.namespace == "prims":
        return func.overloadpacket.impl_aten
    known = _of_pytorch().get(func)
    if known is not None:
        return known
    for key in ("CompositeImplicitAutograd", "CompositeExplicitAutograd"):
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key):
            return functools.partial(func._op_dk, getattr(torch._C.DispatchKey, key))
    return None


def is_composed(func: Operator) -> bool:
    """Whether PyTorch, or this package, says what an operator is made of."""
    return func in REWRITES or func in _of_pytorch()


def applies(func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the operands are such that a decomposition is needed."""
    if func not in WHEN:
        return True
    names = [argument.name for argument in func._schema.arguments]
    return WHEN[func](dict(zip(names, args, strict=False)) | kwargs)


_aten = torch.ops.aten
# torch_xla's lowerings of these are wrong, or end the process, for some operands.
PREFERRED = frozenset({
    _aten.roll.default, _aten.clamp_max.Tensor, _aten.clamp_min.Tensor, _aten.clamp.Tensor,
    _aten.norm.Scalar, _aten.norm.ScalarOpt_dim, _aten.norm.ScalarOpt_dim_dtype,
    _aten.norm.ScalarOpt_dtype, _aten.native_dropout_backward.default, _aten._chunk_cat.default,
    _aten.normal.Tensor_Tensor, _aten.normal.Tensor_float, _aten.normal.float_Tensor,
    _aten.upsample_nearest2d.default, _aten.upsample_nearest2d.vec,
    _aten.upsample_bilinear2d.default, _aten.upsample_bilinear2d.vec,
})  # fmt: skip


@functools.cache
def _of_pytorch() -> dict[Any, Decomposition]:
    import torch._decomp
    import torch._refs  # registers more of them

    return torch._decomp.decomposition_table
