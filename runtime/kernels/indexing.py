"""Kernels whose addresses are data: gather, dynamic slices, top-k."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from hlo_frontend.hlo.attributes import GatherDimensionNumbers
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from runtime.kernels.elementwise import KERNELS as ELEMENTWISE
from runtime.kernels.emit import boolean, emit, integer, ints
from runtime.kernels.kind import Kernel, Value
from runtime.kernels.regions import comparator


def _gather(
    operand: jax.Array,
    indices: jax.Array,
    *,
    shape: Shape,
    gather_dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    indices_are_sorted: bool = False,
) -> Value:
    """Out of bounds, HLO clamps an index: XLA's own rule, left alone."""
    n = gather_dimension_numbers
    numbers = (
        f"#stablehlo.gather<offset_dims = {list(n.offset_dims)}, "
        f"collapsed_slice_dims = {list(n.collapsed_slice_dims)}, "
        f"operand_batching_dims = {list(n.operand_batching_dims)}, "
        f"start_indices_batching_dims = {list(n.start_indices_batching_dims)}, "
        f"start_index_map = {list(n.start_index_map)}, "
        f"index_vector_dim = {n.index_vector_dim}>"
    )
    return emit(
        "stablehlo.gather",
        (operand, indices),
        shape,
        dimension_numbers=numbers,
        slice_sizes=ints(slice_sizes),
        indices_are_sorted=boolean(indices_are_sorted),
    )


def _dynamic_slice(
    x: jax.Array, *starts: jax.Array, shape: Shape, dynamic_slice_sizes: tuple[int, ...]
) -> Value:
    sizes = ints(dynamic_slice_sizes)
    return emit("stablehlo.dynamic_slice", (x, *starts), shape, slice_sizes=sizes)


def _dynamic_update_slice(
    x: jax.Array, update: jax.Array, *starts: jax.Array, shape: Shape
) -> Value:
    return emit("stablehlo.dynamic_update_slice", (x, update, *starts), shape)


def _before(direction: str, floating: bool) -> Callable[..., Any]:
    """The comparator of values that carry their positions: NaN is beyond infinity, -0 below +0."""
    order = "TOTALORDER" if floating else ""

    def before(x: jax.Array, y: jax.Array, *positions: jax.Array) -> Value:
        compare = ELEMENTWISE["compare"]
        return compare(x, y, shape=Shape("pred"), direction=direction, type=order)

    return before


def top_k(x: jax.Array, *, shape: TupleShape, k: int, largest: bool = True) -> Value:
    """The `k` first along the last dimension, in order, and where they stood; a stable sort."""
    values, positions = shape.elements
    assert isinstance(values, Shape) and isinstance(positions, Shape)
    sorted_ = TupleShape((Shape(values.dtype, x.shape), Shape(positions.dtype, x.shape)))
    numbers = jax.lax.broadcasted_iota(positions.numpy, x.shape, x.ndim - 1)
    before = _before("GT" if largest else "LT", values.element.kind == "float")
    made = emit(
        "stablehlo.sort",
        (x, numbers),
        sorted_,
        regions=(comparator(before, (x, numbers)),),
        dimension=integer(x.ndim - 1),
        is_stable=boolean(True),
    )
    return tuple(jax.lax.slice_in_dim(m, 0, k, axis=x.ndim - 1) for m in made)


def _top_k(x: jax.Array, *, shape: AnyShape, k: int, largest: bool = True) -> Value:
    assert isinstance(shape, TupleShape)
    if largest and x.dtype == "float32":  # XLA has code of its own for this one
        return tuple(jax.lax.top_k(x, k))
    return top_k(x, shape=shape, k=k, largest=largest)


KERNELS: dict[str, Kernel] = {
    "dynamic-slice": _dynamic_slice,
    "dynamic-update-slice": _dynamic_update_slice,
    "gather": _gather,
    "topk": _top_k,
}
