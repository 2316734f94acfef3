"""How each op reads operands whose dimensions stand in other orders, and how its result stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

from hlo_frontend.hlo.attributes import GatherDimensionNumbers, WindowDimension
from hlo_frontend.hlo.types import Shape
from neff.ops import ELEMENTWISE
from neff.passes.layouts import Layouts, with_attribute
from neff.passes.orders import (
    Block,
    Order,
    blocks,
    blockwise,
    completed,
    identity,
    inverse,
    permuted,
    without,
)
from neff.program import Instruction

# Layouts, the position of the next instruction, the instruction: places its value.
Rule = Callable[[Layouts, int, Instruction], None]


def as_it_is(layouts: Layouts, position: int, i: Instruction) -> None:
    """An op that takes one order only: the function's."""
    operands = tuple([layouts.value(o) for o in i.operands])
    value = layouts.b.emit(i if operands == i.operands else replace(i, operands=operands))
    layouts.place(value, identity(i.shape.rank if isinstance(i.shape, Shape) else 0))


def _emit(layouts: Layouts, i: Instruction, order: Order, *operands: int, **attr: object) -> None:
    """Place an instruction on moved operands; `attr` is the attribute that changes."""
    attrs = i.attrs
    for name, value in attr.items():
        attrs = with_attribute(replace(i, attrs=attrs), name, value)
    shape = Shape(i.array.dtype, permuted(i.array.dims, order))
    made = replace(i, shape=shape, operands=operands, attrs=attrs)
    layouts.place(layouts.b.emit(made), order)


def _aligned(
    layouts: Layouts, position: int, i: Instruction, needed: Iterable[int] = ()
) -> tuple[Order, tuple[int, ...]]:
    """The order chosen for all operands of the result's rank, and the operands in it.

    The order has the `needed` dimensions, and those that are not of size one everywhere.
    """
    rank = i.array.rank
    whole = [o for o in i.operands if layouts.shape(o).rank == rank]
    order = layouts.chosen(position, whole) if whole else identity(rank)
    if len(order) < rank:
        shapes = [i.array.dims, *(layouts.shape(o).dims for o in whole)]
        order = completed(order, (*needed, *(d for s in shapes for d in range(rank) if s[d] != 1)))
    operands = tuple(
        [
            layouts.in_order(o, order) if layouts.shape(o).rank == rank else layouts.value(o)
            for o in i.operands
        ]
    )
    return order, operands


def _elementwise(layouts: Layouts, position: int, i: Instruction) -> None:
    order, operands = _aligned(layouts, position, i)
    _emit(layouts, i, order, *operands)


def _per_dimension(name: str, nothing: object) -> Rule:
    """An op with an attribute that has one entry for each dimension, `nothing` where it is idle."""

    def rule(layouts: Layouts, position: int, i: Instruction) -> None:
        if not isinstance(i.shape, Shape):
            as_it_is(layouts, position, i)
            return
        busy = [d for d, entry in enumerate(i[name]) if entry != nothing]
        order, operands = _aligned(layouts, position, i, busy)
        _emit(layouts, i, order, *operands, **{name: permuted(i[name], order)})

    return rule


def _dimension_numbers(layouts: Layouts, position: int, i: Instruction) -> None:
    """An op whose `dimensions` name dimensions of its operands and its result."""
    order, operands = _aligned(layouts, position, i, i["dimensions"])
    named = tuple(sorted(order.index(d) for d in i["dimensions"]))
    _emit(layouts, i, order, *operands, dimensions=named)


def _dynamic_slice(layouts: Layouts, position: int, i: Instruction) -> None:
    array, *starts = i.operands
    order = completed(layouts.chosen(position, (array,)), range(len(starts)))
    places = [layouts.value(s) for s in permuted(starts, order)]
    sizes = permuted(i["dynamic_slice_sizes"], order)
    value = layouts.in_order(array, order)
    _emit(layouts, i, order, value, *places, dynamic_slice_sizes=sizes)


def _dynamic_update_slice(layouts: Layouts, position: int, i: Instruction) -> None:
    array, update, *starts = i.operands
    order = completed(layouts.chosen(position, (array, update)), range(len(starts)))
    places = [layouts.value(s) for s in permuted(starts, order)]
    whole = [layouts.in_order(o, order) for o in (array, update)]
    _emit(layouts, i, order, *whole, *places)


def _deferred(layouts: Layouts, position: int, i: Instruction) -> None:
    layouts.defer(i)


def _transpose(layouts: Layouts, position: int, i: Instruction) -> None:
    """No instruction: the result is the operand in another order."""
    (operand,) = i.operands
    places = inverse(i["dimensions"])
    source = layouts.deferred.get(operand)
    if source is not None:
        layouts.defer(_turned(source, i.array, places))
        return
    order = layouts.order[operand]
    layouts.place(layouts.in_order(operand, order), tuple([places[d] for d in order]))


def _turned(source: Instruction, shape: Shape, places: Order) -> Instruction:
    """A broadcast or iota whose dimensions go to other places."""
    if source.op == "iota":
        attrs = with_attribute(source, "iota_dimension", places[source["iota_dimension"]])
    else:
        dimensions = tuple(places[d] for d in source["dimensions"])
        attrs = with_attribute(source, "dimensions", dimensions)
    return replace(source, shape=shape, attrs=attrs)


def _reshape(layouts: Layouts, position: int, i: Instruction) -> None:
    """Where blocks of dimensions are kept together, they stay in their order."""
    (operand,) = i.operands
    before, after = layouts.shape(operand).dims, i.array.dims
    split = blocks(before, after)
    order = layouts.order[operand]
    placed = blockwise(order, split, before) if split else None
    if placed is None:
        placed = _wanted_blocks(layouts, position, split, after) or split
        order = tuple(d for block in placed for d in block.before) or identity(len(before))
    value = layouts.in_order(operand, order)
    result = _kept_units(order, before, placed, after) or identity(len(after))
    value = layouts.reshaped(value, permuted(after, result), i)
    layouts.place(value, result)


def _kept_units(
    order: Order, before: tuple[int, ...], placed: tuple[Block, ...], after: tuple[int, ...]
) -> Order:
    """The order after a reshape: without sizes of one, but a row of a matrix stays one."""
    row = sum(size != 1 for size in after) == 1
    units = iter([d for d, size in enumerate(after) if size == 1 and row])
    first = {block.before[0]: block for block in placed}
    result: list[int] = []
    for d in order:
        if before[d] == 1:
            result.extend(itertools.islice(units, 1))
        elif d in first:
            result.extend(n for n in first[d].after if after[n] != 1)
    return tuple(result)


def _wanted_blocks(
    layouts: Layouts, position: int, split: tuple[Block, ...], after: tuple[int, ...]
) -> tuple[Block, ...] | None:
    """The blocks as the readers of a reshape want them, if they want all of each."""
    wanted = layouts.wants.soft.get(position)
    if wanted is None or not split:
        return None
    turned = [Block(tuple(d for d in b.after if after[d] != 1), b.before) for b in split]
    in_order = blockwise(wanted, turned, after)
    if in_order is None:
        return None
    return tuple(split[turned.index(block)] for block in in_order)


def _reduce(layouts: Layouts, position: int, i: Instruction) -> None:
    if not isinstance(i.shape, Shape):
        as_it_is(layouts, position, i)
        return
    array, initial = i.operands
    order = completed(layouts.chosen(-1, (array,)), i["dimensions"])
    dimensions = tuple(sorted(order.index(d) for d in i["dimensions"]))
    operands = layouts.in_order(array, order), layouts.value(initial)
    _emit(layouts, i, without(order, i["dimensions"]), *operands, dimensions=dimensions)


def _gather(layouts: Layouts, position: int, i: Instruction) -> None:
    """The operand in its order; what the indices pick stands where they pick it from."""
    numbers: GatherDimensionNumbers = i["gather_dimension_numbers"]
    array, indices = i.operands
    order = completed(layouts.chosen(-1, (array,)), range(layouts.shape(array).rank))
    if numbers.operand_batching_dims or order == identity(len(order)):
        as_it_is(layouts, position, i)
        return
    places = inverse(order)
    kept = [d for d in identity(len(order)) if d not in numbers.collapsed_slice_dims]
    result_of = dict(zip(kept, numbers.offset_dims, strict=True))
    batch = [d for d in range(i.array.rank) if d not in numbers.offset_dims]
    made: list[int] = []
    for d in order:
        if d in result_of:
            made.append(result_of[d])
        elif batch:
            made.extend(batch)
            batch = []
    result = (*batch, *made)
    moved = replace(
        numbers,
        offset_dims=tuple(n for n, d in enumerate(result) if d in numbers.offset_dims),
        collapsed_slice_dims=tuple(sorted(places[d] for d in numbers.collapsed_slice_dims)),
        start_index_map=tuple(places[d] for d in numbers.start_index_map),
    )
    operands = layouts.in_order(array, order), layouts.value(indices)
    sizes = permuted(i["slice_sizes"], order)
    _emit(layouts, i, result, *operands, gather_dimension_numbers=moved, slice_sizes=sizes)


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "broadcast": _deferred,
    "concatenate": _dimension_numbers,
    "copy": _elementwise,
    "dynamic-slice": _dynamic_slice,
    "dynamic-update-slice": _dynamic_update_slice,
    "gather": _gather,
    "iota": _deferred,
    "pad": _per_dimension("padding", (0, 0, 0)),
    "reduce": _reduce,
    "reduce-window": _per_dimension("window", WindowDimension(1)),
    "reshape": _reshape,
    "reverse": _dimension_numbers,
    "slice": _per_dimension("slice", (0, 1, 1)),
    "transpose": _transpose,
}
