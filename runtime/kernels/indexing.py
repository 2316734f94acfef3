"""Kernels whose addresses are data: gather, dynamic slices, top-k."""

from __future__ import annotations

import jax
from jax import lax

from hlo_frontend.hlo.attributes import GatherDimensionNumbers
from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.kind import Kernel, Value

# Out of bounds, HLO clamps an index: XLA's own rule, left alone.
UNGUARDED = lax.GatherScatterMode.PROMISE_IN_BOUNDS


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
    "topk": _top_k,
}
