"""Shape rules of the opcodes that rearrange elements in ways fixed at compile time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hlo_frontend.hlo.rules_check import (
    array,
    dimension,
    dimensions,
    fail,
    per_dimension,
    same_type,
    scalar,
)
from hlo_frontend.hlo.types import AnyShape, Shape, Signature

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]


def bitcast(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The array declared, which takes as many bits as the operand."""
    operand, result = array(operands[0]), array(declared)
    if operand.size * operand.element.bits != result.size * result.element.bits:
        fail("operand and result must take the same number of bits", operand, result)
    return result


def bitcast_convert(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The element type declared; a change of width appears as, or takes away, a last dimension."""
    operand, result = array(operands[0]), array(declared)
    if (operand.element.kind == "complex") != (result.element.kind == "complex"):
        fail("complex numbers must stay complex", operand, result)
    before, after = operand.element.bits, result.element.bits
    if before >= after:
        added = (before // after,) if before > after else ()
        return Shape(result.dtype, operand.dims + added)
    if operand.dims[-1:] != (after // before,):
        fail(f"last dimension of the operand must be {after // before}", operand)
    return Shape(result.dtype, operand.dims[:-1])


def reshape(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The array declared, which has as many elements as the operand."""
    operand, result = array(operands[0]), array(declared)
    same_type((operand, result))
    if operand.size != result.size:
        fail("operand and result must have as many elements", operand, result)
    return result


def broadcast(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The array declared; dimension i of the operand becomes its dimension `dimensions[i]`."""
    operand, result, mapped = array(operands[0]), array(declared), attrs["dimensions"]
    same_type((operand, result))
    per_dimension(mapped, operand, "dimensions")
    dimensions(mapped, result.rank)
    if any(result.dims[d] != size for d, size in zip(mapped, operand.dims, strict=True)):
        fail(
            f"sizes of the operand must be those of result dimensions {list(mapped)}",
            operand,
            result,
        )
    return result


def transpose(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Dimension i of the result is dimension `dimensions[i]` of the operand."""
    operand, order = array(operands[0]), attrs["dimensions"]
    per_dimension(order, operand, "dimensions")
    dimensions(order, operand.rank)
    return Shape(operand.dtype, tuple([operand.dims[d] for d in order]))


def reverse(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operand's shape."""
    operand = array(operands[0])
    dimensions(attrs["dimensions"], operand.rank)
    return Shape(operand.dtype, operand.dims)


def slice_(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Every `stride`-th element from `start` to below `limit` along each dimension."""
    operand, triples = array(operands[0]), attrs["slice"]
    per_dimension(triples, operand, "slice")
    for size, (start, limit, stride) in zip(operand.dims, triples, strict=True):
        if not (0 <= start <= limit <= size and stride >= 1):
            fail(
                f"slice of a dimension of {size} must have 0 <= start <= limit <= {size} "
                "and a stride of at least 1",
                f"[{start}:{limit}:{stride}]",
            )
    return Shape(operand.dtype, tuple([-(-(stop - i) // step) for i, stop, step in triples]))


def pad(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Each dimension grows by low and high, which may be negative, and by interior in each gap."""
    operand, padding = array(operands[0]), attrs["padding"]
    scalar(operands[1], operand.dtype, "padding value")
    per_dimension(padding, operand, "padding")
    sizes = []
    for size, (low, high, interior) in zip(operand.dims, padding, strict=True):
        padded = low + size + max(size - 1, 0) * interior + high
        if interior < 0 or padded < 0:
            fail(
                "padding must leave no negative size",
                f"{low}_{high}_{interior} for {operand}",
            )
        sizes.append(padded)
    return Shape(operand.dtype, tuple(sizes))


def concatenate(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """Sizes add up along the one dimension and are equal along all others."""
    shapes = [array(o) for o in operands]
    if len(attrs["dimensions"]) != 1:
        fail("dimensions must hold one dimension", list(attrs["dimensions"]))
    first = shapes[0]
    d = dimension(attrs["dimensions"][0], first.rank)
    dtype = same_type(shapes)
    rest = first.dims[:d], first.dims[d + 1 :]
    if any((s.dims[:d], s.dims[d + 1 :]) != rest for s in shapes):
        fail(f"sizes of operands must be equal except in dimension {d}", *shapes)
    return Shape(dtype, (*rest[0], sum(s.dims[d] for s in shapes), *rest[1]))
