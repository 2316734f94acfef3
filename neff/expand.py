"""Ops that a program does not have, in others: what depends on layouts, or on sizes that change.

A program knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hlo_frontend.hlo.module import HloInstruction
from hlo_frontend.hlo.types import AnyShape, Shape
from neff.builder import Builder
from neff.errors import CompileError
from neff.printing import quote
from neff.program import Instruction

# Builder, instruction, its operands there, their shapes with layouts; the value that stands for it.
Expansion = Callable[[Builder, HloInstruction, tuple[int, ...], Sequence[AnyShape]], int]


def _major_first(shape: Shape) -> tuple[int, ...]:
    """Dimensions in the order of memory, the outermost first."""
    if shape.layout is None:
        return tuple(range(shape.rank))
    return tuple(reversed(shape.layout))


def _bitcast(
    b: Builder, source: HloInstruction, operands: tuple[int, ...], shapes: Sequence[AnyShape]
) -> int:
    """The bytes of the operand, as its layout orders them, read as the result's layout says."""
    operand, result = shapes[0], source.shape
    assert isinstance(operand, Shape) and isinstance(result, Shape)
    notes = source.metadata

    def op(name: str, shape: Shape, value: int, **attrs: object) -> int:
        return b.op(name, shape, value, metadata=notes, **attrs)

    before = _major_first(operand)
    stored = Shape(operand.dtype, tuple(operand.dims[d] for d in before))
    value = op("transpose", stored, operands[0], dimensions=before)
    wider = result.element.bits // operand.element.bits
    grouped = (stored.size // wider, wider) if wider > 1 else (stored.size,)
    value = op("reshape", Shape(operand.dtype, grouped), value)
    ratio = operand.element.bits // result.element.bits
    flat = (stored.size, ratio) if ratio > 1 else (grouped[0],)
    if operand.dtype != result.dtype:
        value = op("bitcast-convert", Shape(result.dtype, flat), value)
    after = _major_first(result)
    placed = Shape(result.dtype, tuple(result.dims[d] for d in after))
    value = op("reshape", placed, value)
    back = tuple(after.index(d) for d in range(result.rank))
    return op("transpose", Shape(result.dtype, result.dims), value, dimensions=back)


def _set_dimension_size(
    b: Builder, source: HloInstruction, operands: tuple[int, ...], shapes: Sequence[AnyShape]
) -> int:
    """The operand, where the size set is the one it has."""
    operand, size = operands
    shape, given = b.instructions[operand].array, b.instructions[size]
    wanted = shape.dims[source["dimensions"][0]]
    known = int(given["literal"].numpy()) if given.op == "constant" else None
    if given.op == "get-dimension-size":
        known = b.instructions[given.operands[0]].array.dims[given["dimensions"][0]]
    if known != wanted:
        shown = Instruction(
            source.opcode, source.shape, operands, source.attrs, (), source.metadata
        )
        got = "one known at run time only" if known is None else str(known)
        raise CompileError(
            f"lower: sizes must be static, so the size set must be {wanted}, got {got}"
            f"{quote(shown, len(b.instructions))}"
        )
    return operand


EXPANSIONS: dict[str, Expansion] = {
    "bitcast": _bitcast,
    "set-dimension-size": _set_dimension_size,
}
