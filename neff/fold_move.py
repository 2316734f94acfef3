"""Folding rules that only choose, move or reinterpret elements of host values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hlo_frontend.hlo.attributes import GatherDimensionNumbers
from hlo_frontend.hlo.types import ELEMENT_TYPES, ElementType, element_type_of
from neff.program import Instruction

Array = np.ndarray[Any, Any]
Fold = Callable[..., "Array | None"]


def is_float(x: Array) -> bool:
    """Whether elements are floating-point numbers, of whatever format."""
    return ELEMENT_TYPES[element_type_of(x.dtype)].kind == "float"


def cast(x: Array, target: ElementType) -> Array:
    """numpy's conversion; integers of few bits pass through bytes, which have all conversions."""
    if target.bits < 8 and target.kind in ("signed", "unsigned"):
        x = x.astype(np.int8)
    elif x.dtype.itemsize == 1 and x.dtype.kind not in "biu":
        x = x.astype(np.float32 if is_float(x) else np.int8)
    return x.astype(target.numpy)


def _slice(i: Instruction, x: Array) -> Array:
    return x[tuple(slice(*bounds) for bounds in i["slice"])]


def _dynamic_slice(i: Instruction, x: Array, *starts: Array) -> Array:
    """A block that would reach out of the array is moved into it."""
    sizes = i["dynamic_slice_sizes"]
    places = [min(max(int(s), 0), d - n) for s, d, n in zip(starts, x.shape, sizes, strict=True)]
    return x[tuple(slice(p, p + n) for p, n in zip(places, sizes, strict=True))]


def _broadcast(i: Instruction, x: Array) -> Array:
    dims = [1] * i.array.rank
    for size, d in zip(x.shape, i["dimensions"], strict=True):
        dims[d] = size
    in_order = x.transpose(np.argsort(i["dimensions"]))
    return np.broadcast_to(in_order.reshape(dims), i.array.dims)


def _iota(i: Instruction) -> Array | None:
    shape = i.array
    if shape.element.kind == "complex":
        return None
    dims = [1] * shape.rank
    dims[i["iota_dimension"]] = -1
    line = cast(np.arange(shape.dims[i["iota_dimension"]]), shape.element)
    return np.broadcast_to(line.reshape(dims), shape.dims)


def _pad(i: Instruction, x: Array, fill: Array) -> Array:
    """Elements with `interior` fills between them, then fills at the edges, or elements cut off."""
    made = np.full(i.array.dims, fill, x.dtype)
    into, out = [], []
    for (low, _, interior), size, total in zip(i["padding"], x.shape, i.array.dims, strict=True):
        step = interior + 1
        first = max(0, -(low // step)) if low < 0 else 0  # the first element that is not cut off
        kept = [n for n in range(first, size) if 0 <= low + n * step < total]
        out.append(kept)
        into.append([low + n * step for n in kept])
    made[np.ix_(*into)] = x[np.ix_(*out)]
    return made


def _select(i: Instruction, p: Array, x: Array, y: Array) -> Array:
    return np.where(p, x, y)


def _gather(i: Instruction, x: Array, indices: Array) -> Array | None:
    """Blocks of the operand from where the indices say, moved into it if they would reach out."""
    numbers: GatherDimensionNumbers = i["gather_dimension_numbers"]
    sizes = i["slice_sizes"]
    if numbers.operand_batching_dims:
        return None
    at = numbers.index_vector_dim
    starts = indices[..., None] if at == indices.ndim else np.moveaxis(indices, at, -1)
    batch = starts.ndim - 1
    kept = [d for d in range(x.ndim) if d not in numbers.collapsed_slice_dims]
    places: list[Array] = []
    for d in range(x.ndim):
        place = np.zeros((1,) * (batch + len(kept)), np.int64)
        if d in numbers.start_index_map:
            start = starts[..., numbers.start_index_map.index(d)].astype(np.int64)
            start = np.clip(start, 0, x.shape[d] - sizes[d])
            place = start.reshape(*start.shape, *(1,) * len(kept))
        if d in kept:
            line = [1] * len(kept)
            line[kept.index(d)] = sizes[d]
            place = place + np.arange(sizes[d]).reshape(line)
        places.append(place)
    full = (*starts.shape[:-1], *(sizes[d] for d in kept))
    made = np.broadcast_to(x[tuple(places)], full)
    picked = iter(range(batch))
    offsets = {d: batch + n for n, d in enumerate(numbers.offset_dims)}
    return made.transpose([offsets[d] if d in offsets else next(picked) for d in range(made.ndim)])


def _bitcast_convert(i: Instruction, x: Array) -> Array | None:
    same = x.dtype.itemsize == i.array.numpy.itemsize and i.array.element.bits >= 8
    return x.view(i.array.numpy) if same and x.dtype.kind != "b" else None


MOVES: dict[str, Fold] = {
    "bitcast-convert": _bitcast_convert,
    "broadcast": _broadcast,
    "concatenate": lambda i, *xs: np.concatenate(xs, i["dimensions"][0]),
    "copy": lambda i, x: x,
    "dynamic-slice": _dynamic_slice,
    "gather": _gather,
    "iota": _iota,
    "pad": _pad,
    "reshape": lambda i, x: x.reshape(i.array.dims),
    "reverse": lambda i, x: np.flip(x, i["dimensions"]),
    "select": _select,
    "slice": _slice,
    "transpose": lambda i, x: x.transpose(i["dimensions"]),
}
