"""Shape rules of the opcodes that multiply and sum: dot and convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hlo_frontend.hlo.attributes import (
    ConvolutionDimensionNumbers,
    DotDimensionNumbers,
    Window,
)
from hlo_frontend.hlo.rules_check import array, dimensions, fail, result_type
from hlo_frontend.hlo.types import AnyShape, Shape, Signature

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]


def windowed(sizes: Sequence[int], window: Window) -> tuple[int, ...]:
    """How many places a window takes along each dimension; HloError for an impossible window."""
    if len(sizes) != len(window):
        fail(f"window must have {len(sizes)} dimensions", len(window))
    return tuple([_places(size, w) for size, w in zip(sizes, window, strict=True)])


def _places(size: int, w: Any) -> int:
    if min(w.size, w.stride, w.base_dilation, w.window_dilation) < 1:
        fail("size, stride and dilations of a window must be at least 1", w)
    dilated = (size - 1) * w.base_dilation + 1 if size else 0
    padded = w.pad_low + dilated + w.pad_high
    if padded < 0:
        fail("padding of a window must leave no negative size", w)
    reach = (w.size - 1) * w.window_dilation + 1
    return (padded - reach) // w.stride + 1 if padded >= reach else 0


def dot(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Batch sizes, then the free sizes of the left operand, then those of the right one."""
    left, right = array(operands[0]), array(operands[1])
    n: DotDimensionNumbers = attrs["dot_dimension_numbers"]
    dimensions((*n.lhs_contracting, *n.lhs_batch), left.rank, "lhs dimension numbers")
    dimensions((*n.rhs_contracting, *n.rhs_batch), right.rank, "rhs dimension numbers")
    _paired("contracted", left, right, n.lhs_contracting, n.rhs_contracting)
    _paired("batch", left, right, n.lhs_batch, n.rhs_batch)
    dims = tuple([left.dims[d] for d in n.lhs_batch])
    for shape, used in (
        (left, n.lhs_contracting + n.lhs_batch),
        (right, n.rhs_contracting + n.rhs_batch),
    ):
        dims += tuple([s for d, s in enumerate(shape.dims) if d not in used])
    return Shape(result_type((left, right), declared), dims)


def _paired(
    what: str, left: Shape, right: Shape, ours: tuple[int, ...], theirs: tuple[int, ...]
) -> None:
    if [left.dims[d] for d in ours] != [right.dims[d] for d in theirs]:
        fail(
            f"{what} sizes must be equal",
            f"{left} at {list(ours)}, {right} at {list(theirs)}",
        )


def convolution(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Batch, output features and the places of the window, as `dim_labels` arranges them."""
    image, kernel = array(operands[0]), array(operands[1])
    n: ConvolutionDimensionNumbers = attrs["dim_labels"]
    groups, batch_groups = attrs["feature_group_count"], attrs["batch_group_count"]
    _check_labels(image, kernel, n)
    _check_groups(image, kernel, n, groups, batch_groups)
    spatial = windowed([image.dims[d] for d in n.input_spatial], attrs["window"])
    sizes = [kernel.dims[d] for d in n.kernel_spatial]
    if sizes != [w.size for w in attrs["window"]]:
        fail(
            "window sizes must be those of the kernel",
            [w.size for w in attrs["window"]],
            kernel,
        )
    batch = image.dims[n.input_batch] // batch_groups
    placed = dict(zip(n.output_spatial, spatial, strict=True))
    placed |= {
        n.output_batch: batch,
        n.output_feature: kernel.dims[n.kernel_output_feature],
    }
    dims = tuple([placed[d] for d in range(image.rank)])
    return Shape(result_type((image, kernel), declared), dims)


def _check_labels(image: Shape, kernel: Shape, n: ConvolutionDimensionNumbers) -> None:
    if image.rank != kernel.rank or image.rank < 2:
        fail("image and kernel must have one rank, of at least 2", image, kernel)
    for numbers in (
        (n.input_batch, n.input_feature, *n.input_spatial),
        (n.kernel_input_feature, n.kernel_output_feature, *n.kernel_spatial),
        (n.output_batch, n.output_feature, *n.output_spatial),
    ):
        if sorted(numbers) != list(range(image.rank)):
            fail(
                f"dim_labels must number the {image.rank} dimensions once each",
                list(numbers),
            )


def _check_groups(
    image: Shape,
    kernel: Shape,
    n: ConvolutionDimensionNumbers,
    groups: int,
    batch_groups: int,
) -> None:
    if min(groups, batch_groups) < 1 or max(1, groups) > 1 < batch_groups:
        fail(
            "one of feature_group_count and batch_group_count must be 1",
            groups,
            batch_groups,
        )
    features = image.dims[n.input_feature]
    if features != kernel.dims[n.kernel_input_feature] * groups:
        fail(
            "features of the image must be those of the kernel times feature_group_count",
            f"{features}, {kernel.dims[n.kernel_input_feature]} * {groups}",
        )
    outputs, batch = kernel.dims[n.kernel_output_feature], image.dims[n.input_batch]
    if outputs % groups or outputs % batch_groups or batch % batch_groups:
        fail(
            "output features must be a multiple of both group counts and the batch of "
            "batch_group_count",
            f"{outputs} and {batch} for {groups} and {batch_groups}",
        )
