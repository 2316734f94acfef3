"""Dots of the slices of one value with one weight, as one dot of the whole value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Instruction, Program

# Fewer are not worth the slices of the result.
FEWEST = 4


def join_dots_of_slices(program: Program) -> Program:
    """dot(x[i:j], w) for slices that cover most rows of x is dot(x, w)[i:j].

    So the steps of a recurrent layer read the weights of its inputs once, not once each. Slices
    that are converted, one by one, are so together.
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
        rows, convert = _slice_under(b.instructions, i.operands[0])
        if first[position] not in whole:
            source = rows.operands[0]
            dims = b.instructions[source].array.dims
            if convert is not None:
                shape = Shape(convert.array.dtype, dims)
                source = b.emit(replace(convert, shape=shape, operands=(source,)))
            shape = Shape(i.array.dtype, (dims[0], i.array.dims[1]))
            operands = (source, i.operands[1])
            whole[first[position]] = b.emit(replace(i, shape=shape, operands=operands))
        taken = (rows["slice"][0], (0, i.array.dims[1], 1))
        made = whole[first[position]]
        return b.op("slice", i.array, made, metadata=i.metadata, slice=taken)

    return program.with_main(rewrite(main, joined))


def _slice_under(
    instructions: Sequence[Instruction], position: int
) -> tuple[Instruction, Instruction | None]:
    """A value, or what it converts, and the conversion."""
    i = instructions[position]
    return (instructions[i.operands[0]], i) if i.op == "convert" else (i, None)


def _joined_by(program: Program, i: Instruction) -> Hashable | None:
    """What dots that can be one have in common."""
    if i.op != "dot":
        return None
    rows, convert = _slice_under(program.main.instructions, i.operands[0])
    weight = program.main.instructions[i.operands[1]]
    numbers = i["dot_dimension_numbers"]
    plain = (numbers.lhs_contracting, numbers.lhs_batch) == ((1,), ())
    if rows.op != "slice" or weight.op != "parameter" or not plain or len(i.array.dims) != 2:
        return None
    bound = program.inputs[weight["number"]].weight
    source = program.main.instructions[rows.operands[0]].array
    if bound is None or rows["slice"][0][2] != 1 or rows["slice"][1] != (0, source.dims[1], 1):
        return None
    converted = None if convert is None else (convert.array.dtype, convert.attrs)
    return rows.operands[0], converted, bound.digest, i.attrs, i.array.dtype, i.array.dims[1]


def _cover(program: Program, group: list[int]) -> bool:
    main = program.main
    rows = [_slice_under(main.instructions, main.instructions[p].operands[0])[0] for p in group]
    whole = main.instructions[rows[0].operands[0]].array.dims[0]
    taken = {n for r in rows for n in range(*r["slice"][0][:2])}
    return 2 * len(taken) > whole
