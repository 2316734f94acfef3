"""Shape rules of the opcodes that read or write at positions known only at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hlo_frontend.hlo.attributes import GatherDimensionNumbers, ScatterDimensionNumbers
from hlo_frontend.hlo.rules_check import (
    INTEGER,
    array,
    dimension,
    dimensions,
    fail,
    one_or_tuple,
    per_dimension,
    reducer,
)
from hlo_frontend.hlo.types import AnyShape, Shape, Signature

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]


def _start_indices(indices: Operands, operand: Shape) -> None:
    per_dimension(indices, operand, "a scalar start index")
    for index in indices:
        if array(index, INTEGER).rank:
            fail("start index must be a scalar", index)


def _fits(sizes: Sequence[int], operand: Shape, what: str) -> None:
    per_dimension(sizes, operand, what)
    if any(not 0 <= s <= d for s, d in zip(sizes, operand.dims, strict=True)):
        fail(f"{what} must be at least 0 and at most the sizes of {operand}", list(sizes))


def dynamic_slice(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """A block of `dynamic_slice_sizes` from the first operand, at scalar start indices."""
    operand = array(operands[0])
    _start_indices(operands[1:], operand)
    _fits(attrs["dynamic_slice_sizes"], operand, "dynamic_slice_sizes")
    return Shape(operand.dtype, attrs["dynamic_slice_sizes"])


def dynamic_update_slice(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The first operand's shape; the second is a block that fits in it."""
    operand, update = array(operands[0]), array(operands[1])
    if update.dtype != operand.dtype:
        fail("operand and update must have the same element type", operand, update)
    _fits(update.dims, operand, "sizes of the update")
    _start_indices(operands[2:], operand)
    return Shape(operand.dtype, operand.dims)


def _index_batch(indices: Shape, vector: int, map_size: int, what: str) -> tuple[int, ...]:
    """Sizes of the index array without the dimension that holds index vectors."""
    if not 0 <= vector <= indices.rank:
        fail(f"index_vector_dim must be at least 0 and at most {indices.rank}", vector)
    length = indices.dims[vector] if vector < indices.rank else 1
    if length != map_size:
        fail(f"{what} must name a dimension for each of the {length} indices", map_size)
    return indices.dims[:vector] + indices.dims[vector + 1 :]


def _check_batching(
    operand: Shape,
    indices: Shape,
    pairs: tuple[Sequence[int], Sequence[int]],
    vector: int,
) -> None:
    ours, theirs = pairs
    dimensions(ours, operand.rank, "batching dimensions of the operand")
    dimensions(theirs, indices.rank, "batching dimensions of the indices")
    if vector in theirs or len(ours) != len(theirs):
        fail(
            "batching dimensions of operand and indices must pair up",
            list(ours),
            list(theirs),
        )
    if any(operand.dims[a] != indices.dims[b] for a, b in zip(ours, theirs, strict=True)):
        fail("sizes of batching dimensions must be equal", operand, indices)


def _window_dimensions(
    operand: Shape,
    dropped: tuple[Sequence[int], Sequence[int]],
    mapped: Sequence[int],
    what: str,
) -> list[int]:
    """Dimensions of the operand that windows keep: all but collapsed and batching ones."""
    dimensions([*dropped[0], *dropped[1]], operand.rank, what)
    dimensions(mapped, operand.rank, "indexed dimensions")
    if not set(mapped).isdisjoint(dropped[1]):
        fail("indexed dimensions must not be batching dimensions", list(mapped))
    return [d for d in range(operand.rank) if d not in dropped[0] and d not in dropped[1]]


def gather(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Windows of `slice_sizes` from the operand, one for each index vector."""
    operand, indices = array(operands[0]), array(operands[1], INTEGER)
    n: GatherDimensionNumbers = attrs["gather_dimension_numbers"]
    sizes = attrs["slice_sizes"]
    batch = _index_batch(indices, n.index_vector_dim, len(n.start_index_map), "start_index_map")
    _fits(sizes, operand, "slice_sizes")
    pairs = n.operand_batching_dims, n.start_indices_batching_dims
    _check_batching(operand, indices, pairs, n.index_vector_dim)
    dropped = n.collapsed_slice_dims, n.operand_batching_dims
    kept = _window_dimensions(operand, dropped, n.start_index_map, "collapsed_slice_dims")
    if any(sizes[d] > 1 for d in (*dropped[0], *dropped[1])):
        fail("slice_sizes of collapsed dimensions must be at most 1", list(sizes))
    rank = len(batch) + len(n.offset_dims)
    if len(kept) != len(n.offset_dims):
        fail(f"offset_dims must name {len(kept)} dimensions", list(n.offset_dims))
    dimensions(n.offset_dims, rank, "offset_dims")
    return Shape(operand.dtype, _interleave(n.offset_dims, [sizes[d] for d in kept], batch))


def _interleave(
    offsets: Sequence[int], window: Sequence[int], batch: Sequence[int]
) -> tuple[int, ...]:
    """Sizes where the window's take the dimensions `offsets` and the batch's take the others."""
    placed, rest = dict(zip(offsets, window, strict=True)), iter(batch)
    return tuple(
        [placed[d] if d in placed else next(rest) for d in range(len(placed) + len(batch))]
    )


def scatter(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The shapes of the operands; operands, one index array, as many updates."""
    count = len(operands) // 2
    inputs = [array(o) for o in operands[:count]]
    indices = array(operands[count], INTEGER)
    updates = [array(o) for o in operands[count + 1 :]]
    n: ScatterDimensionNumbers = attrs["scatter_dimension_numbers"]
    for group in (inputs, updates):
        if any(s.dims != group[0].dims for s in group):
            fail("operands, and updates, must have the same sizes", *group)
    if [s.dtype for s in inputs] != [s.dtype for s in updates]:
        fail("operands and updates must have the same element types", *inputs, *updates)
    _check_updates(inputs[0], indices, updates[0], n)
    reducer(called[0], [s.dtype for s in inputs])
    return one_or_tuple([Shape(s.dtype, s.dims) for s in inputs])


def _check_updates(
    operand: Shape, indices: Shape, update: Shape, n: ScatterDimensionNumbers
) -> None:
    mapped = n.scatter_dims_to_operand_dims
    batch = _index_batch(indices, n.index_vector_dim, len(mapped), "scatter_dims_to_operand_dims")
    pairs = n.input_batching_dims, n.scatter_indices_batching_dims
    _check_batching(operand, indices, pairs, n.index_vector_dim)
    dropped = n.inserted_window_dims, n.input_batching_dims
    kept = _window_dimensions(operand, dropped, mapped, "inserted_window_dims")
    dimensions(n.update_window_dims, update.rank, "update_window_dims")
    if len(kept) != len(n.update_window_dims) or update.rank != len(kept) + len(batch):
        fail(
            f"updates must have {len(kept)} window and {len(batch)} index dimensions",
            update,
            list(n.update_window_dims),
        )
    if any(
        update.dims[u] > operand.dims[d] for u, d in zip(n.update_window_dims, kept, strict=True)
    ):
        fail("windows of updates must fit in the operand", update, operand)
    rest = tuple(s for d, s in enumerate(update.dims) if d not in n.update_window_dims)
    if rest != batch:
        fail("updates must have the sizes of the indices", update, indices)


def get_dimension_size(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """s32[]: the size of one dimension."""
    _one_dimension(array(operands[0]), attrs)
    return Shape("s32")


def set_dimension_size(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The operand's shape: sizes are static, so the size set must be the one it has."""
    operand = array(operands[0])
    _one_dimension(operand, attrs)
    if operands[1] != Shape("s32"):
        fail("size must be s32[]", operands[1])
    return Shape(operand.dtype, operand.dims)


def _one_dimension(operand: Shape, attrs: Attrs) -> None:
    if len(attrs["dimensions"]) != 1:
        fail("dimensions must hold one dimension", list(attrs["dimensions"]))
    dimension(attrs["dimensions"][0], operand.rank)
