"""Kernels of the PE array: dot and convolution."""

from __future__ import annotations

import jax
from jax import lax

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers, DotDimensionNumbers, Window
from hlo_frontend.hlo.types import Shape
from runtime.kernels.kind import Kernel

PRECISIONS = {
    "default": lax.Precision.DEFAULT,
    "high": lax.Precision.HIGH,
    "highest": lax.Precision.HIGHEST,
}


def _precision(names: tuple[str, ...]) -> tuple[lax.Precision, lax.Precision] | None:
    if not names:
        return None
    lhs, rhs = (PRECISIONS[name] for name in names)
    return lhs, rhs


def _dot(
    x: jax.Array,
    y: jax.Array,
    *,
    shape: Shape,
    dot_dimension_numbers: DotDimensionNumbers,
    operand_precision: tuple[str, ...] = (),
    algorithm: str = "",
) -> jax.Array:
    if algorithm:
        raise NotImplementedError(f"dot: the algorithm {algorithm} is not built yet")
    d = dot_dimension_numbers
    return lax.dot_general(
        x,
        y,
        ((d.lhs_contracting, d.rhs_contracting), (d.lhs_batch, d.rhs_batch)),
        precision=_precision(operand_precision),
        preferred_element_type=shape.numpy,
    )


def _convolution(
    x: jax.Array,
    kernel: jax.Array,
    *,
    shape: Shape,
    window: Window,
    dim_labels: ConvolutionDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    operand_precision: tuple[str, ...] = (),
) -> jax.Array:
    n = dim_labels
    reversed_dims = [d for d, w in zip(n.kernel_spatial, window, strict=True) if w.reversal]
    return lax.conv_general_dilated(
        x,
        lax.rev(kernel, reversed_dims) if reversed_dims else kernel,
        window_strides=[w.stride for w in window],
        padding=[(w.pad_low, w.pad_high) for w in window],
        lhs_dilation=[w.base_dilation for w in window],
        rhs_dilation=[w.window_dilation for w in window],
        dimension_numbers=lax.ConvDimensionNumbers(
            (n.input_batch, n.input_feature, *n.input_spatial),
            (n.kernel_output_feature, n.kernel_input_feature, *n.kernel_spatial),
            (n.output_batch, n.output_feature, *n.output_spatial),
        ),
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=_precision(operand_precision),
        preferred_element_type=shape.numpy,
    )


KERNELS: dict[str, Kernel] = {"convolution": _convolution, "dot": _dot}
