"""Shape rules of the opcodes that make values: parameters, constants, random bits, calls out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hlo_frontend.hlo.rules_check import NUMBER, array, dimension, fail, scalar
from hlo_frontend.hlo.types import AnyShape, Shape, Signature, TupleShape

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]


def parameter(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The shape declared."""
    if attrs["number"] < 0:
        fail("number must be at least 0", attrs["number"])
    return declared


def constant(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The shape of the literal."""
    shape: AnyShape = attrs["literal"].shape
    return shape


def iota(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The array declared, which has the dimension counted along."""
    shape = array(declared, NUMBER)
    dimension(attrs["iota_dimension"], shape.rank, "iota_dimension")
    return shape


def device_id(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """u32[]."""
    return Shape("u32")


def rng(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The array declared; both parameters of the distribution are scalars of its element type."""
    shape = array(declared)
    for operand in operands:
        scalar(operand, shape.dtype, "parameter of the distribution")
    return shape


def rng_bit_generator(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The next state, of the operand's shape, and the array of bits declared."""
    state = array(operands[0], frozenset({"unsigned"}))
    if not isinstance(declared, TupleShape) or len(declared.elements) != 2:
        fail("result must be a tuple of the next state and the bits", declared)
    bits = array(declared.elements[1], frozenset({"unsigned", "signed"}))
    return TupleShape((Shape(state.dtype, state.dims), bits))


def rng_state(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """u64[2]."""
    return Shape("u64", (2,))


def custom_call(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The shape declared: only the target knows."""
    return declared
