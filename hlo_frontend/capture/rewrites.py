"""Operators written with others, where torch_xla has no lowering or a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hlo_frontend.capture import rewrite_expert as expert
from hlo_frontend.capture import rewrite_distance as distance
from hlo_frontend.capture import rewrite_move as move
from hlo_frontend.capture import rewrite_order as order
from hlo_frontend.capture import rewrite_window as window

_aten = torch.ops.aten

REWRITES: dict[Any, Callable[..., Any]] = {
    _aten.unfold_copy.default: move.unfold,
    _aten.diagonal_copy.default: move.diagonal,
    _aten.diagonal_scatter.default: move.diagonal_scatter,
    _aten.as_strided_copy.default: move.as_strided,
    _aten.as_strided_scatter.default: move.as_strided_scatter,
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


def _is_float(named: dict[str, Any]) -> bool:
    return named["self"].dtype.is_floating_point


# Where torch_xla's lowering is right for other operands: when it is not.
WHEN: dict[Any, Callable[[dict[str, Any]], bool]] = {
    _aten.max_pool2d_with_indices.default: _is_dilated,
    _aten.max_pool3d_with_indices.default: _is_dilated,
    _aten.avg_pool2d.default: _divides_otherwise,
    _aten.avg_pool3d.default: _divides_otherwise,
}
