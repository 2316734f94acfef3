"""Gathers whose indices are known, as the slices that they are: views of torch come as gathers."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hlo_frontend.hlo.attributes import GatherDimensionNumbers
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.fold import fold
from neff.program import Instruction

# What is numbered to see what is picked is as large.
NUMBERED_LIMIT = 1 << 20


class Runs(NamedTuple):
    """Numbers that follow each other, `length` at a time, each run `apart` from the last."""

    first: int
    rows: int
    length: int
    apart: int


def gathered_slice(b: Builder, i: Instruction, indices: np.ndarray) -> int | None:
    """The value of a gather with known indices, where it is a slice of the array reshaped.

    Indices that reach out of the array are left to the gather, and to whoever looks for them.
    """
    array = b.instructions[i.operands[0]].array
    size = array.size
    if not 0 < i.array.size <= size <= NUMBERED_LIMIT or not _within(i, array, indices):
        return None
    numbered = np.arange(size, dtype=np.int32).reshape(array.dims)
    picked = fold(replace(i, shape=Shape("s32", i.array.dims)), [numbered, indices])
    runs = None if picked is None else runs_of(picked.reshape(-1), size)
    if runs is None:
        return None
    rows, column = divmod(runs.first, runs.apart)
    sizes = size // runs.apart, runs.apart
    value = b.op("reshape", Shape(array.dtype, sizes), i.operands[0], metadata=i.metadata)
    taken = (rows, rows + runs.rows, 1), (column, column + runs.length, 1)
    shape = Shape(array.dtype, (runs.rows, runs.length))
    if shape.dims != sizes:
        value = b.op("slice", shape, value, metadata=i.metadata, slice=taken)
    return b.op("reshape", i.array, value, metadata=i.metadata)


def runs_of(numbers: np.ndarray, size: int) -> Runs | None:
    """What numbers are that are columns of some rows, where `size` numbers are laid out in rows."""
    first = int(numbers[0])
    broken = np.flatnonzero(np.diff(numbers) != 1)
    length = int(broken[0]) + 1 if broken.size else len(numbers)
    count, rest = divmod(len(numbers), length)
    apart = int(numbers[length]) - first if count > 1 else size
    if rest or apart <= 0 or size % apart or first % apart + length > apart:
        return None
    wanted = first + np.arange(count)[:, None] * apart + np.arange(length)
    return Runs(first, count, length, apart) if np.array_equal(wanted.ravel(), numbers) else None


def _within(i: Instruction, array: Shape, indices: np.ndarray) -> bool:
    """Whether all that is picked is there."""
    numbers: GatherDimensionNumbers = i["gather_dimension_numbers"]
    at = numbers.index_vector_dim
    starts = indices[..., None] if at == indices.ndim else np.moveaxis(indices, at, -1)
    last = [array.dims[d] - i["slice_sizes"][d] for d in numbers.start_index_map]
    return bool(np.all(starts >= 0) and np.all(starts <= last))
