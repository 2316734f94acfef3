"""Convolutions with the channels last, and dots as batched matrix products."""

from __future__ import annotations

from dataclasses import replace

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers
from hlo_frontend.hlo.types import Shape
from neff.passes.layouts import Layouts, with_attribute
from neff.passes.orders import identity, permuted
from neff.passes.wants import channels_last
from neff.program import Instruction


def place_convolution(layouts: Layouts, position: int, i: Instruction) -> None:
    """`b01f_01io->b01f`, for any number of spatial dimensions."""
    labels: ConvolutionDimensionNumbers = i["dim_labels"]
    array, kernel = i.operands
    kernel_order = (
        *labels.kernel_spatial,
        labels.kernel_input_feature,
        labels.kernel_output_feature,
    )
    order = (labels.output_batch, *labels.output_spatial, labels.output_feature)
    operands = (
        layouts.in_order(array, channels_last(labels)),
        layouts.in_order(kernel, kernel_order),
    )
    n = len(labels.output_spatial)
    spatial = identity(n + 1)[1:]
    numbers = ConvolutionDimensionNumbers(
        0, n + 1, spatial, n, n + 1, identity(n), 0, n + 1, spatial
    )
    shape = Shape(i.array.dtype, permuted(i.array.dims, order))
    attrs = with_attribute(i, "dim_labels", numbers)
    value = layouts.b.emit(replace(i, shape=shape, operands=operands, attrs=attrs))
    layouts.place(value, order)
