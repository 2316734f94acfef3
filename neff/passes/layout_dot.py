"""Dots as batched matrix products: `[..batch, M, K] · [..batch, K, N]`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.types import Shape
from neff.passes.layouts import Layouts, with_attribute
from neff.passes.orders import identity, permuted
from neff.program import Instruction


@dataclass(frozen=True, slots=True)
class Side:
    """An operand with a name for each of its dimensions.

    Free and batch dimensions are called by their number in the result, contracted ones by
    negative numbers.
    """

    old: int
    names: tuple[int, ...]


def place_dot(layouts: Layouts, position: int, i: Instruction) -> None:
    """Sizes of one are left out, batch dimensions over which an operand is repeated are free ones
    of the other, free and contracted dimensions are merged. Weights stand on the right."""
    lhs, rhs = _sides(layouts, i)
    if layouts.known[lhs.old] and not layouts.known[rhs.old]:
        lhs, rhs = rhs, lhs
    lhs, rhs = _unrepeated(layouts, lhs, rhs), _unrepeated(layouts, rhs, lhs)
    sizes = dict(_sizes(layouts, lhs)) | dict(_sizes(layouts, rhs))
    shared = set(lhs.names) & set(rhs.names)
    batch = sorted(n for n in shared if n >= 0 and sizes[n] != 1)
    leading = rhs if layouts.is_free(lhs.old) else lhs
    contracted = [n for n in _standing(layouts, leading, sizes) if n < 0]
    rows = [n for n in _standing(layouts, lhs, sizes) if n not in shared]
    columns = [n for n in _standing(layouts, rhs, sizes) if n not in shared]

    left = _matrix(layouts, lhs, (batch, rows, contracted), sizes)
    right = _matrix(layouts, rhs, (batch, contracted, columns), sizes)
    dims = (*(sizes[n] for n in batch), _size(rows, sizes), _size(columns, sizes))
    count = len(batch)
    numbers = DotDimensionNumbers((count + 1,), (count,), identity(count), identity(count))
    made = replace(
        i,
        shape=Shape(i.array.dtype, dims),
        operands=(left, right),
        attrs=with_attribute(i, "dot_dimension_numbers", numbers),
    )
    free = _with_units(layouts, lhs, rows, shared), _with_units(layouts, rhs, columns, shared)
    order = (*batch, *free[0], *free[1])
    value = layouts.b.emit(made)
    layouts.place(layouts.reshaped(value, permuted(i.array.dims, order), i), order)


def _sides(layouts: Layouts, i: Instruction) -> tuple[Side, Side]:
    numbers: DotDimensionNumbers = i["dot_dimension_numbers"]
    result = len(numbers.lhs_batch)
    sides = []
    for old, batch, contracted in (
        (i.operands[0], numbers.lhs_batch, numbers.lhs_contracting),
        (i.operands[1], numbers.rhs_batch, numbers.rhs_contracting),
    ):
        names = {d: n for n, d in enumerate(batch)} | {d: -1 - n for n, d in enumerate(contracted)}
        for d in range(layouts.shape(old).rank):
            if d not in names:
                names[d] = result
                result += 1
        sides.append(Side(old, tuple(names[d] for d in range(len(names)))))
    return sides[0], sides[1]


def _unrepeated(layouts: Layouts, side: Side, other: Side) -> Side:
    """What is repeated over batch dimensions only is read as it was before."""
    source = layouts.deferred.get(side.old)
    if source is None or source.op != "broadcast":
        return side
    kept = source["dimensions"]
    added = [n for d, n in enumerate(side.names) if d not in kept]
    if any(n < 0 or n not in other.names for n in added):
        return side
    return Side(source.operands[0], tuple(side.names[d] for d in kept))


def _sizes(layouts: Layouts, side: Side) -> Iterable[tuple[int, int]]:
    return zip(side.names, layouts.shape(side.old).dims, strict=True)


def _size(names: Iterable[int], sizes: dict[int, int]) -> int:
    return math.prod(sizes[n] for n in names)


def _standing(layouts: Layouts, side: Side, sizes: dict[int, int]) -> list[int]:
    """The dimensions of an operand that are not of size one, as they stand."""
    names = permuted(side.names, layouts.order[side.old])
    return [n for n in names if sizes[n] != 1]


def _matrix(
    layouts: Layouts, side: Side, groups: tuple[Sequence[int], ...], sizes: dict[int, int]
) -> int:
    """An operand as its batch dimensions, rows and columns.

    What is merged in the end is merged before it is moved, where it stands together.
    """
    batch, rows, columns = groups
    source = layouts.instructions[side.old]
    dims = (*(sizes[n] for n in batch), _size(rows, sizes), _size(columns, sizes))
    standing = _standing(layouts, side, sizes)
    merged = [tuple(g) for g in (*((n,) for n in batch), rows, columns) if g]
    starts = [standing.index(g[0]) for g in merged]
    together = all(
        tuple(standing[at : at + len(g)]) == g for at, g in zip(starts, merged, strict=True)
    )
    stand = standing if together else [n for g in merged for n in g]
    value = layouts.in_order(side.old, tuple([side.names.index(n) for n in stand]))
    if together:
        by_place = sorted(range(len(merged)), key=starts.__getitem__)
        value = layouts.reshaped(value, [_size(merged[n], sizes) for n in by_place], source)
        order = tuple([by_place.index(n) for n in range(len(merged))])
        value = layouts.transposed(value, order, source)
    return layouts.reshaped(value, dims, source)


def _with_units(
    layouts: Layouts, side: Side, names: list[int], shared: set[int]
) -> tuple[int, ...]:
    """The free dimensions in which a result stands: of an operand's sizes of one, what saves a
    reshape before what reads it."""
    if len(names) == 1:
        return tuple(names)
    if not names:  # a row or column of one
        return tuple(n for n in side.names if n not in shared)[-1:]
    standing = permuted(side.names, layouts.order[side.old])
    return tuple(n for n in standing if n not in shared)
