"""The questions shape rules ask: each raises an HloError that says what must hold and what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.types import AnyShape, Shape, Signature, TupleShape

NUMBER = frozenset({"signed", "unsigned", "float", "complex"})
INTEGER = frozenset({"signed", "unsigned"})
REAL = frozenset({"signed", "unsigned", "float"})


def fail(what: str, *got: object) -> NoReturn:
    """Raise the error `<what>, got <got>`; the opcode is put before it by the table."""
    raise HloError(f"{what}, got {', '.join(map(str, got))}")


def array(shape: AnyShape, kinds: frozenset[str] | None = None) -> Shape:
    """The shape, if it is an array with elements of one of the kinds."""
    if not isinstance(shape, Shape):
        fail("operand must be an array", shape)
    if kinds is not None and shape.element.kind not in kinds:
        fail(f"element type must be {' or '.join(sorted(kinds))}", shape)
    return shape


def scalar(shape: AnyShape, dtype: str, what: str) -> None:
    """`shape` must be a scalar of the element type."""
    if shape != Shape(dtype):
        fail(f"{what} must be {dtype}[]", shape)


def same_type(shapes: Sequence[Shape]) -> str:
    """The element type all shapes share."""
    if any(s.dtype != shapes[0].dtype for s in shapes[1:]):
        fail("element types must be equal", *shapes)
    return shapes[0].dtype


def dimension(number: int, rank: int, what: str = "dimension") -> int:
    """A dimension number that exists in an array of that rank."""
    if not 0 <= number < rank:
        fail(f"{what} must be at least 0 and below {rank}", number)
    return number


def dimensions(numbers: Sequence[int], rank: int, what: str = "dimensions") -> None:
    """Distinct dimension numbers that exist in an array of that rank."""
    if len(set(numbers)) != len(numbers) or any(not 0 <= n < rank for n in numbers):
        fail(f"{what} must be distinct, at least 0 and below {rank}", list(numbers))


def per_dimension(values: Sequence[object], shape: Shape, what: str) -> None:
    """One value per dimension of a shape."""
    if len(values) != shape.rank:
        fail(f"{what} must be given for each of the {shape.rank} dimensions", len(values))


def one_or_tuple(shapes: Sequence[AnyShape]) -> AnyShape:
    """The only shape, or the tuple of them: how variadic opcodes give their results."""
    return shapes[0] if len(shapes) == 1 else TupleShape(tuple(shapes))


def signature(called: Signature, parameters: Sequence[AnyShape], root: AnyShape, what: str) -> None:
    """A called computation must take these parameters and give this root."""
    if called != (tuple(parameters), root):
        fail(
            f"{what} must be {_signature_text(tuple(parameters), root)}",
            _signature_text(*called),
        )


def _signature_text(parameters: Sequence[AnyShape], root: AnyShape) -> str:
    return f"({', '.join(map(str, parameters))}) -> {root}"


def reducer(called: Signature, types: Sequence[str], what: str = "to_apply") -> None:
    """A computation that combines two tuples of scalars of the element types into one."""
    scalars = [Shape(t) for t in types]
    signature(called, [*scalars, *scalars], one_or_tuple(scalars), what)


def result_type(operands: Sequence[Shape], declared: AnyShape) -> str:
    """Element type of a contraction, which the instruction chooses among those of its class."""
    if not isinstance(declared, Shape):
        fail("result must be an array", declared)
    classes = {
        "int" if s.element.kind in INTEGER else s.element.kind for s in (*operands, declared)
    }
    if len(classes) != 1:
        fail(
            "operands and result must be of one class of element types",
            *operands,
            declared,
        )
    return declared.dtype
