"""Kernels whose addresses are data: gather, scatter, dynamic slices, top-k."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

from hlo_frontend.hlo.attributes import GatherDimensionNumbers, ScatterDimensionNumbers
from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.kind import Body, Kernel, Value

# Out of bounds, HLO clamps a gather's index and skips a scatter's: XLA's own rule, left alone.
UNGUARDED = lax.GatherScatterMode.PROMISE_IN_BOUNDS

SCATTERS: dict[str, Any] = {
    "parameter": lax.scatter,
    "add": lax.scatter_add,
    "multiply": lax.scatter_mul,
    "minimum": lax.scatter_min,
    "maximum": lax.scatter_max,
}


def _index_vectors_last(indices: jax.Array, dimension: int) -> jax.Array:
    """JAX keeps index vectors in the last dimension; past the last one means they are scalars."""
    if dimension == indices.ndim:
        return jax.numpy.expand_dims(indices, -1)
    return jax.numpy.moveaxis(indices, dimension, -1)


def _gather(
    operand: jax.Array,
    indices: jax.Array,
    *,
    shape: Shape,
    gather_dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    indices_are_sorted: bool = False,
) -> jax.Array:
    n = gather_dimension_numbers
    return lax.gather(
        operand,
        _index_vectors_last(indices, n.index_vector_dim),
        lax.GatherDimensionNumbers(
            n.offset_dims,
            n.collapsed_slice_dims,
            n.start_index_map,
            n.operand_batching_dims,
            n.start_indices_batching_dims,
        ),
        slice_sizes,
        indices_are_sorted=indices_are_sorted,
        mode=UNGUARDED,
    )


def _scatter(
    operand: jax.Array,
    indices: jax.Array,
    updates: jax.Array,
    *,
    shape: AnyShape,
    scatter_dimension_numbers: ScatterDimensionNumbers,
    bodies: tuple[Body],
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> jax.Array:
    n = scatter_dimension_numbers
    combines = bodies[0].combines()
    if combines not in SCATTERS:
        raise NotImplementedError(
            f"scatter: the reducer {bodies[0].function.name} is not built yet"
        )
    return SCATTERS[combines](
        operand,
        _index_vectors_last(indices, n.index_vector_dim),
        updates,
        lax.ScatterDimensionNumbers(
            n.update_window_dims,
            n.inserted_window_dims,
            n.scatter_dims_to_operand_dims,
            n.input_batching_dims,
            n.scatter_indices_batching_dims,
        ),
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=UNGUARDED,
    )


def _dynamic_slice(
    x: jax.Array, *starts: jax.Array, shape: Shape, dynamic_slice_sizes: tuple[int, ...]
) -> jax.Array:
    return lax.dynamic_slice(x, starts, dynamic_slice_sizes, allow_negative_indices=False)


def _dynamic_update_slice(
    x: jax.Array, update: jax.Array, *starts: jax.Array, shape: Shape
) -> jax.Array:
    return lax.dynamic_update_slice(x, update, starts, allow_negative_indices=False)


def _top_k(x: jax.Array, *, shape: AnyShape, k: int, largest: bool = True) -> Value:
    if not largest:
        raise NotImplementedError("topk: the k smallest are not built yet")
    return tuple(lax.top_k(x, k))


KERNELS: dict[str, Kernel] = {
    "dynamic-slice": _dynamic_slice,
    "dynamic-update-slice": _dynamic_update_slice,
    "gather": _gather,
    "scatter": _scatter,
    "topk": _top_k,
}
