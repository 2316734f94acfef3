"""Values that only rename, repeat or pick elements of others, as strides over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul

from neff.program import Function, Instruction

Part = tuple[int, int]  # a size and a stride, in elements; a stride of 0 repeats


@dataclass(frozen=True, slots=True)
class View:
    """The elements of the value at `source`: an offset, and how each dimension is walked.

    A dimension has its parts, outer to inner, of which each is walked in one stride; one of size 1
    has none. A stride of 0 repeats.
    """

    source: int
    dims: tuple[int, ...]
    parts: tuple[tuple[Part, ...], ...]
    offset: int = 0

    @property
    def strides(self) -> tuple[int, ...]:
        """That of each dimension. Raises ValueError where one has several."""
        if any(len(p) > 1 for p in self.parts):
            raise ValueError(f"views: each dimension must be walked in one stride, got {self}")
        return tuple(p[0][1] if p else 1 for p in self.parts)


def dense(source: int, dims: tuple[int, ...]) -> View:
    """A value as it lies: row-major, without gaps."""
    pairs = zip(dims, row_major(dims), strict=True)
    return View(source, dims, tuple(((n, stride),) if n != 1 else () for n, stride in pairs))


def row_major(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of dimensions without gaps, the last the nearest."""
    return tuple(accumulate(reversed(dims[1:]), mul, initial=1))[::-1] if dims else ()


def view(
    function: Function,
    position: int,
    reachable: Callable[[int], bool],
    *,
    in_parts: bool = False,
) -> View:
    """The value at `position` as a view of the furthest value that strides lead to it from.

    Only instructions that are `reachable` are seen through, a conversion among them being taken
    for its operand: the reader converts for itself. Dimensions have several parts only where
    `in_parts` says so.
    """
    i = function.instructions[position]
    if not reachable(position) or i.op not in _STEPS:
        return dense(position, i.array.dims)
    made = _STEPS[i.op](view(function, i.operands[0], reachable, in_parts=in_parts), i)
    if made is None or not (in_parts or all(len(p) <= 1 for p in made.parts)):
        return dense(position, i.array.dims)
    return made


def _transpose(of: View, i: Instruction) -> View:
    order = i["dimensions"]
    return replace(
        of, dims=tuple(of.dims[d] for d in order), parts=tuple(of.parts[d] for d in order)
    )


def _broadcast(of: View, i: Instruction) -> View:
    parts: list[tuple[Part, ...]] = [((n, 0),) if n != 1 else () for n in i.array.dims]
    for dimension, part, size in zip(i["dimensions"], of.parts, of.dims, strict=True):
        if size > 1:
            parts[dimension] = part
    return replace(of, dims=i.array.dims, parts=tuple(parts))


def _slice(of: View, i: Instruction) -> View | None:
    parts, offset = [], of.offset
    for (start, limit, step), part, size in zip(i["slice"], of.parts, of.dims, strict=True):
        taken = -(-(limit - start) // step)
        if (start, taken) == (0, size) or not part:
            parts.append(part)
            continue
        if len(part) > 1:
            return None
        stride = part[0][1]
        offset += start * stride
        parts.append(((taken, stride * step),) if taken != 1 else ())
    return replace(of, dims=i.array.dims, parts=tuple(parts), offset=offset)


def _convert(of: View, i: Instruction) -> View:
    return of


def _reshape(of: View, i: Instruction) -> View | None:
    """The same elements under other dimensions; None where no parts make them up."""
    if 0 in of.dims:
        return None
    left = merged(*of.parts)
    found: list[tuple[Part, ...]] = []
    for size in reversed(i.array.dims):
        taken: list[Part] = []
        while size > 1:
            part = _innermost(left, size)
            if part is None:
                return None
            taken.insert(0, part)
            size //= part[0]
        found.insert(0, tuple(taken))
    return replace(of, dims=i.array.dims, parts=tuple(found))


_STEPS: dict[str, Callable[[View, Instruction], View | None]] = {
    "broadcast": _broadcast,
    "convert": _convert,
    "reshape": _reshape,
    "slice": _slice,
    "transpose": _transpose,
}


def picked(of: View, which: list[int]) -> list[Part]:
    """Some dimensions, one within the other, in as few parts as there can be."""
    return merged(*(of.parts[d] for d in which))


def merged(*dimensions: Sequence[Part]) -> list[Part]:
    """The parts of dimensions, with neighbours that are walked in one stride made one."""
    found: list[Part] = []
    for size, stride in (part for parts in dimensions for part in parts):
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return found


def walked_together(
    left: Sequence[Part], right: Sequence[Part]
) -> list[tuple[int, int, int]] | None:
    """Of two dimensions of one size the parts that they have in common: size and both strides.

    None where there are none.
    """
    a, b = list(left), list(right)
    found: list[tuple[int, int, int]] = []
    while a and b:
        from_b = _innermost(b, a[-1][0])
        from_a = None if from_b is None else _innermost(a, from_b[0])
        if from_a is None or from_b is None:
            return None
        found.insert(0, (*from_a, from_b[1]))
    return found


def _innermost(left: list[Part], size: int) -> Part | None:
    """What is taken of the innermost of the parts that are left, for a dimension of a size.

    None where neither size divides the other.
    """
    count, stride = left.pop()
    inner = min(count, size)
    if count % inner or size % inner:
        return None
    if count > inner:
        left.append((count // inner, stride * inner))
    return inner, stride
