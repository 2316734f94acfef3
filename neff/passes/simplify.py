"""Algebraic simplification: exact rewrites that look at an instruction and its operands only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import attributes
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.ops import ELEMENTWISE
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
    return _of_broadcasts(b, i) if i.op in ELEMENTWISE else None


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


def _of_broadcasts(b: Builder, i: Instruction) -> int | None:
    """Computed before it is repeated, where all operands are repeated over the same dimensions."""
    sources = [b.instructions[o] for o in i.operands]
    if not sources or any(s.op != "broadcast" or s.array.dims != i.array.dims for s in sources):
        return None
    narrow = [b.instructions[s.operands[0]].array for s in sources]
    wide = [n for n, shape in enumerate(narrow) if shape.rank]
    first = wide[0] if wide else 0
    dims, dimensions = narrow[first].dims, sources[first]["dimensions"]
    if narrow[first].size >= i.array.size:
        return None
    if any(narrow[n].dims != dims or sources[n]["dimensions"] != dimensions for n in wide):
        return None
    operands = [
        s.operands[0]
        if shape.dims == dims
        else b.op("broadcast", Shape(shape.dtype, dims), s.operands[0], dimensions=())
        for s, shape in zip(sources, narrow, strict=True)
    ]
    once = replace(i, shape=Shape(i.array.dtype, dims), operands=tuple(operands))
    return b.op("broadcast", i.array, _again(b, once), metadata=i.metadata, dimensions=dimensions)


def _move_of_splat(b: Builder, i: Instruction) -> int | None:
    """Elements of one number repeated are the number, however they are moved."""
    inner = _operand(b, i)
    if inner.op != "broadcast" or b.instructions[inner.operands[0]].array.rank:
        return None
    return b.op("broadcast", i.array, inner.operands[0], metadata=i.metadata, dimensions=())


def _broadcast_of_one(b: Builder, i: Instruction) -> int | None:
    """One number is repeated as a scalar."""
    inner = _operand(b, i).array
    if inner.size != 1 or not inner.rank or i.array.size == 1:
        return None
    scalar = Instruction("reshape", Shape(inner.dtype), i.operands, (), (), i.metadata)
    return b.op("broadcast", i.array, _again(b, scalar), metadata=i.metadata, dimensions=())


def _and_one(b: Builder, i: Instruction) -> int | None:
    """A predicate held as 0 or 1 in an integer keeps its value under `and 1`."""
    for value, other in (i.operands, i.operands[::-1]):
        number = splat(b, other)
        if number is not None and number == 1 and _held_predicate(b, value) is not None:
            return value
    return None


def _held_predicate(b: Builder, value: int) -> int | None:
    i = b.instructions[value]
    if i.op != "convert" or i.array.element.kind not in ("signed", "unsigned"):
        return None
    return i.operands[0] if b.instructions[i.operands[0]].array.dtype == "pred" else None


def _predicate_of_held(b: Builder, i: Instruction) -> int | None:
    """`convert(op(convert(p), convert(q)))` to predicates is op(p, q), where op works on bits."""
    inner = _operand(b, i)
    if i.array.dtype != "pred" or inner.op not in ("and", "or", "xor"):
        return None
    held = tuple(h for h in (_held_predicate(b, o) for o in inner.operands) if h is not None)
    return _again(b, replace(inner, shape=i.shape, operands=held)) if len(held) == 2 else None


def _compare_predicate(b: Builder, i: Instruction) -> int | None:
    """A predicate that is not false, or is true, is itself."""
    wanted = {"NE": False, "EQ": True}.get(i["direction"])
    if wanted is None or _operand(b, i).array.dtype != "pred":
        return None
    for value, other in (i.operands, i.operands[::-1]):
        number = splat(b, other)
        if number is not None and bool(number) == wanted:
            return value
    return None


def _same_shape(b: Builder, i: Instruction) -> int | None:
    return i.operands[0] if _operand(b, i).shape == i.shape else None


def _forward(b: Builder, i: Instruction) -> int | None:
    return i.operands[0]


def _reshape_of_reshape(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    return _again(b, replace(i, operands=inner.operands)) if inner.op == "reshape" else None


def _reshape_of_broadcast(b: Builder, i: Instruction) -> int | None:
    """Sizes of one come and go before what is repeated is repeated."""
    inner = _operand(b, i)
    if inner.op != "broadcast":
        return None
    before = [d for d, size in enumerate(inner.array.dims) if size != 1]
    after = [d for d, size in enumerate(i.array.dims) if size != 1]
    if [inner.array.dims[d] for d in before] != [i.array.dims[d] for d in after]:
        return None
    source = b.instructions[inner.operands[0]].array
    kept = [d for d in inner["dimensions"] if inner.array.dims[d] != 1]
    narrow = Shape(source.dtype, tuple(inner.array.dims[d] for d in kept))
    reshaped = Instruction("reshape", narrow, inner.operands, (), (), i.metadata)
    dimensions = tuple(after[before.index(d)] for d in kept)
    value, attrs = _again(b, reshaped), attributes(dimensions=dimensions)
    made = Instruction("broadcast", i.shape, (value,), attrs, (), i.metadata)
    return _again(b, made)


def _transpose_identity(b: Builder, i: Instruction) -> int | None:
    return i.operands[0] if i["dimensions"] == tuple(range(i.array.rank)) else None


def _transpose_of_transpose(b: Builder, i: Instruction) -> int | None:
    inner = _operand(b, i)
    if inner.op != "transpose":
        return None
    dims = tuple(inner["dimensions"][d] for d in i["dimensions"])
    return _again(b, replace(i, operands=inner.operands, attrs=(("dimensions", dims),)))


def _transpose_in_sequence(b: Builder, i: Instruction) -> int | None:
    """A transpose that moves only dimensions of size one is a reshape."""
    dims = _operand(b, i).array.dims
    moved = [d for d in i["dimensions"] if dims[d] != 1]
    if moved != sorted(moved):
        return None
    return _again(b, Instruction("reshape", i.shape, i.operands, (), (), i.metadata))


def _transpose_of_broadcast(b: Builder, i: Instruction) -> int | None:
    """What is repeated is transposed before, where it has to be."""
    inner = _operand(b, i)
    if inner.op != "broadcast":
        return None
    placed = [i["dimensions"].index(d) for d in inner["dimensions"]]
    order = tuple(sorted(range(len(placed)), key=placed.__getitem__))
    source = b.instructions[inner.operands[0]].array
    turned = Shape(source.dtype, tuple(source.dims[n] for n in order))
    narrow = replace(i, shape=turned, operands=inner.operands, attrs=attributes(dimensions=order))
    dimensions = attributes(dimensions=tuple(sorted(placed)))
    return _again(b, replace(inner, shape=i.shape, operands=(_again(b, narrow),), attrs=dimensions))


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


def _broadcast_in_sequence(b: Builder, i: Instruction) -> int | None:
    """A broadcast that repeats nothing and keeps the sequence of elements is a reshape."""
    dimensions = i["dimensions"]
    if _operand(b, i).array.size != i.array.size or list(dimensions) != sorted(dimensions):
        return None
    return _again(b, Instruction("reshape", i.shape, i.operands, (), (), i.metadata))


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


RULES: dict[str, tuple[Simplification, ...]] = {
    "add": (_identity(_is_minus_zero, (0, 1)),),
    "and": (_identity(_all_bits, (0, 1)), _and_one),
    "broadcast": (
        _broadcast_identity,
        _broadcast_of_one,
        _broadcast_of_broadcast,
        _broadcast_of_unit_reshape,
        _broadcast_in_sequence,  # last: a broadcast of a constant stays one, as `splat` knows it
    ),
    "compare": (_compare_predicate,),
    "concatenate": (_single_operand,),
    "convert": (_same_shape, _convert_there_and_back, _predicate_of_held),
    "copy": (_forward,),
    "divide": (_identity(_is_one, (1,)),),
    "get-tuple-element": (_element_of_tuple,),
    "multiply": (_identity(_is_one, (0, 1)),),
    "opt-barrier": (_forward,),
    "or": (_identity(_no_bits, (0, 1)),),
    "pad": (_pad_nothing,),
    "reshape": (_same_shape, _reshape_of_reshape, _move_of_splat, _reshape_of_broadcast),
    "reverse": (_move_of_splat,),
    "select": (_select_known, _select_same),
    "slice": (_slice_whole, _move_of_splat),
    "subtract": (_identity(_is_plus_zero, (1,)),),
    "transpose": (
        _transpose_identity,
        _transpose_of_transpose,
        _transpose_in_sequence,
        _transpose_of_broadcast,
    ),
}
