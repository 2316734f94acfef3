"""Arrays made of whole stretches of others, for the native kernels: see moves.cc for the words."""

from __future__ import annotations

from math import prod

from hlo_frontend.hlo.attributes import GatherDimensionNumbers
from neff.program import Function, Instruction
from runtime.units.ops import TYPES
from runtime.units.unit import Unit
from runtime.units.views import merged, view

# The integers of which a kernel reads the lower 32 bits, by how many s32 lie in one.
_NUMBERS = {"s32": 1, "u32": 1, "s64": 2}


def concatenation(main: Function, position: int) -> Unit | None:
    """A concatenation of arrays of a type that kernels read."""
    i = main.instructions[position]
    (dimension,) = i["dimensions"]
    if i.array.dtype not in TYPES or i.array.size == 0:
        return None
    sizes = (prod(main.instructions[o].array.dims[dimension:]) for o in i.operands)
    words = (prod(i.array.dims[:dimension]), *sizes)
    return Unit(position, "neuron_concatenation", words, i.operands)


def picked_rows(main: Function, position: int, check_bounds: bool) -> Unit | None:
    """A gather that picks rows of its operand, as an embedding does; None for any other.

    With `check_bounds`, a program in which a row is picked that is not there does not end.
    """
    i = main.instructions[position]
    table, numbers = (main.instructions[o].array for o in i.operands)
    if table.dtype not in TYPES or i.array.size == 0 or not _picks_rows(i, table.dims):
        return None
    found = view(main, i.operands[1], lambda p: _keeps_numbers(main, p))
    source = main.instructions[found.source].array
    lies = merged(*found.parts) or [(1, 1)]
    if source.dtype not in _NUMBERS or len(lies) > 1:
        return None
    (count, step), each = lies[0], _NUMBERS[source.dtype]
    where = (found.offset * each, step * each)
    flags = (int(numbers.dtype.startswith("u")), int(check_bounds))
    words = (table.dims[0], prod(table.dims[1:]), count, *where, *flags)
    return Unit(position, "neuron_picked_rows", words, (i.operands[0], found.source))


def _picks_rows(i: Instruction, dims: tuple[int, ...]) -> bool:
    """Whether each number is that of a row, and the rows follow each other."""
    n: GatherDimensionNumbers = i["gather_dimension_numbers"]
    rank = len(i.array.dims)
    last = tuple(range(rank - len(dims) + 1, rank))
    plain = n.collapsed_slice_dims == n.start_index_map == (0,) and n.offset_dims == last
    return plain and not n.operand_batching_dims and tuple(i["slice_sizes"]) == (1, *dims[1:])


def _keeps_numbers(main: Function, position: int) -> bool:
    """Whether an instruction leaves the lower 32 bits of integers as they are."""
    i = main.instructions[position]
    if i.op != "convert":
        return True
    types = i.array.dtype, main.instructions[i.operands[0]].array.dtype
    return all(dtype in _NUMBERS for dtype in types)
