"""Orders of dimensions: a value in order `o` has as its dimension k the dimension o[k] of another.

An order may leave out dimensions of size one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

T = TypeVar("T")
Order = tuple[int, ...]


@cache
def identity(rank: int) -> Order:
    return tuple(range(rank))


@cache
def inverse(order: Order) -> Order:
    """Where each dimension is: inverse(o)[o[k]] = k."""
    places = [0] * len(order)
    for place, dimension in enumerate(order):
        places[dimension] = place
    return tuple(places)


def permuted(sequence: Sequence[T], order: Order) -> tuple[T, ...]:
    return tuple([sequence[d] for d in order])


def without(order: Order, dropped: Sequence[int]) -> Order:
    """The order of the dimensions that are left when some are dropped, by their new numbers."""
    return tuple([d - sum(x < d for x in dropped) for d in order if d not in dropped])


def completed(order: Order, dimensions: Iterable[int]) -> Order:
    """An order with the dimensions it leaves out of some: each behind the one before it."""
    full = list(order)
    for d in sorted(set(dimensions) - set(order)):
        before = [n for n in range(d) if n in full]
        full.insert(full.index(before[-1]) + 1 if before else 0, d)
    return tuple(full)


def same_memory(dims: Sequence[int], one: Order, other: Order) -> bool:
    """Whether two orders of an array differ in the places of dimensions of size one only."""
    if one == other:
        return True
    return [d for d in one if dims[d] != 1] == [d for d in other if dims[d] != 1]


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring dimensions of one shape that hold what neighbouring ones of another hold.

    Sizes of one are left out of `before`; in `after` they belong to the block in front of them.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


@cache
def blocks(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[Block, ...]:
    """The smallest blocks of a reshape, in order; none where a size is zero or all are one."""
    found: list[tuple[list[int], list[int]]] = []
    leading: list[int] = []
    left = [(d, size) for d, size in enumerate(before) if size != 1]
    if not left or 0 in before:
        return ()
    taken, given, at = 1, 1, 0
    for dimension, size in enumerate(after):
        if size == 1:
            (found[-1][1] if found else leading).append(dimension)
            continue
        if taken == given:  # the block before is complete
            found.append(([], []))
        given *= size
        found[-1][1].append(dimension)
        while taken < given:
            found[-1][0].append(left[at][0])
            taken *= left[at][1]
            at += 1
    if found:
        found[0][1][:0] = leading
    return tuple(Block(tuple(b), tuple(a)) for b, a in found)


def blockwise(
    order: Order, split: Sequence[Block], dims: Sequence[int]
) -> tuple[Block, ...] | None:
    """The blocks in the order in which `before` dimensions stand, or None where one is torn.

    Without elements there are no blocks, and None.
    """
    if 0 in dims:
        return None
    home = {d: block for block in split for d in block.before}
    placed = [d for d in order if dims[d] != 1]
    in_order: list[Block] = []
    at = 0
    while at < len(placed):
        block = home[placed[at]]
        if tuple(placed[at : at + len(block.before)]) != block.before:
            return None
        in_order.append(block)
        at += len(block.before)
    return tuple(in_order)
