"""In which orders of dimensions the readers of a value want it, found from the results upwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers
from hlo_frontend.hlo.types import Shape
from neff.ops import ELEMENTWISE
from neff.passes.orders import Order, blocks, blockwise, identity, permuted
from neff.program import Function, Instruction


@dataclass(frozen=True, slots=True)
class Wants:
    """By position: orders a value will stand in for sure, and the one that serves best.

    What serves convolutions serves best: `strong` has the values wanted as they want them.
    """

    hard: dict[int, tuple[Order, ...]] = field(default_factory=dict)
    soft: dict[int, Order] = field(default_factory=dict)
    strong: set[int] = field(default_factory=set)

    def need(self, position: int, order: Order, *, strong: bool = False) -> None:
        hard = self.hard.get(position, ())
        if order not in hard:
            self.hard[position] = (*hard, order)
        self.prefer(position, order, strong=strong)

    def prefer(self, position: int, order: Order, *, strong: bool) -> None:
        stronger = strong and position not in self.strong
        if position not in self.soft or stronger:
            self.soft[position] = order
        elif strong or position not in self.strong:  # of two wants, one whoever comes first
            self.soft[position] = min(order, self.soft[position])
        if stronger:
            self.strong.add(position)


def channels_last(labels: ConvolutionDimensionNumbers) -> Order:
    """The order batch, spatial dimensions, features of what a convolution reads."""
    return (labels.input_batch, *labels.input_spatial, labels.input_feature)


# Ops whose result has the dimensions of their operands, each of its own size.
ALIGNED = (
    frozenset({"concatenate", "dynamic-slice", "dynamic-update-slice", "pad", "reduce-window"})
    | {"reverse", "slice", "copy"}
    | ELEMENTWISE
)


def find_wants(function: Function, opaque: Callable[[Instruction], bool]) -> Wants:
    """The wants of a function; `opaque` ops read all operands as the function has them."""
    wants = Wants()
    instructions = function.instructions
    for position in function.results:
        _need_as_it_is(wants, position, instructions[position])
    for position in range(len(instructions) - 1, -1, -1):
        i = instructions[position]
        if i.op == "convolution":
            wants.need(i.operands[0], channels_last(i["dim_labels"]), strong=True)
        elif opaque(i):
            for operand in i.operands:
                _need_as_it_is(wants, operand, instructions[operand])
        elif position in wants.soft:
            for operand, order in _passed_up(instructions, i, wants.soft[position]):
                wants.prefer(operand, order, strong=position in wants.strong)
    return wants


def _need_as_it_is(wants: Wants, position: int, i: Instruction) -> None:
    if isinstance(i.shape, Shape):
        wants.need(position, identity(i.shape.rank))


def _passed_up(
    instructions: tuple[Instruction, ...], i: Instruction, order: Order
) -> Iterator[tuple[int, Order]]:
    """The operands that stand as the result does, with the order in which that is as wanted."""
    if i.op in ALIGNED:
        for operand in i.operands:
            shape = instructions[operand].shape
            if isinstance(shape, Shape) and shape.rank == len(order):
                yield operand, order
    elif i.op == "transpose":
        yield i.operands[0], permuted(i["dimensions"], order)
    elif i.op == "reshape":
        dims, source = i.array.dims, instructions[i.operands[0]].array.dims
        found = blockwise(order, blocks(dims, source), dims)
        if found:
            yield i.operands[0], tuple(d for block in found for d in block.after)
