"""Shape rules of tuples, control flow, tokens and collectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hlo_frontend.hlo.rules_check import (
    array,
    dimension,
    fail,
    one_or_tuple,
    reducer,
    same_type,
    signature,
)
from hlo_frontend.hlo.types import AnyShape, Shape, Signature, TokenShape, TupleShape

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]
_TOKEN = TokenShape()


def tuple_(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The tuple of the operands."""
    return TupleShape(operands)


def get_tuple_element(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """Element `index` of the operand."""
    operand = operands[0]
    if not isinstance(operand, TupleShape):
        fail("operand must be a tuple", operand)
    return operand.elements[dimension(attrs["index"], len(operand.elements), "index")]


def while_(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The state, which the body (called first) maps to itself and the condition to pred[]."""
    body, condition = called
    signature(body, operands, operands[0], "body")
    signature(condition, operands, Shape("pred"), "condition")
    return operands[0]


def conditional(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """What the branches give; operand 0 chooses, operand i + 1 is the argument of branch i."""
    choice = operands[0]
    if choice not in (Shape("pred"), Shape("s32")):
        fail("the operand that chooses must be pred[] or s32[]", choice)
    if choice == Shape("pred") and len(called) != 2:
        fail("a choice by pred[] must have 2 branches", len(called))
    if len(operands) != len(called) + 1:
        fail(
            f"each of the {len(called)} branches must have an operand",
            len(operands) - 1,
        )
    for number, branch in enumerate(called):
        signature(branch, (operands[number + 1],), called[0][1], f"branch {number}")
    return called[0][1]


def call(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """What the computation gives for parameters of the operands' shapes."""
    signature(called[0], operands, called[0][1], "called computation")
    return called[0][1]


def after_all(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """A token."""
    if any(o != _TOKEN for o in operands):
        fail("operands must be tokens", *operands)
    return _TOKEN


def add_dependency(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The first operand's shape; the second is a token."""
    if operands[1] != _TOKEN:
        fail("second operand must be a token", operands[1])
    return operands[0]


def all_reduce(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operands' shapes; the computation combines two scalars of their element type."""
    shapes = [array(o) for o in operands]
    reducer(called[0], [same_type(shapes)])
    return one_or_tuple(shapes)


def _group_size(attrs: Attrs) -> int | None:
    """Devices in each group; None if groups are not listed, which means all devices."""
    sizes = {len(g) for g in attrs["replica_groups"]}
    if len(sizes) > 1 or 0 in sizes:
        fail(
            "replica_groups must be of one size",
            list(map(list, attrs["replica_groups"])),
        )
    return sizes.pop() if sizes else None


def _scaled(operands: Operands, attrs: Attrs, declared: AnyShape, gather: bool) -> AnyShape:
    """The operands' shapes with one dimension multiplied, or divided, by the size of a group."""
    results = declared.elements if isinstance(declared, TupleShape) else (declared,)
    if len(results) != len(operands) or len(attrs["dimensions"]) != 1:
        fail("there must be one result per operand, and one dimension", declared)
    shapes: list[AnyShape] = []
    for operand, result in zip(map(array, operands), map(array, results), strict=True):
        d = dimension(attrs["dimensions"][0], min(operand.rank, result.rank))
        small, large = (operand, result) if gather else (result, operand)
        factor = _group_size(attrs) or large.dims[d] // max(small.dims[d], 1)
        size = operand.dims[d] * factor if gather else operand.dims[d] // max(factor, 1)
        if not gather and size * factor != operand.dims[d]:
            fail(f"dimension {d} must be a multiple of {factor}", operand)
        shapes.append(Shape(operand.dtype, (*operand.dims[:d], size, *operand.dims[d + 1 :])))
    return one_or_tuple(shapes)


def all_gather(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operands' shapes, one dimension multiplied by the number of devices of a group."""
    return _scaled(operands, attrs, declared, gather=True)


def reduce_scatter(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The operands' shapes, one dimension divided by the number of devices of a group."""
    reducer(called[0], [same_type([array(o) for o in operands])])
    return _scaled(operands, attrs, declared, gather=False)


def all_to_all(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """One array split along a dimension, or a tuple of one array for each device of a group."""
    shapes = [array(o) for o in operands]
    size = _group_size(attrs)
    if "dimensions" in attrs:
        if len(shapes) != 1 or len(attrs["dimensions"]) != 1:
            fail(
                "with dimensions, there must be one operand and one dimension",
                *operands,
            )
        d = dimension(attrs["dimensions"][0], shapes[0].rank)
        if size and shapes[0].dims[d] % size:
            fail(f"dimension {d} must be a multiple of {size}", shapes[0])
        return shapes[0]
    if any(s != shapes[0] for s in shapes) or size not in (None, len(shapes)):
        fail(
            "there must be an operand of one shape for each device of a group",
            *operands,
        )
    return TupleShape(operands)


def collective_same(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The operands' shapes."""
    return one_or_tuple([array(o) for o in operands])
