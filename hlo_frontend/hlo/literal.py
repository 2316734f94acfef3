"""Constant values: an element type, sizes and raw bytes, so that equality is bit equality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape, element_type_of


@dataclass(frozen=True, slots=True)
class Literal:
    """An array constant. `data` holds the elements row-major, little-endian, as numpy does."""

    shape: Shape
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != self.shape.bytes:
            raise ValueError(
                f"literal: {self.shape} holds {self.shape.bytes} bytes, got {len(self.data)}"
            )

    @staticmethod
    def of(array: np.ndarray) -> Literal:
        """The literal with the values of a numpy array."""
        array = np.asarray(array)
        return Literal(Shape(element_type_of(array.dtype), array.shape), array.tobytes())

    def numpy(self) -> np.ndarray:
        """A read-only numpy view of the value."""
        return np.frombuffer(self.data, self.shape.numpy).reshape(self.shape.dims)


@dataclass(frozen=True, slots=True)
class TupleLiteral:
    """A tuple constant."""

    elements: tuple[AnyLiteral, ...]

    @property
    def shape(self) -> TupleShape:
        shapes: tuple[AnyShape, ...] = tuple(e.shape for e in self.elements)
        return TupleShape(shapes)


AnyLiteral = Literal | TupleLiteral


def shortest_float32(value: float) -> float:
    """The float with the fewest digits that rounds to the same 32-bit float as `value`."""
    with np.errstate(over="ignore"):  # beyond the largest is infinity
        return float(str(np.float32(value)))
