"""The values of a function while their dimensions are put in order: each stands in one or several.

A transpose is no instruction here but a note on how a value stands; it is emitted where something
needs the value to stand otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.fold import FOLDS
from neff.passes.orders import Order, completed, identity, permuted, same_memory
from neff.passes.wants import Wants
from neff.program import Function, Instruction


class Layouts:
    """A function rebuilt with its values in other orders. Positions `old` are of the function."""

    def __init__(self, function: Function, weights: frozenset[int], wants: Wants) -> None:
        self.function, self.instructions = function, function.instructions
        self.b = Builder()
        self.wants = wants
        self.weights = weights  # numbers of parameters bound to weights
        self.known: list[bool] = []  # made of weights and constants: moving them costs nothing
        self.order: list[Order] = []  # the order each value stands in first
        self.made: list[dict[Order, int]] = []  # where it stands in each order it is needed in
        self.deferred: dict[int, Instruction] = {}  # made in each order in which they are read

    def shape(self, old: int) -> Shape:
        return self.instructions[old].array

    def place(self, value: int, order: Order) -> None:
        """Say where the next value of the function is, and in which order it stands."""
        self.order.append(order)
        self.made.append({order: value})
        self._note()

    def defer(self, i: Instruction) -> None:
        """Leave the next value, a broadcast or iota, to be made in the orders it is read in."""
        self.deferred[len(self.order)] = i
        self.order.append(identity(i.array.rank))
        self.made.append({})
        self._note()

    def _note(self) -> None:
        i = self.instructions[len(self.known)]
        if i.op == "parameter":
            self.known.append(i["number"] in self.weights)
        else:
            folds = i.op in FOLDS or i.op == "constant"
            self.known.append(folds and all(self.known[o] for o in i.operands))

    def is_free(self, old: int) -> bool:
        """Whether a value stands in any order at no cost."""
        return self.known[old] or old in self.deferred

    def has(self, old: int, order: Order) -> bool:
        """Whether a value stands in an order, or will because something needs it so."""
        dims = self.shape(old).dims
        stands = (*self.made[old], *self.wants.hard.get(old, ()))
        return order in stands or any(same_memory(dims, order, o) for o in stands)

    def value(self, old: int) -> int:
        """The value as the function has it."""
        shape = self.instructions[old].shape
        rank = shape.rank if isinstance(shape, Shape) else 0
        return self.in_order(old, identity(rank))

    def in_order(self, old: int, order: Order) -> int:
        """The value in an order, moved there if it does not stand so yet."""
        made = self.made[old]
        if order not in made:
            made[order] = self._made(old, order)
        return made[order]

    def _made(self, old: int, order: Order) -> int:
        i = self.deferred.get(old)
        if i is not None:
            return self._iota(i, order) if i.op == "iota" else self._broadcast(i, order)
        i = self.instructions[old]
        return self._moved(old, order)

    def _moved(self, old: int, order: Order) -> int:
        source, dims = self.instructions[old], self.shape(old).dims
        stands, value = self._nearest(old, order)
        if same_memory(dims, stands, order):
            return self.reshaped(value, permuted(dims, order), source)
        if len(stands) != len(order):  # sizes of one go before the move, and come after it
            stands = tuple([d for d in stands if dims[d] != 1])
            value = self.reshaped(value, permuted(dims, stands), source)
        placed = tuple([d for d in order if d in stands])
        value = self.transposed(value, tuple([stands.index(d) for d in placed]), source)
        return self.reshaped(value, permuted(dims, order), source)

    def _nearest(self, old: int, order: Order) -> tuple[Order, int]:
        """The order it stands in already that is the same in memory, or the first."""
        dims = self.shape(old).dims
        for stands, value in self.made[old].items():
            if same_memory(dims, stands, order):
                return stands, value
        return next(iter(self.made[old].items()))

    def _broadcast(self, i: Instruction, order: Order) -> int:
        given = {n: order.index(d) for n, d in enumerate(i["dimensions"]) if d in order}
        wanted = tuple(sorted(given, key=given.__getitem__))
        value = self.in_order(i.operands[0], wanted)
        shape = Shape(i.array.dtype, permuted(i.array.dims, order))
        attrs = with_attribute(i, "dimensions", tuple(sorted(given.values())))
        return self.b.emit(replace(i, shape=shape, operands=(value,), attrs=attrs))

    def _iota(self, i: Instruction, given: Order) -> int:
        order = completed(given, (i["iota_dimension"],))
        shape = Shape(i.array.dtype, permuted(i.array.dims, order))
        attrs = with_attribute(i, "iota_dimension", order.index(i["iota_dimension"]))
        value = self.b.emit(replace(i, shape=shape, attrs=attrs))
        return self.reshaped(value, permuted(i.array.dims, given), i)

    def transposed(self, value: int, order: Order, source: Instruction) -> int:
        """A value of the new function with its dimensions in an order, moved once if twice."""
        inner = self.b.instructions[value]
        if inner.op == "transpose":
            value, order = inner.operands[0], permuted(inner["dimensions"], order)
        shape = self.b.instructions[value].array
        if order == identity(shape.rank):
            return value
        made = Shape(shape.dtype, permuted(shape.dims, order))
        if same_memory(shape.dims, identity(shape.rank), order):
            return self.reshaped(value, made.dims, source)
        return self.b.op("transpose", made, value, metadata=source.metadata, dimensions=order)

    def reshaped(self, value: int, dims: Sequence[int], source: Instruction) -> int:
        """A value of the new function in other sizes, its elements in the same sequence."""
        if self.b.instructions[value].op == "reshape":
            value = self.b.instructions[value].operands[0]
        shape = self.b.instructions[value].array
        if shape.dims == tuple(dims):
            return value
        made = Shape(shape.dtype, tuple(dims))
        return self.b.op("reshape", made, value, metadata=source.metadata)

    def chosen(self, position: int, operands: Sequence[int]) -> Order:
        """The order in which an op that takes any reads its operands: what moves the fewest bytes.

        Counted are operands that stand otherwise, and the result if its readers want it otherwise.
        """
        wanted = self.wants.soft.get(position)
        firm = [o for o in operands if not self.is_free(o)]
        orders = dict.fromkeys(self.order[o] for o in firm)
        dims = self.shape(operands[0]).dims
        if any(wanted is None or same_memory(dims, wanted, o) for o in orders) and len(orders) == 1:
            return next(iter(orders))
        if wanted is not None:
            orders = {**orders, wanted: None}
        if not orders:
            return identity(len(dims))

        def cost(order: Order) -> int:
            moved = sum(self.shape(o).bytes for o in firm if not self.has(o, order))
            result = self.instructions[position].shape
            turned = wanted is not None and not same_memory(dims, order, wanted)
            return moved + (result.bytes if turned else 0)

        return min(orders, key=cost)  # of equals the first: nothing is hoisted for nothing


def with_attribute(i: Instruction, name: str, value: object) -> tuple[tuple[str, object], ...]:
    """The attributes of an instruction, one of them changed."""
    return tuple((k, value if k == name else v) for k, v in i.attrs)
