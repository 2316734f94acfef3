"""Shapes and literals between protobuf messages and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hlo_frontend.hlo.errors import DynamicShapeError, HloError
from hlo_frontend.hlo.literal import AnyLiteral, Literal, TupleLiteral
from hlo_frontend.hlo.schema import MESSAGES
from hlo_frontend.hlo.types import (
    ELEMENT_TYPES,
    TOKEN_NUMBER,
    TUPLE_NUMBER,
    AnyShape,
    Shape,
    TokenShape,
    TupleShape,
)

_NAMES = {e.number: e.name for e in ELEMENT_TYPES.values()}
_TOKEN = TokenShape()


def row_major(rank: int) -> tuple[int, ...]:
    """The default layout, minor to major."""
    return tuple(range(rank - 1, -1, -1))


def read_shape(proto: Any) -> AnyShape:
    """The shape a ShapeProto states; HloError if it is dynamic or of an unknown element type."""
    number = proto.element_type
    if number == TUPLE_NUMBER:
        return TupleShape(tuple(map(read_shape, proto.tuple_shapes)))
    if number == TOKEN_NUMBER:
        return _TOKEN
    name = _NAMES.get(number)
    if name is None:
        raise HloError(f"hlo proto: element type must be one of {known_types()}, got {number}")
    dims = tuple(proto.dimensions)
    if any(proto.is_dynamic_dimension) or (dims and min(dims) < 0):
        raise DynamicShapeError(
            f"hlo proto: dimensions must be static, got {_dynamic(name, proto)}"
        )
    layout = tuple(proto.layout.minor_to_major)
    if not layout or layout == row_major(len(dims)):
        return Shape(name, dims)
    if sorted(layout) != list(range(len(dims))):
        raise HloError(
            f"hlo proto: layout must order the {len(dims)} dimensions, got {list(layout)}"
        )
    return Shape(name, dims, layout)


def known_types() -> str:
    """The element types of the table, as an error message lists them."""
    return ", ".join(f"{e.number} ({e.name})" for e in ELEMENT_TYPES.values())


def _dynamic(name: str, proto: Any) -> str:
    flags = [*proto.is_dynamic_dimension, *[False] * len(proto.dimensions)]
    dims = zip(proto.dimensions, flags, strict=False)
    return f"{name}[{','.join('?' if d < 0 else '<=' * f + str(d) for d, f in dims)}]"


def write_shape(shape: AnyShape, proto: Any) -> None:
    """Fill a ShapeProto; an absent layout is written as the row-major one."""
    if isinstance(shape, TupleShape):
        proto.element_type = TUPLE_NUMBER
        for element in shape.elements:
            write_shape(element, proto.tuple_shapes.add())
    elif isinstance(shape, TokenShape):
        proto.element_type = TOKEN_NUMBER
    else:
        proto.element_type = shape.element.number
        proto.dimensions.extend(shape.dims)
        proto.is_dynamic_dimension.extend([False] * len(shape.dims))
        layout = row_major(len(shape.dims)) if shape.layout is None else shape.layout
        proto.layout.minor_to_major.extend(layout)
        proto.layout.SetInParent()


def _read_varints(proto: Any, shape: Shape) -> np.ndarray:
    values = getattr(proto, f"{shape.dtype}s")
    return np.fromiter(values, shape.numpy, len(values))


def _read_bytes(proto: Any, shape: Shape) -> np.ndarray:
    data = getattr(proto, f"{shape.dtype}s")
    return _whole(data if isinstance(data, bytes) else b"".join(data), shape)


def _read_preds(proto: Any, shape: Shape) -> np.ndarray:
    values = np.frombuffer(b"".join(proto.preds), np.uint8)
    if values.size and values.max() > 1:
        raise HloError(f"hlo proto: a pred literal must hold 0 and 1, got {values.max()}")
    return values.astype(np.bool_)


def _read_narrow(proto: Any, shape: Shape) -> np.ndarray:
    """Types below 8 bits take the low bits of a byte; what is above them says nothing."""
    stored = _read_bytes(proto, shape).view(np.uint8)
    return (stored & np.uint8((1 << shape.element.bits) - 1)).view(shape.numpy)


def _whole(data: bytes, shape: Shape) -> np.ndarray:
    if len(data) != shape.bytes:
        raise HloError(f"hlo proto: literal {shape} must hold {shape.bytes} bytes, got {len(data)}")
    return np.frombuffer(data, shape.numpy)


def _write_varints(values: np.ndarray, shape: Shape) -> list[int]:
    numbers: list[int] = values.tolist()
    return numbers


def _write_chunk(values: np.ndarray, shape: Shape) -> list[bytes]:
    return [values.tobytes()] if values.size else []


def _write_bytes(values: np.ndarray, shape: Shape) -> bytes:
    return values.tobytes()


_Reader = Callable[[Any, Shape], np.ndarray]
_Writer = Callable[[np.ndarray, Shape], Any]
_LITERALS: dict[str, tuple[_Reader, _Writer]] = {
    "pred": (_read_preds, _write_chunk),
    **dict.fromkeys(("s32", "s64", "u32", "u64"), (_read_varints, _write_varints)),
    **dict.fromkeys(("f32", "f64", "c64", "c128"), (_read_bytes, _write_chunk)),
    **dict.fromkeys(("s2", "s4", "u2", "u4", "f4e2m1fn"), (_read_narrow, _write_bytes)),
}
_LITERALS |= {t: (_read_bytes, _write_bytes) for t in ELEMENT_TYPES if t not in _LITERALS}


def read_literal(proto: Any) -> AnyLiteral:
    """The literal a LiteralProto holds, its elements brought into row-major order."""
    shape = read_shape(proto.shape)
    if isinstance(shape, TupleShape):
        elements = TupleLiteral(tuple(map(read_literal, proto.tuple_literals)))
        if elements.shape != shape:
            raise HloError(f"hlo proto: literal {shape} must hold its type, got {elements.shape}")
        return elements
    if isinstance(shape, TokenShape):
        raise HloError("hlo proto: a literal must have an array or tuple shape, got token[]")
    values = _LITERALS[shape.dtype][0](proto, shape)
    if values.size != shape.size:
        raise HloError(
            f"hlo proto: literal {shape} must hold {shape.size} elements, got {values.size}"
        )
    return Literal(Shape(shape.dtype, shape.dims), _row_major_bytes(values, shape))


def _row_major_bytes(values: np.ndarray, shape: Shape) -> bytes:
    if shape.layout is None:
        return values.tobytes()
    major_to_minor = shape.layout[::-1]
    stored = values.reshape([shape.dims[d] for d in major_to_minor])
    return stored.transpose(np.argsort(major_to_minor)).tobytes()


def write_literal(literal: AnyLiteral, proto: Any) -> None:
    """Fill a LiteralProto."""
    write_shape(literal.shape, proto.shape)
    if isinstance(literal, TupleLiteral):
        for element in literal.elements:
            write_literal(element, proto.tuple_literals.add())
        return
    shape = literal.shape
    stored = _LITERALS[shape.dtype][1](np.frombuffer(literal.data, shape.numpy), shape)
    if isinstance(stored, bytes):
        setattr(proto, f"{shape.dtype}s", stored)
    else:
        getattr(proto, f"{shape.dtype}s").extend(stored)


assert {f"{t}s" for t in ELEMENT_TYPES} <= {
    f.name for f in MESSAGES["LiteralProto"].DESCRIPTOR.fields
}
