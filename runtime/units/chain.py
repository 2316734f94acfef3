"""Two contractions as one call of a kernel: with rows between them, such as an attention, or beside
each other, such as a product that is added to another.

What the first makes of some rows stays in cache until the second has read it.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.units.unit import Slot, Unit

# The rows that a thread takes at once, and how many such parts there must be: with fewer, threads
# would have nothing to do, which costs more than rows that leave the cache.
PART = 32
FEWEST_PARTS = 4
SMALL = 1 << 20  # products that are one thread's in any case
# Two beside each other are divided by rows alone: with so many, each thread may read all weights.
# With 1,568 of them and 1,024 columns it cost 9 %.
MANY_ROWS = 2048
# Bytes of what the first makes that are worth it: less stays in cache in any case.
MANY_BYTES = 2 << 20


def chained(units: Mapping[int, Unit], readers: Mapping[int, int]) -> dict[int, Unit]:
    """The units by their result, each three that follow each other, and two beside, made one.

    `readers` says how many units, instructions and results read a value.
    """
    found = dict(units)
    for second in units.values():
        made = _chain(second, units, readers) or _pair(second, units, readers)
        if made is not None:
            found[made.result] = made
    return found


def _chain(second: Unit, units: Mapping[int, Unit], readers: Mapping[int, int]) -> Unit | None:
    if second.contraction is None or second.contraction.reads is None:
        return None
    between = units.get(second.contraction.left)
    if between is None or between.kernel != "neuron_rows" or readers[between.result] != 1:
        return None
    if between.result in second.operands[1:]:
        return None
    for position in dict.fromkeys(between.reads):
        first = units.get(position)
        if first is not None and readers[position] == 1 and _fits(first, between, second):
            return _joined(first, between, second)
    return None


def _fits(first: Unit, between: Unit, second: Unit) -> bool:
    """Whether rows go from one to the next as they are."""
    made, read = first.contraction, second.contraction
    if made is None or read is None:
        return False
    if first.code is None or between.code is None or second.code is None:
        return False
    # What the kernel calls depth is one dimension, and so are its columns.
    groups, rows, depth = read.reads or (0, 0, 0)
    uses = zip(between.operands, between.code.alike[:-1], strict=True)
    divides = groups * -(-rows // PART) >= FEWEST_PARTS
    return (
        (divides or groups * rows * depth * second.code.columns < SMALL)
        and (made.groups, made.rows) == (groups, rows)
        and all((c.rows, c.columns) == (groups * rows, depth) for c in (first.code, between.code))
        and first.code.alike[-1]
        and between.code.alike[-1]
        and all(alike for operand, alike in uses if operand == first.result)
    )


def _joined(first: Unit, between: Unit, second: Unit) -> Unit:
    flags = tuple(int(o == first.result) for o in between.operands)
    words = _in_stretches(first.words, between.words, flags, second.words)
    others = tuple(o for o in between.operands if o != first.result)
    operands = (*first.operands, *others, *second.operands[1:])
    return Unit(second.result, "neuron_chain", words, operands)


def _in_stretches(*stretches: tuple[int, ...]) -> tuple[int, ...]:
    """Words, each stretch of them after its length: see Stretches in ffi.cc."""
    return tuple(n for stretch in stretches for n in (len(stretch), *stretch))


def _pair(second: Unit, units: Mapping[int, Unit], readers: Mapping[int, int]) -> Unit | None:
    if second.contraction is None or second.code is None:
        return None
    after = second.operands[2:]
    for position, alike in zip(after, second.code.alike[:-1], strict=True):
        if isinstance(position, Slot) or position not in units or not alike:
            continue
        first = units[position]
        if readers[position] == 1 == after.count(position) and _beside(first, second):
            flags = tuple(int(o == position) for o in after)
            words = _in_stretches(first.words, second.words, flags)
            others = tuple(o for o in after if o != position)
            operands = (*first.operands, *second.operands[:2], *others)
            return Unit(second.result, "neuron_pair", words, operands)
    return None


def _beside(first: Unit, second: Unit) -> bool:
    """Whether two make as many rows and columns, and enough of them."""
    made, own = first.contraction, second.contraction
    if made is None or own is None or first.code is None or second.code is None:
        return False
    if first.result in second.operands[:2]:
        return False
    size = made.groups * made.rows, first.code.columns
    return (
        made.rows >= MANY_ROWS
        and size[0] * size[1] * 4 >= MANY_BYTES
        and (made.groups, made.rows) == (own.groups, own.rows)
        and all((c.rows, c.columns) == size for c in (first.code, second.code))
        and first.code.alike[-1]
    )
