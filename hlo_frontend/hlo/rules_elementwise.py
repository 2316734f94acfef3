"""Shape rules of the opcodes that work element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hlo_frontend.hlo.rules_check import NUMBER, REAL, array, fail, same_type
from hlo_frontend.hlo.types import AnyShape, Shape, Signature
from hlo_frontend.hlo.vocabulary import COMPARISON_TYPES

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]
Rule = Callable[[Operands, Attrs, AnyShape, Called], AnyShape]

_FLOAT = frozenset({"float"})
_FLOAT_OR_COMPLEX = frozenset({"float", "complex"})
_REAL_PART = {"c64": "f32", "c128": "f64"}
_COMPLEX_OF = {real: number for number, real in _REAL_PART.items()}


def _kinds(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(*(NUMBER if n == "number" else {n} for n in names))


def unary(*kinds: str) -> Rule:
    """The operand's shape, for operands of the kinds ("number" stands for all but pred)."""
    allowed = _kinds(kinds)

    def rule(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
        operand = array(operands[0], allowed)
        return Shape(operand.dtype, operand.dims)

    return rule


def binary(*kinds: str) -> Rule:
    """The shape both operands share, for operands of the kinds."""
    allowed = _kinds(kinds)

    def rule(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
        first = array(operands[0], allowed)
        if first != operands[1]:
            fail("operands must have the same shape", *operands)
        return Shape(first.dtype, first.dims)

    return rule


def same(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operand's shape, whatever it is."""
    return operands[0]


def absolute(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operand's shape, complex numbers turned into their magnitudes."""
    operand = array(operands[0], frozenset({"signed", "float", "complex"}))
    return Shape(_REAL_PART.get(operand.dtype, operand.dtype), operand.dims)


def real_part(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operand's shape with the element type of its components."""
    operand = array(operands[0], _FLOAT_OR_COMPLEX)
    return Shape(_REAL_PART.get(operand.dtype, operand.dtype), operand.dims)


def complex_number(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """Real and imaginary parts of one shape, f32 or f64, make c64 or c128."""
    first = array(operands[0])
    if first.dtype not in _COMPLEX_OF:
        fail("element type must be f32 or f64", first)
    if first != operands[1]:
        fail("operands must have the same shape", *operands)
    return Shape(_COMPLEX_OF[first.dtype], first.dims)


def is_finite(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """pred of the operand's sizes."""
    return Shape("pred", array(operands[0], _FLOAT).dims)


def convert(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operand's sizes with the element type declared."""
    operand, target = array(operands[0]), array(declared)
    if operand.element.kind == "complex" and target.element.kind != "complex":
        fail("a complex operand must stay complex (take real first)", operand, target)
    return Shape(target.dtype, operand.dims)


def stochastic_convert(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The operand's sizes with the element type declared; random bits of the operand's width."""
    operand, random = (
        array(operands[0], _FLOAT),
        array(operands[1], frozenset({"unsigned"})),
    )
    if random.dims != operand.dims or random.element.bits != operand.element.bits:
        fail("random bits must have the operand's sizes and width", operand, random)
    target = array(declared, frozenset({"float", "signed"}))
    return Shape(target.dtype, operand.dims)


def compare(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """pred of the sizes both operands share."""
    first = array(operands[0])
    if first != operands[1]:
        fail("operands must have the same shape", *operands)
    types = COMPARISON_TYPES[first.element.kind]
    if attrs.get("type", types[0]) not in types:
        fail(f"type for {first.dtype} must be {' or '.join(types)}", attrs["type"])
    if first.element.kind == "complex" and attrs["direction"] not in ("EQ", "NE"):
        fail("direction for complex operands must be EQ or NE", attrs["direction"])
    return Shape("pred", first.dims)


def select(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The shape of both branches; the predicate is a scalar or has their sizes."""
    predicate, first = array(operands[0], frozenset({"pred"})), array(operands[1])
    if first != operands[2]:
        fail("both values must have the same shape", *operands[1:])
    if predicate.dims not in ((), first.dims):
        fail(
            "predicate must be a scalar or have the sizes of the values",
            predicate,
            first,
        )
    return Shape(first.dtype, first.dims)


def clamp(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The shape of the middle operand; the bounds are scalars or have its sizes."""
    low, value, high = (array(o, REAL) for o in operands)
    same_type((low, value, high))
    if low.dims not in ((), value.dims) or high.dims not in ((), value.dims):
        fail("bounds must be scalars or have the sizes of the operand", *operands)
    return Shape(value.dtype, value.dims)
