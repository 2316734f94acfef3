"""Program parts as JSON values and back, without loss."""

from __future__ import annotations

import dataclasses
from typing import Any

from hlo_frontend.hlo import attributes as attribute_types
from hlo_frontend.hlo.literal import Literal, TupleLiteral
from hlo_frontend.hlo.types import ELEMENT_TYPES, AnyShape, Shape, TokenShape, TupleShape
from neff.errors import NeffError

TOKEN = "token"
# Attribute values that are objects, by the tag they carry in JSON.
TAGGED = {
    t.__name__: t
    for t in (
        attribute_types.DotDimensionNumbers,
        attribute_types.WindowDimension,
        attribute_types.ConvolutionDimensionNumbers,
        attribute_types.GatherDimensionNumbers,
        attribute_types.ScatterDimensionNumbers,
    )
}


def encode_shape(shape: AnyShape) -> Any:
    """`["f32", 2, 3]`, a list of a list of shapes for a tuple, or `"token"`."""
    if isinstance(shape, Shape):
        return [shape.dtype, *shape.dims]
    if isinstance(shape, TupleShape):
        return [[encode_shape(e) for e in shape.elements]]
    return TOKEN


def decode_shape(value: Any) -> AnyShape:
    if value == TOKEN:
        return TokenShape()
    match value:
        case [[*elements]]:
            return TupleShape(tuple(decode_shape(e) for e in elements))
        case [str(dtype), *dims] if dtype in ELEMENT_TYPES:
            if all(type(d) is int and d >= 0 for d in dims):
                return Shape(dtype, tuple(dims))
    raise NeffError(f"neff: a shape must be [element type, sizes…], got {value!r}")


def encode_value(value: Any) -> Any:
    """An attribute value: tuples become lists, objects carry their type under `@`."""
    if isinstance(value, tuple):
        return [encode_value(v) for v in value]
    if isinstance(value, bytes):
        return {"@": "bytes", "hex": value.hex()}
    if isinstance(value, Literal):
        return {"@": "Literal", "shape": encode_shape(value.shape), "hex": value.data.hex()}
    if isinstance(value, TupleLiteral):
        return {"@": "TupleLiteral", "elements": [encode_value(e) for e in value.elements]}
    if type(value).__name__ in TAGGED:
        names = (f.name for f in dataclasses.fields(value))
        return {"@": type(value).__name__, **{n: encode_value(getattr(value, n)) for n in names}}
    if isinstance(value, float):
        return {"@": "float", "hex": value.hex()}
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"neff: an attribute value cannot be written, got {type(value).__name__}")


def decode_value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(decode_value(v) for v in value)
    if not isinstance(value, dict):
        return value
    try:
        return _decode_object(value)
    except (KeyError, TypeError, ValueError) as error:
        raise NeffError(f"neff: an attribute cannot be read: {str(value)[:200]}") from error


def _decode_object(value: dict[str, Any]) -> Any:
    match value["@"]:
        case "bytes":
            return bytes.fromhex(value["hex"])
        case "float":
            return float.fromhex(value["hex"])
        case "Literal":
            shape = decode_shape(value["shape"])
            if not isinstance(shape, Shape):
                raise NeffError(f"neff: a literal must be an array, got {shape}")
            return Literal(shape, bytes.fromhex(value["hex"]))
        case "TupleLiteral":
            return TupleLiteral(tuple(decode_value(e) for e in value["elements"]))
        case tag:
            fields = {k: decode_value(v) for k, v in value.items() if k != "@"}
            return TAGGED[tag](**fields)
