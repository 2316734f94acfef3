"""Slices taken later, of what is computed whole, or earlier, of what is put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import prod

from hlo_frontend.hlo.module import Attributes, attributes
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Instruction, Program

# Fewer are not worth the slices of the result.
FEWEST = 4


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a value that a dot reads: those at some indices of one of its dimensions."""

    source: int
    dimension: int
    first: int
    last: int
    convert: tuple[str, Attributes] | None  # to which type each is converted, and how


def join_dots_of_slices(program: Program) -> Program:
    """dot(x[i:j], w) for slices that cover most of x is dot(x, w)[i:j].

    So the steps of a recurrent layer read the weights of its inputs once, not once each. Slices
    that are converted, one by one, are so together. The dimension they are of becomes the first.
    """
    main = program.main
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, i in main.numbered():
        key = _joined_by(program, i)
        if key is not None:
            found[key].append(position)
    groups = [g for g in found.values() if len(g) >= FEWEST and _cover(program, g)]
    if not groups:
        return program
    first = {position: group[0] for group in groups for position in group}
    whole: dict[int, int] = {}
    positions = iter(range(len(main.instructions)))

    def joined(b: Builder, i: Instruction) -> int | None:
        position = next(positions)
        if position not in first:
            return None
        rows = _rows_under(b.instructions, i.operands[0])
        assert rows is not None
        if first[position] not in whole:
            whole[first[position]] = _whole(b, rows, i)
        made = whole[first[position]]
        sizes = b.instructions[made].array.dims
        taken = ((rows.first, rows.last, 1), *((0, size, 1) for size in sizes[1:]))
        part = Shape(i.array.dtype, (rows.last - rows.first, *sizes[1:]))
        value = b.op("slice", part, made, metadata=i.metadata, slice=taken)
        if part == i.array:
            return value
        return b.op("reshape", i.array, value, metadata=i.metadata)

    return program.with_main(rewrite(main, joined))


def _whole(b: Builder, rows: _Rows, i: Instruction) -> int:
    """The dot of all rows, the dimension that slices are of the first."""
    source, metadata = rows.source, i.metadata
    dims = b.instructions[source].array.dims
    if rows.convert is not None:
        dtype, attrs = rows.convert
        source = b.emit(Instruction("convert", Shape(dtype, dims), (source,), attrs, (), metadata))
    if rows.dimension:
        order = (rows.dimension, *(d for d in range(len(dims)) if d != rows.dimension))
        dims = tuple(dims[d] for d in order)
        turned = Shape(b.instructions[source].array.dtype, dims)
        source = b.op("transpose", turned, source, metadata=metadata, dimensions=order)
    numbers = replace(i["dot_dimension_numbers"], lhs_contracting=(len(dims) - 1,))
    attrs = attributes(**{**dict(i.attrs), "dot_dimension_numbers": numbers})
    shape = Shape(i.array.dtype, (*dims[:-1], i.array.dims[1]))
    return b.emit(replace(i, shape=shape, operands=(source, i.operands[1]), attrs=attrs))


def _rows_under(instructions: Sequence[Instruction], position: int) -> _Rows | None:
    """What rows of which value a matrix is, that may be converted and reshaped."""
    i, depth = instructions[position], instructions[position].array.dims[-1]
    convert = None
    while i.op == "reshape" or (i.op == "convert" and convert is None):
        if i.op == "convert":
            convert = i.array.dtype, i.attrs
        i = instructions[i.operands[0]]
    if i.op != "slice":
        return None
    dims = instructions[i.operands[0]].array.dims
    taken = [d for d, t in enumerate(i["slice"]) if t != (0, dims[d], 1)]
    if len(taken) != 1 or taken[0] == len(dims) - 1 or dims[-1] != depth:
        return None
    first, last, step = i["slice"][taken[0]]
    # Of several indices, the rows of each follow each other in the whole.
    if step != 1 or (last - first > 1 and prod(dims[: taken[0]]) > 1):
        return None
    return _Rows(i.operands[0], taken[0], first, last, convert)


def _joined_by(program: Program, i: Instruction) -> Hashable | None:
    """What dots that can be one have in common."""
    if i.op != "dot":
        return None
    weight = program.main.instructions[i.operands[1]]
    numbers = i["dot_dimension_numbers"]
    plain = (numbers.lhs_contracting, numbers.lhs_batch) == ((1,), ())
    if weight.op != "parameter" or not plain or len(i.array.dims) != 2:
        return None
    rows = _rows_under(program.main.instructions, i.operands[0])
    bound = program.inputs[weight["number"]].weight
    if rows is None or bound is None:
        return None
    alike = replace(rows, first=0, last=0)
    return alike, bound.digest, i.attrs, i.array.dtype, i.array.dims[1]


def _cover(program: Program, group: list[int]) -> bool:
    main = program.main
    found = [_rows_under(main.instructions, main.instructions[p].operands[0]) for p in group]
    rows = [r for r in found if r is not None]
    whole = main.instructions[rows[0].source].array.dims[rows[0].dimension]
    taken = {n for r in rows for n in range(r.first, r.last)}
    return 2 * len(taken) > whole


def slice_before_concatenating(program: Program) -> Program:
    """A slice of a concatenation that lies within one operand is a slice of that.

    After `join_dots_of_slices`, for which a value of many steps is one.
    """
    return replace(program, functions=tuple(rewrite(f, _sliced_before) for f in program.functions))


def _sliced_before(b: Builder, i: Instruction) -> int | None:
    if i.op != "slice" or b.instructions[i.operands[0]].op != "concatenate":
        return None
    whole = b.instructions[i.operands[0]]
    along: int = whole["dimensions"][0]
    first, last, step = i["slice"][along]
    for operand in whole.operands:
        shape = b.instructions[operand].array
        size = shape.dims[along]
        if first >= 0 and last <= size:
            if i.shape == shape:
                return operand
            taken = (*i["slice"][:along], (first, last, step), *i["slice"][along + 1 :])
            return b.emit(replace(i, operands=(operand,), attrs=attributes(slice=taken)))
        first, last = first - size, last - size
    return None
