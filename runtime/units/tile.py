"""Instructions of a region as a tile program: numbers that runtime/native/kernels/tile.cc runs.

The words of a program are, one after the other:
    rank, rank of the rows, sizes of the dimensions of its space
    operands; for each, then for the result: element type, offset, a stride for each dimension
    registers, whether register 0 is preset, immediates; the 32 bits of each
    instructions; for each: code, whether it makes one value per row, register, three sources
A code is a position in OPS. A source is a register or, from `registers` on, an immediate; that of
a load is an operand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import prod

from neff.program import Function
from runtime.logs import Level, log
from runtime.units.idioms import chosen_by_row, spoken
from runtime.units.lowering import Lowered, Lowering
from runtime.units.ops import CODES, PAIRS, TYPES, rounding
from runtime.units.registers import Step, paired, place
from runtime.units.space import Space, SplitError, UnsaidError
from runtime.units.views import row_major

MOST_RANK = 8


@dataclass(frozen=True, slots=True)
class TileCode:
    """A tile program, the values that its operands are, and the size of its space.

    `alike` says of each operand, then of the result, whether it lies as the space does, row-major.
    """

    words: tuple[int, ...]
    operands: tuple[int, ...]
    rows: int
    columns: int
    alike: tuple[bool, ...]


def tile_code(
    function: Function,
    members: Sequence[int],
    anchor: int,
    columns: int,
    visible: Collection[int] = frozenset(),
) -> TileCode | None:
    """What the members make of the anchor's value, which a kernel leaves in register 0.

    The program's space has the anchor's dimensions, the last `columns` of which are its columns.
    The last member is the result. None where no tile program can say it.
    """
    return unless_unsaid(function, lambda: lower_after(function, members, anchor, columns, visible))


def unless_unsaid(function: Function, lower: Callable[[], TileCode]) -> TileCode | None:
    """What `lower` makes, or None, with a line in the log, where no tile program can say it."""
    try:
        return lower()
    except UnsaidError as error:
        log(Level.DEBUG, "NRT", "tile_code", f"{function.name}: left to JAX: {error}")
        return None


def lower_after(
    function: Function,
    members: Sequence[int],
    anchor: int,
    columns: int,
    visible: Collection[int] = frozenset(),
) -> TileCode:
    """As `tile_code`, but raises UnsaidError."""

    def lower(space: Space) -> TileCode:
        lowered = Lowering(function, members, space, anchor=anchor, visible=visible).made()
        order = [atom for index in lowered.anchor for atom in index.atoms]
        row_dims = len(lowered.anchor) - columns
        row_rank = sum(len(index.atoms) for index in lowered.anchor[:row_dims])
        return encode(space, order, row_rank, lowered)

    return settled(Space.of(function.instructions[members[-1]].array.dims), lower)


def settled(space: Space, lower: Callable[[Space], TileCode]) -> TileCode:
    """What `lower` makes once the space's atoms are split as it asks for."""
    while True:
        try:
            return lower(space)
        except SplitError as error:
            space = space.split(error)


def encode(space: Space, order: Sequence[int], row_rank: int, lowered: Lowered) -> TileCode:
    """The words, with the space's atoms in an order that begins with those of rows."""
    dims, row_rank, uses = _merged(space, order, row_rank, lowered)
    if len(dims) > MOST_RANK:
        raise UnsaidError(f"a space has at most {MOST_RANK} dimensions, got {len(dims)}")
    steps = _narrowed(lowered.steps, [_uniform(u.strides[row_rank:]) for u in uses])
    steps = paired(spoken(chosen_by_row(_without_rounding(steps, uses[-1].dtype))), PAIRS)
    placed = place(steps, bool(lowered.anchor_read))
    words = [len(dims), row_rank, *dims, len(uses) - 1]
    for use in uses:
        words += [TYPES[use.dtype], use.offset, *use.strides]
    words += [placed.registers, int(lowered.anchor_read), len(placed.immediates)]
    words += [*placed.immediates, len(steps)]
    for step, to, sources in placed.steps:
        given = (step.operand,) if step.op == "load" else sources
        words += [CODES[step.op], int(step.narrow), to, *given, *[0] * (3 - len(given))]
    natural = row_major(tuple(dims))
    alike = tuple(u.offset == 0 and _same(u.strides, natural, dims) for u in uses)
    rows, columns = prod(dims[:row_rank]), prod(dims[row_rank:])
    return TileCode(tuple(words), lowered.operands, rows, columns, alike)


def _same(strides: Sequence[int], others: Sequence[int], dims: Sequence[int]) -> bool:
    """Whether two strides lead to the same elements."""
    return all(a == b for a, b, size in zip(strides, others, dims, strict=True) if size > 1)


@dataclass(frozen=True, slots=True)
class _Use:
    """How a buffer is read or written, with a stride for each dimension of the words."""

    dtype: str
    offset: int
    strides: tuple[int, ...]


def _merged(
    space: Space, order: Sequence[int], row_rank: int, lowered: Lowered
) -> tuple[list[int], int, list[_Use]]:
    """Sizes, rank of the rows and uses, where neighbours that are walked as one are one."""
    sizes = space.sizes
    all_strides = [u.strides for u in lowered.uses]
    groups: list[list[int]] = []  # atoms, outer to inner
    rows = 0
    for n, atom in enumerate(order):
        outer = groups[-1][-1] if groups and n != row_rank else None
        if outer is not None and all(s[outer] == s[atom] * sizes[atom] for s in all_strides):
            groups[-1].append(atom)
        else:
            groups.append([atom])
        rows = len(groups) if n < row_rank else rows
    dims = [1] * len(groups)
    for n, group in enumerate(groups):
        for atom in group:
            dims[n] *= sizes[atom]
    uses = [
        _Use(u.dtype, u.offset, tuple(u.strides[group[-1]] for group in groups))
        for u in lowered.uses
    ]
    return dims, rows, uses


def _without_rounding(steps: Sequence[Step], dtype: str) -> list[Step]:
    """The steps without a last one that rounds as the store does."""
    made = {step.to: step for step in steps}
    *others, store = steps
    (source,) = store.sources
    last = made[source] if isinstance(source, int) and source in made else None
    read = sum(source in step.sources for step in steps)
    if last is None or (last.op,) != rounding(dtype) or read > 1:
        return list(steps)
    return [*(s for s in others if s is not last), replace(store, sources=last.sources)]


def _uniform(strides: Sequence[int]) -> bool:
    """Whether a buffer has one value for all columns, of which there are several."""
    return bool(strides) and not any(strides)


def _narrowed(steps: Sequence[Step], uniform: Sequence[bool]) -> list[Step]:
    """The steps, told which make one value per row: `uniform` says it of operands and result."""
    narrow: dict[int, bool] = {}
    made = []
    for step in steps:
        if step.op == "load":
            is_narrow = uniform[step.operand]
        elif step.op == "store":
            is_narrow = uniform[-1]
        else:
            read = [narrow.get(s, False) for s in step.sources if isinstance(s, int)]
            is_narrow = step.op.startswith("reduce-") or all(read)
        narrow[step.to] = is_narrow
        made.append(replace(step, narrow=is_narrow))
    return made
