"""Algebraic simplification: exact rewrites that look at an instruction and its operands only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Instruction, Program

Simplification = Callable[[Builder, Instruction], "int | None"]


def simplify(program: Program) -> Program:
    """Apply the rules to every function. Each is exact: not one bit of a result may change."""
    return replace(program, functions=tuple(rewrite(f, _simplified) for f in program.functions))


def _simplified(b: Builder, i: Instruction) -> int | None:
    for rule in RULES.get(i.op, ()):
        value = rule(b, i)
        if value is not None:
            return value
    return None


def _again(b: Builder, i: Instruction) -> int:
    """Emit an instruction that a rule made, simplified in its turn."""
    value = _simplified(b, i)
    return b.emit(i) if value is None else value


def _operand(b: Builder, i: Instruction, n: int = 0) -> Instruction:
    return b.instructions[i.operands[n]]


def splat(b: Builder, value: int) -> np.generic | None:
    """The one number every element of a value is known to be, or None."""
    i = b.instructions[value]
    while i.op in ("broadcast", "reshape"):
        i = b.instructions[i.operands[0]]
    if i.op != "constant" or not isinstance(i.shape, Shape) or i.shape.size != 1:
        return None
    literal: Literal = i["literal"]
    number: np.generic = literal.numpy().flat[0]
    return number


def _same_shape(b: Builder, i: Instruction) -> int | None:
    return i.operands[0] if _operand(b, i).shape == i.shape else None


def _forward(b: Builder, i: Instruction) -> int | None:
    return i.operands[0]


def _reshape_of_reshape(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    return _again(b, replace(i, operands=inner.operands)) if inner.op == "reshape" else None


def _transpose_identity(b: Builder, i: Instruction) -> int | None:
    return i.operands[0] if i["dimensions"] == tuple(range(i.array.rank)) else None


def _transpose_of_transpose(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    if inner.op != "transpose":
        return None
    dims = tuple(inner["dimensions"][d] for d in i["dimensions"])
    return _again(b, replace(i, operands=inner.operands, attrs=(("dimensions", dims),)))


def _broadcast_identity(b: Builder, i: Instruction) -> int | None:
    same = _operand(b, i).shape == i.shape and i["dimensions"] == tuple(range(i.array.rank))
    return i.operands[0] if same else None


def _broadcast_of_broadcast(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    if inner.op != "broadcast":
        return None
    dims = tuple(i["dimensions"][d] for d in inner["dimensions"])
    return _again(b, replace(i, operands=inner.operands, attrs=(("dimensions", dims),)))


def _broadcast_of_unit_reshape(b: Builder, i: Instruction) -> int | None:
    """broadcast(reshape(x)) where the reshape only drops or adds sizes of one, as views do."""
    inner = _operand(b, i)
    if inner.op != "reshape":
        return None
    source = b.instructions[inner.operands[0]].array
    kept = [d for d, size in enumerate(source.dims) if size != 1]
    placed = [d for d, size in zip(i["dimensions"], inner.array.dims, strict=True) if size != 1]
    sizes = [source.dims[d] for d in kept]
    if len(kept) != source.rank or sizes != [i.array.dims[d] for d in placed]:
        return None
    return _again(b, replace(i, operands=inner.operands, attrs=(("dimensions", tuple(placed)),)))


def _convert_there_and_back(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    if inner.op != "convert":
        return None
    source = b.instructions[inner.operands[0]].array
    return inner.operands[0] if source == i.shape and _widens(source, inner.array) else None


# Every value of the first type is a value of the second.
WIDENINGS = frozenset(
    {("bf16", "f32"), ("f16", "f32"), ("f32", "f64"), ("bf16", "f64"), ("f16", "f64")}
    | {("s8", "s32"), ("s16", "s32"), ("s32", "s64"), ("s8", "s64"), ("s16", "s64")}
    | {("u8", "s32"), ("u8", "s64"), ("u8", "u32"), ("u32", "s64"), ("u32", "u64")}
    | {("pred", t) for t in ("s8", "u8", "s32", "u32", "s64", "u64", "f16", "bf16", "f32", "f64")}
)


def _widens(source: Shape, target: Shape) -> bool:
    return (source.dtype, target.dtype) in WIDENINGS


def _element_of_tuple(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    return inner.operands[i["index"]] if inner.op == "tuple" else None


def _slice_whole(b: Builder, i: Instruction) -> int | None:
    return _same_shape(b, i)  # the whole of each dimension is the only slice that keeps its size


def _pad_nothing(b: Builder, i: Instruction) -> int | None:
    return i.operands[0] if not any(any(p) for p in i["padding"]) else None


def _single_operand(b: Builder, i: Instruction) -> int | None:
    return i.operands[0] if len(i.operands) == 1 else None


def _identity(
    neutral: Callable[[Shape, np.generic], bool], sides: tuple[int, ...]
) -> Simplification:
    """x op e = x where `neutral(shape, e)` holds; `sides` are the operands e may be."""

    def rule(b: Builder, i: Instruction) -> int | None:
        for side in sides:
            value = splat(b, i.operands[side])
            if value is not None and neutral(i.array, value):
                return i.operands[1 - side]
        return None

    return rule


def _is_one(shape: Shape, value: np.generic) -> bool:
    return bool(value == 1)


def _is_minus_zero(shape: Shape, value: np.generic) -> bool:
    """The neutral element of addition: for floats only -0.0 is, as -0.0 + 0.0 is +0.0."""
    return bool(value == 0) and (shape.element.kind != "float" or bool(np.signbit(value)))


def _is_plus_zero(shape: Shape, value: np.generic) -> bool:
    return bool(value == 0) and not (shape.element.kind == "float" and np.signbit(value))


def _all_bits(shape: Shape, value: np.generic) -> bool:
    return bool(value == (True if shape.dtype == "pred" else ~np.zeros((), shape.numpy)))


def _no_bits(shape: Shape, value: np.generic) -> bool:
    return bool(value == 0)


def _select_known(b: Builder, i: Instruction) -> int | None:
    chosen = splat(b, i.operands[0])
    return None if chosen is None else i.operands[1 if chosen else 2]


def _select_same(b: Builder, i: Instruction) -> int | None:
    return i.operands[1] if i.operands[1] == i.operands[2] else None


def _dot_of_transpose(b: Builder, i: Instruction) -> int | None:
    """dot reads any dimension order, so a transpose that keeps the free dimensions' order goes."""
    numbers: DotDimensionNumbers = i["dot_dimension_numbers"]
    sides = (
        (0, numbers.lhs_contracting, numbers.lhs_batch),
        (1, numbers.rhs_contracting, numbers.rhs_batch),
    )
    operands, mapped = list(i.operands), []
    for n, contracting, batch in sides:
        source = _operand(b, i, n)
        order = source["dimensions"] if source.op == "transpose" else range(source.array.rank)
        free = [order[d] for d in range(len(order)) if d not in (*contracting, *batch)]
        if source.op == "transpose" and free == sorted(free):
            operands[n] = source.operands[0]
        else:
            order = range(source.array.rank)
        mapped.append((tuple(order[d] for d in contracting), tuple(order[d] for d in batch)))
    if tuple(operands) == i.operands:
        return None
    (lc, lb), (rc, rb) = mapped
    dims = DotDimensionNumbers(lc, rc, lb, rb)
    attrs = tuple((k, dims if k == "dot_dimension_numbers" else v) for k, v in i.attrs)
    return _again(b, replace(i, operands=tuple(operands), attrs=attrs))


RULES: dict[str, tuple[Simplification, ...]] = {
    "add": (_identity(_is_minus_zero, (0, 1)),),
    "and": (_identity(_all_bits, (0, 1)),),
    "broadcast": (_broadcast_identity, _broadcast_of_broadcast, _broadcast_of_unit_reshape),
    "concatenate": (_single_operand,),
    "convert": (_same_shape, _convert_there_and_back),
    "copy": (_forward,),
    "divide": (_identity(_is_one, (1,)),),
    "dot": (_dot_of_transpose,),
    "get-tuple-element": (_element_of_tuple,),
    "multiply": (_identity(_is_one, (0, 1)),),
    "opt-barrier": (_forward,),
    "or": (_identity(_no_bits, (0, 1)),),
    "pad": (_pad_nothing,),
    "reshape": (_same_shape, _reshape_of_reshape),
    "select": (_select_known, _select_same),
    "slice": (_slice_whole,),
    "subtract": (_identity(_is_plus_zero, (1,)),),
    "transpose": (_transpose_identity, _transpose_of_transpose),
}
