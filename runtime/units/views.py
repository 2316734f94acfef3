"""Values that only rename, repeat or pick elements of others, as strides over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul

from neff.program import Function, Instruction


@dataclass(frozen=True, slots=True)
class View:
    """The elements of the value at `source`: index i is at offset + sum(i * strides), in elements.

    A stride of 0 repeats.
    """

    source: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


def dense(source: int, dims: tuple[int, ...]) -> View:
    """A value as it lies: row-major, without gaps."""
    return View(source, dims, row_major(dims))


def row_major(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of dimensions without gaps, the last the nearest."""
    return tuple(accumulate(reversed(dims[1:]), mul, initial=1))[::-1] if dims else ()


def view(function: Function, position: int, reachable: Callable[[int], bool]) -> View:
    """The value at `position` as a view of the furthest value that strides lead to it from.

    Only instructions that are `reachable` are seen through, a conversion among them being taken
    for its operand: the reader converts for itself.
    """
    i = function.instructions[position]
    if not reachable(position) or i.op not in _STEPS:
        return dense(position, i.array.dims)
    made = _STEPS[i.op](view(function, i.operands[0], reachable), i)
    return dense(position, i.array.dims) if made is None else made


def _transpose(of: View, i: Instruction) -> View:
    order = i["dimensions"]
    return replace(
        of, dims=tuple(of.dims[d] for d in order), strides=tuple(of.strides[d] for d in order)
    )


def _broadcast(of: View, i: Instruction) -> View:
    strides = [0] * len(i.array.dims)
    for dimension, stride, size in zip(i["dimensions"], of.strides, of.dims, strict=True):
        strides[dimension] = stride if size > 1 else 0
    return replace(of, dims=i.array.dims, strides=tuple(strides))


def _slice(of: View, i: Instruction) -> View:
    triples = i["slice"]
    offset = sum(start * s for (start, _, _), s in zip(triples, of.strides, strict=True))
    strides = tuple(s * step for s, (_, _, step) in zip(of.strides, triples, strict=True))
    return replace(of, dims=i.array.dims, strides=strides, offset=of.offset + offset)


def _convert(of: View, i: Instruction) -> View:
    return of


def _reshape(of: View, i: Instruction) -> View | None:
    strides = reshaped(of.dims, of.strides, i.array.dims)
    return None if strides is None else replace(of, dims=i.array.dims, strides=strides)


_STEPS: dict[str, Callable[[View, Instruction], View | None]] = {
    "broadcast": _broadcast,
    "convert": _convert,
    "reshape": _reshape,
    "slice": _slice,
    "transpose": _transpose,
}


def picked(of: View, which: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sizes and strides of some dimensions."""
    return tuple(of.dims[d] for d in which), tuple(of.strides[d] for d in which)


def merged(dims: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Sizes and strides with neighbours that are walked in one stride made one, none of size 1."""
    found: list[tuple[int, int]] = []
    for size, stride in zip(dims, strides, strict=True):
        if size == 1:
            continue
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return found


def reshaped(
    dims: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The strides of the same elements under other dimensions; None where there are none."""
    if 0 in dims:
        return None
    old = merged(dims, strides)
    found = [0] * len(new)
    left, stride = old.pop() if old else (1, 1)
    for d in range(len(new) - 1, -1, -1):
        if new[d] == 1:
            continue
        if left == 1 and old:
            left, stride = old.pop()
        if left % new[d]:
            return None
        found[d] = stride
        left //= new[d]
        stride *= new[d]
    return tuple(found)
