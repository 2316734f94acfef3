"""Kernels that apply a computation to scalars: reductions, windows, scatter, sort, map."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from hlo_frontend.hlo.attributes import ScatterDimensionNumbers, Window
from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.emit import Region, boolean, emit, integer, ints, pairs
from runtime.kernels.kind import Body, Kernel, Value

_PRED = (np.dtype(bool),)


def _dtypes(arrays: tuple[jax.Array, ...]) -> tuple[np.dtype, ...]:
    return tuple(np.dtype(x.dtype) for x in arrays)


def reducer(body: Any, arrays: tuple[jax.Array, ...]) -> Region:
    """The region that combines two elements of each array into one."""
    dtypes = _dtypes(arrays)
    return Region(body, (*dtypes, *dtypes), dtypes)


def comparator(body: Any, arrays: tuple[jax.Array, ...]) -> Region:
    """The region that says whether one element of each array comes before another."""
    return Region(body, tuple(d for d in _dtypes(arrays) for _ in range(2)), _PRED)


def _reduce(
    *operands: jax.Array, shape: AnyShape, dimensions: tuple[int, ...], bodies: tuple[Body]
) -> Value:
    region = reducer(bodies[0], operands[: len(operands) // 2])
    return emit("stablehlo.reduce", operands, shape, regions=(region,), dimensions=ints(dimensions))


def window_attributes(window: Window) -> dict[str, str]:
    """Strides, dilations and padding of a window, as StableHLO calls them."""
    return {
        "window_strides": ints(w.stride for w in window),
        "padding": pairs((w.pad_low, w.pad_high) for w in window),
    }


def _reduce_window(
    *operands: jax.Array, shape: AnyShape, window: Window, bodies: tuple[Body]
) -> Value:
    region = reducer(bodies[0], operands[: len(operands) // 2])
    return emit(
        "stablehlo.reduce_window",
        operands,
        shape,
        regions=(region,),
        window_dimensions=ints(w.size for w in window),
        base_dilations=ints(w.base_dilation for w in window),
        window_dilations=ints(w.window_dilation for w in window),
        window=window_attributes(window),
    )


def _map(
    *operands: jax.Array, shape: Shape, bodies: tuple[Body], dimensions: tuple[int, ...] = ()
) -> Value:
    region = Region(bodies[0], _dtypes(operands), (shape.numpy,))
    return emit("stablehlo.map", operands, shape, regions=(region,), dimensions=ints(dimensions))


def _sort(
    *operands: jax.Array,
    shape: AnyShape,
    dimensions: tuple[int, ...],
    bodies: tuple[Body],
    is_stable: bool = False,
) -> Value:
    return emit(
        "stablehlo.sort",
        operands,
        shape,
        regions=(comparator(bodies[0], operands),),
        dimension=integer(dimensions[0]),
        is_stable=boolean(is_stable),
    )


def _scatter(
    *operands: jax.Array,
    shape: AnyShape,
    scatter_dimension_numbers: ScatterDimensionNumbers,
    bodies: tuple[Body],
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Value:
    n = scatter_dimension_numbers
    numbers = (
        f"#stablehlo.scatter<update_window_dims = {list(n.update_window_dims)}, "
        f"inserted_window_dims = {list(n.inserted_window_dims)}, "
        f"input_batching_dims = {list(n.input_batching_dims)}, "
        f"scatter_indices_batching_dims = {list(n.scatter_indices_batching_dims)}, "
        f"scatter_dims_to_operand_dims = {list(n.scatter_dims_to_operand_dims)}, "
        f"index_vector_dim = {n.index_vector_dim}>"
    )
    return emit(
        "stablehlo.scatter",
        operands,
        shape,
        regions=(reducer(bodies[0], operands[: len(operands) // 2]),),
        scatter_dimension_numbers=numbers,
        indices_are_sorted=boolean(indices_are_sorted),
        unique_indices=boolean(unique_indices),
    )


def _select_and_scatter(
    operand: jax.Array,
    source: jax.Array,
    initial: jax.Array,
    *,
    shape: Shape,
    window: Window,
    bodies: tuple[Body, Body],
) -> Value:
    select, scatter = bodies
    return emit(
        "stablehlo.select_and_scatter",
        (operand, source, initial),
        shape,
        regions=(comparator(select, (operand,)), reducer(scatter, (operand,))),
        window_dimensions=ints(w.size for w in window),
        window=window_attributes(window),
    )


KERNELS: dict[str, Kernel] = {
    "map": _map,
    "reduce": _reduce,
    "reduce-window": _reduce_window,
    "scatter": _scatter,
    "select-and-scatter": _select_and_scatter,
    "sort": _sort,
}
