"""Element types and shapes of HLO, and the numpy types that hold their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np


@dataclass(frozen=True, slots=True)
class ElementType:
    """One row of the element-type table: HLO name, `PrimitiveType` number, width, numpy type."""

    name: str
    number: int
    bits: int
    numpy: np.dtype
    kind: str  # "pred", "signed", "unsigned", "float", "complex"


def _element(name: str, number: int, bits: int, numpy: object, kind: str) -> ElementType:
    return ElementType(name, number, bits, np.dtype(numpy), kind)  # type: ignore[call-overload]


# Numbers are those of `xla.PrimitiveType` in the published xla_data.proto.
ELEMENT_TYPES: dict[str, ElementType] = {
    e.name: e
    for e in (
        _element("pred", 1, 8, np.bool_, "pred"),
        _element("s2", 26, 2, ml_dtypes.int2, "signed"),
        _element("s4", 21, 4, ml_dtypes.int4, "signed"),
        _element("s8", 2, 8, np.int8, "signed"),
        _element("s16", 3, 16, np.int16, "signed"),
        _element("s32", 4, 32, np.int32, "signed"),
        _element("s64", 5, 64, np.int64, "signed"),
        _element("u2", 27, 2, ml_dtypes.uint2, "unsigned"),
        _element("u4", 22, 4, ml_dtypes.uint4, "unsigned"),
        _element("u8", 6, 8, np.uint8, "unsigned"),
        _element("u16", 7, 16, np.uint16, "unsigned"),
        _element("u32", 8, 32, np.uint32, "unsigned"),
        _element("u64", 9, 64, np.uint64, "unsigned"),
        _element("f16", 10, 16, np.float16, "float"),
        _element("f32", 11, 32, np.float32, "float"),
        _element("f64", 12, 64, np.float64, "float"),
        _element("bf16", 16, 16, ml_dtypes.bfloat16, "float"),
        _element("f8e5m2", 19, 8, ml_dtypes.float8_e5m2, "float"),
        _element("f8e4m3", 28, 8, ml_dtypes.float8_e4m3, "float"),
        _element("f8e4m3fn", 20, 8, ml_dtypes.float8_e4m3fn, "float"),
        _element("f8e3m4", 29, 8, ml_dtypes.float8_e3m4, "float"),
        _element("f8e4m3b11fnuz", 23, 8, ml_dtypes.float8_e4m3b11fnuz, "float"),
        _element("f8e5m2fnuz", 24, 8, ml_dtypes.float8_e5m2fnuz, "float"),
        _element("f8e4m3fnuz", 25, 8, ml_dtypes.float8_e4m3fnuz, "float"),
        _element("f8e8m0fnu", 33, 8, ml_dtypes.float8_e8m0fnu, "float"),
        _element("f4e2m1fn", 32, 4, ml_dtypes.float4_e2m1fn, "float"),
        _element("c64", 15, 64, np.complex64, "complex"),
        _element("c128", 18, 128, np.complex128, "complex"),
    )
}
TUPLE_NUMBER = 13
TOKEN_NUMBER = 17
# Floats that engines read and write but compute with in f32.
SHORT_FLOATS = frozenset(
    e.name for e in ELEMENT_TYPES.values() if e.kind == "float" and e.bits < 32
)
_BY_NUMPY: dict[np.dtype, str] = {e.numpy: e.name for e in ELEMENT_TYPES.values()}


def element_type_of(dtype: np.dtype) -> str:
    """Name of the HLO element type that holds values of a numpy dtype."""
    try:
        return _BY_NUMPY[np.dtype(dtype)]
    except KeyError:
        raise TypeError(f"hlo: no HLO element type holds numpy dtype {dtype}") from None


@dataclass(frozen=True, slots=True)
class Shape:
    """An array shape: element type name and sizes, e.g. `f32[2,3]`.

    `layout` is minor-to-major as XLA prints it. It describes storage, not meaning, so it takes no
    part in equality. `None` stands for the row-major default.
    """

    dtype: str
    dims: tuple[int, ...] = ()
    layout: tuple[int, ...] | None = field(default=None, compare=False)

    @property
    def rank(self) -> int:
        return len(self.dims)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    @property
    def element(self) -> ElementType:
        return ELEMENT_TYPES[self.dtype]

    @property
    def numpy(self) -> np.dtype:
        return ELEMENT_TYPES[self.dtype].numpy

    @property
    def bytes(self) -> int:
        """Storage in bytes; types below 8 bits take one byte an element on the host."""
        return self.size * self.numpy.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.dims))}]"


@dataclass(frozen=True, slots=True)
class TupleShape:
    """A tuple of shapes, e.g. `(f32[2], s32[])`."""

    elements: tuple[AnyShape, ...]

    @property
    def bytes(self) -> int:
        return sum(e.bytes for e in self.elements)

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.elements))})"


@dataclass(frozen=True, slots=True)
class TokenShape:
    """The shape of a token, which orders side effects and holds no data."""

    @property
    def bytes(self) -> int:
        return 0

    def __str__(self) -> str:
        return "token[]"


AnyShape = Shape | TupleShape | TokenShape
# What a computation takes and gives: the shapes of its parameters, the shape of its root.
Signature = tuple[tuple[AnyShape, ...], AnyShape]
