"""Two contractions with rows between them, such as an attention, as one call of a kernel.

What the first makes of some rows stays in cache until the second has read it.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.units.unit import Unit

# The rows that a thread takes at once, and how many such parts there must be: with fewer, threads
# would have nothing to do, which costs more than rows that leave the cache.
PART = 32
FEWEST_PARTS = 4
SMALL = 1 << 20  # products that are one thread's in any case


def chained(units: Mapping[int, Unit], readers: Mapping[int, int]) -> dict[int, Unit]:
    """The units by their result, each three that follow each other made one.

    `readers` says how many units, instructions and results read a value.
    """
    found = dict(units)
    for second in units.values():
        made = _chain(second, units, readers)
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
    stretches = (first.words, between.words, flags, second.words)
    words = tuple(n for stretch in stretches for n in (len(stretch), *stretch))
    others = tuple(o for o in between.operands if o != first.result)
    operands = (*first.operands, *others, *second.operands[1:])
    return Unit(second.result, "neuron_chain", words, operands)
