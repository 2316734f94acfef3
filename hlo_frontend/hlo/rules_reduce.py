"""Shape rules of the opcodes that apply a computation to scalars: reductions, map, sort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hlo_frontend.hlo.rules_check import (
    array,
    dimension,
    dimensions,
    fail,
    one_or_tuple,
    reducer,
    scalar,
    signature,
)
from hlo_frontend.hlo.rules_contract import windowed
from hlo_frontend.hlo.types import AnyShape, Shape, Signature, TupleShape

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]


def _same_sizes(shapes: Sequence[Shape]) -> None:
    if any(s.dims != shapes[0].dims for s in shapes[1:]):
        fail("operands must have the same sizes", *shapes)


def _inputs(operands: Operands, called: Called) -> list[Shape]:
    """The arrays of a variadic reduction: arrays, then as many initial values."""
    count = len(operands) // 2
    shapes = [array(o) for o in operands[:count]]
    _same_sizes(shapes)
    for shape, start in zip(shapes, operands[count:], strict=True):
        scalar(start, shape.dtype, "initial value")
    reducer(called[0], [s.dtype for s in shapes])
    return shapes


def reduce(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The arrays without the dimensions reduced."""
    shapes = _inputs(operands, called)
    gone = attrs["dimensions"]
    dimensions(gone, shapes[0].rank)
    dims = tuple([s for d, s in enumerate(shapes[0].dims) if d not in gone])
    return one_or_tuple([Shape(s.dtype, dims) for s in shapes])


def reduce_window(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """One element for each place of the window."""
    shapes = _inputs(operands, called)
    dims = windowed(shapes[0].dims, attrs["window"])
    return one_or_tuple([Shape(s.dtype, dims) for s in shapes])


def map_(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operands' sizes with the element type the computation gives."""
    shapes = [array(o) for o in operands]
    _same_sizes(shapes)
    if attrs["dimensions"] != tuple(range(shapes[0].rank)):
        fail(
            f"dimensions must be all {shapes[0].rank} in order",
            list(attrs["dimensions"]),
        )
    root = array(called[0][1])
    signature(called[0], [Shape(s.dtype) for s in shapes], Shape(root.dtype), "to_apply")
    return Shape(root.dtype, shapes[0].dims)


def select_and_scatter(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The operand's shape; the source has one element for each place of the window."""
    operand, source = array(operands[0]), array(operands[1])
    scalar(operands[2], operand.dtype, "initial value")
    places = Shape(operand.dtype, windowed(operand.dims, attrs["window"]))
    if source != places:
        fail(f"source must be {places}", source)
    element = Shape(operand.dtype)
    signature(called[0], [element, element], Shape("pred"), "select")
    reducer(called[1], [operand.dtype], "scatter")
    return Shape(operand.dtype, operand.dims)


def sort(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operands' shapes; the comparator takes two elements of each."""
    shapes = [array(o) for o in operands]
    _same_sizes(shapes)
    if len(attrs["dimensions"]) != 1:
        fail("dimensions must hold one dimension", list(attrs["dimensions"]))
    dimension(attrs["dimensions"][0], shapes[0].rank)
    elements = [Shape(s.dtype) for s in shapes for _ in range(2)]
    signature(called[0], elements, Shape("pred"), "to_apply")
    return one_or_tuple([Shape(s.dtype, s.dims) for s in shapes])


def topk(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The `k` greatest or least along the last dimension, and their s32 positions."""
    operand = array(operands[0])
    if operand.rank < 1 or not 0 <= attrs["k"] <= operand.dims[-1]:
        fail(
            "k must be at least 0 and at most the last size of the operand",
            attrs["k"],
            operand,
        )
    dims = (*operand.dims[:-1], attrs["k"])
    return TupleShape((Shape(operand.dtype, dims), Shape("s32", dims)))
