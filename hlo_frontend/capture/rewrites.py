"""Operators written with others, where torch_xla has no lowering or a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hlo_frontend.capture import rewrite_arithmetic as arithmetic
from hlo_frontend.capture import rewrite_distance as distance
from hlo_frontend.capture import rewrite_expert as expert
from hlo_frontend.capture import rewrite_move as move
from hlo_frontend.capture import rewrite_order as order
from hlo_frontend.capture import rewrite_scatter as scatter
from hlo_frontend.capture import rewrite_window as window

_aten = torch.ops.aten

REWRITES: dict[Any, Callable[..., Any]] = {
    _aten.unfold_copy.default: move.unfold,
    _aten.diagonal_copy.default: move.diagonal,
    _aten.diagonal_scatter.default: move.diagonal_scatter,
    _aten.as_strided_copy.default: move.as_strided,
    _aten.as_strided_scatter.default: move.as_strided_scatter,
    _aten.copysign.Tensor: arithmetic.copysign,
    _aten.copysign.Scalar: arithmetic.copysign,
    _aten.fmin.default: arithmetic.fmin,
    _aten.fmax.default: arithmetic.fmax,
    _aten.exp2.default: arithmetic.exp2,
    _aten.logaddexp.default: arithmetic.logaddexp,
    _aten.logaddexp2.default: arithmetic.logaddexp2,
    _aten.aminmax.default: arithmetic.aminmax,
    _aten.addbmm.default: arithmetic.addbmm,
    _aten._batch_norm_with_update_functional.default: arithmetic.batch_norm_with_update,
    _aten.signbit.default: arithmetic.signbit,
    _aten.angle.default: arithmetic.angle,
    _aten.hypot.default: arithmetic.hypot,
    _aten.gather.default: scatter.gather,
    _aten.index_reduce.default: scatter.index_reduce,
    _aten.scatter.reduce: scatter.scatter_reduced,
    _aten.scatter.value_reduce: scatter.scatter_reduced,
    _aten._embedding_bag.default: scatter.embedding_bag,
    _aten._embedding_bag_forward_only.default: scatter.embedding_bag,
    _aten._linalg_svd.default: scatter.svd,
    _aten.scatter_reduce.two: scatter.scatter_reduce,
    _aten.embedding_renorm.default: move.embedding_renorm,
    _aten.randperm.default: order.randperm,
    _aten.cummax.default: order.running_max,
    _aten.cummin.default: order.cummin,
    _aten.median.default: order.median,
    _aten.median.dim: order.median_dim,
    _aten.nanmedian.default: order.nanmedian,
    _aten.nanmedian.dim: order.nanmedian_dim,
    _aten.mode.default: order.mode,
    _aten.searchsorted.Tensor: order.searchsorted,
    _aten.searchsorted.Scalar: order.searchsorted_scalar,
    _aten.bucketize.Tensor: order.bucketize,
    _aten.bucketize.Scalar: order.bucketize_scalar,
    _aten.isin.Tensor_Tensor: order.isin,
    _aten.histc.default: expert.histc,
    _aten._grouped_mm.default: expert.grouped_mm,
    _aten._adaptive_avg_pool2d.default: window.adaptive_avg_pool,
    _aten._adaptive_avg_pool3d.default: window.adaptive_avg_pool,
    _aten.adaptive_max_pool2d.default: window.adaptive_max_pool,
    _aten.adaptive_max_pool3d.default: window.adaptive_max_pool,
    _aten.max_pool2d_with_indices.default: window.max_pool,
    _aten.max_pool3d_with_indices.default: window.max_pool,
    _aten.avg_pool2d.default: window.avg_pool,
    _aten.avg_pool3d.default: window.avg_pool,
    _aten._pdist_forward.default: distance.pdist,
    _aten._cdist_forward.default: distance.cdist,
}


def _is_dilated(named: dict[str, Any]) -> bool:
    return any(d != 1 for d in named.get("dilation", ())) or not _is_float(named)


def _divides_otherwise(named: dict[str, Any]) -> bool:
    uneven = bool(named.get("ceil_mode") or named.get("divisor_override"))
    return uneven or not _is_float(named)


def _is_empty(named: dict[str, Any]) -> bool:
    return named["index"].numel() == 0


def _is_batched(named: dict[str, Any]) -> bool:
    return named["A"].ndim > 2 or named["A"].numel() == 0


def _is_partial(named: dict[str, Any]) -> bool:
    return named["reduce"] == "mean" or not named.get("include_self", True)


def _is_scaled_otherwise(named: dict[str, Any]) -> bool:
    """torch_xla takes the ratio of the sizes for the scale: the same where they divide."""
    given = [v for k, v in named.items() if k.startswith("scales")] or [named.get("scale_factors")]
    scales = given[0] if isinstance(given[0], list | tuple) else given
    sizes = next(iter(named.values())).shape[2:]
    return not named.get("align_corners") and any(
        scale is not None and not (size * scale).is_integer()
        for size, scale in zip(sizes, scales or (), strict=False)
    )


def _is_float(named: dict[str, Any]) -> bool:
    return named["self"].dtype.is_floating_point


# Where torch_xla's lowering is right for other operands: when it is not.
WHEN: dict[Any, Callable[[dict[str, Any]], bool]] = {
    _aten.max_pool2d_with_indices.default: _is_dilated,
    _aten.max_pool3d_with_indices.default: _is_dilated,
    _aten.avg_pool2d.default: _divides_otherwise,
    _aten.avg_pool3d.default: _divides_otherwise,
    _aten.gather.default: _is_empty,
    _aten._linalg_svd.default: _is_batched,
    _aten.scatter_reduce.two: _is_partial,
    _aten.upsample_nearest2d.default: _is_scaled_otherwise,
    _aten.upsample_nearest2d.vec: _is_scaled_otherwise,
    _aten.upsample_bilinear2d.default: _is_scaled_otherwise,
    _aten.upsample_bilinear2d.vec: _is_scaled_otherwise,
}
