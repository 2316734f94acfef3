"""Regions that reduce rows, such as a softmax or a normalization, as one tile program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from math import prod

from neff.program import Function, Instruction, Program
from runtime.units.lowering import Lowering, Reductions, Use
from runtime.units.ops import ELEMENTWISE
from runtime.units.space import Map, Space, UnsaidError
from runtime.units.tile import TileCode, encode, settled, unless_unsaid

# What combines two numbers is the op of a reduction.
_COMBINING = frozenset({"add", "maximum", "minimum", "multiply"})
# The same for truth values, by what it makes of (0, 0), (0, 1), (1, 0) and (1, 1).
_LOGICAL: dict[tuple[bool, ...], str] = {
    (False, False, False, True): "reduce-minimum",
    (False, True, True, True): "reduce-maximum",
}
# Where nothing is reduced, last dimensions are columns until they have so many elements.
FEW_COLUMNS = 256
Columns = Callable[[Space], tuple[int, ...]]


def row_code(
    program: Program,
    members: Sequence[int],
    visible: Collection[int] = frozenset(),
    near: bool = True,
) -> TileCode | None:
    """What the members make, in rows: elementwise steps, and reductions of the same dimensions.

    The last member is the result. None where no tile program can say it, or with `near` only one
    that reads slowly.
    """
    return unless_unsaid(program.main, lambda: lower_rows(program, members, visible, near))


def lower_rows(
    program: Program,
    members: Sequence[int],
    visible: Collection[int] = frozenset(),
    near: bool = False,
) -> TileCode:
    """As `row_code`, but raises UnsaidError.

    With `near`, also where neighbours in a row are not neighbours in memory: such reads take each
    element by itself.
    """
    main = program.main
    reduces = [p for p in members if main.instructions[p].op == "reduce"]
    names = {name for p in reduces for name in main.instructions[p].bodies}
    found = {name: reduction_of(program.function(name)) for name in names}
    ops = {name: op for name, op in found.items() if op is not None}
    reasons = ["nothing to compute"]
    for space, columns in _candidates(main, members, reduces):

        def lower(space: Space, columns: Columns | None = columns) -> TileCode:
            reductions = Reductions(columns(space), ops) if columns else None
            lowering = Lowering(main, members, space, reductions=reductions, visible=visible)
            return _in_rows(lowering, near)

        try:
            return settled(space, lower)
        except UnsaidError as error:
            reasons.append(str(error))
    raise UnsaidError(reasons[-1])


def _in_rows(lowering: Lowering, near: bool) -> TileCode:
    lowered, space, reductions = lowering.made(), lowering.space, lowering.reductions
    columns = reductions.columns if reductions else _last_atoms(space, lowered.uses)
    rows = [atom for atom in range(len(space.sizes)) if atom not in columns]
    apart = [u for u in lowered.uses if columns and u.strides[columns[-1]] not in (0, 1)]
    if near and any(u.strides[row] for u in apart for row in rows):
        raise UnsaidError("neighbours in a row are not neighbours in memory")
    return encode(space, (*rows, *columns), len(rows), lowered)


def _candidates(
    main: Function, members: Sequence[int], reduces: Sequence[int]
) -> Iterator[tuple[Space, Columns | None]]:
    """Spaces, and which of their atoms are reduced, where some are."""
    dims = main.instructions[members[-1]].array.dims
    if not reduces:
        yield Space.of(dims), None
        return
    yield Space.of(dims), lambda space: _reduced_atoms(main, members, space, reduces)
    first = main.instructions[reduces[0]]
    source = main.instructions[first.operands[0]].array.dims
    # The result is a value per row: what is reduced is none of its dimensions.
    sizes = prod(source[d] for d in first["dimensions"])
    yield Space.of((*dims, sizes)), lambda space: space.identity[len(dims)].atoms


def _last_atoms(space: Space, uses: Sequence[Use]) -> tuple[int, ...]:
    """The atoms of columns where nothing is reduced: walked along as one in all buffers."""
    sizes = space.sizes
    first = max(len(sizes) - 1, 0)
    while first > 0 and prod(sizes[first:]) < FEW_COLUMNS:
        if any(u.strides[first - 1] != u.strides[first] * sizes[first] for u in uses):
            break
        first -= 1
    return tuple(range(first, len(sizes)))


def _reduced_atoms(
    main: Function, members: Sequence[int], space: Space, reduces: Sequence[int]
) -> tuple[int, ...]:
    """The atoms of the dimensions that are reduced of a value that is read beside that, too."""
    seen = _Outline(main, members, space).outline()
    for position in reduces:
        i = main.instructions[position]
        for value in _alike(main, members, i.operands[0]):
            for at in sorted(seen.get(value, ()), key=str):
                return tuple(a for d in sorted(i["dimensions"]) for a in at[d].atoms)
    raise UnsaidError("what is reduced is in no other way part of the result")


def _alike(main: Function, members: Sequence[int], position: int) -> Iterator[int]:
    """A value and those that it is made of, element by element."""
    pending, dims = [position], main.instructions[position].array.dims
    while pending:
        value = pending.pop()
        i = main.instructions[value]
        if i.array.dims != dims:
            continue
        yield value
        if value in members and i.op in ELEMENTWISE:
            pending.extend(reversed(i.operands))


class _Outline(Lowering):
    """Which indices the values have that are read beside reductions, not by them."""

    def outline(self) -> dict[int, set[Map]]:
        self.made()
        return self.seen

    def _reduce(self, i: Instruction, at: Map) -> int:
        return self._emit("reduce-add")


def reduction_of(body: Function) -> str | None:
    """The op of a reduction whose body is a function of two scalars."""
    if len(body.results) != 1 or len(body.parameters) != 2:
        return None
    result = body.instructions[body.results[0]]
    if result.op in _COMBINING and sorted(result.operands) == sorted(body.parameters):
        return f"reduce-{result.op}"
    if {str(i.shape) for i in body.instructions} != {"pred[]"}:
        return None
    try:
        table = tuple(_truth(body, pair) for pair in product((False, True), repeat=2))
    except KeyError:
        return None
    return _LOGICAL.get(table)


def _truth(body: Function, arguments: Sequence[bool]) -> bool:
    values: list[bool] = []
    for i in body.instructions:
        if i.op == "parameter":
            values.append(arguments[i["number"]])
        elif i.op == "constant":
            values.append(bool(i["literal"].numpy().item()))
        else:
            values.append(_TRUTH[i.op, i.get("direction")](*(values[o] for o in i.operands)))
    return values[body.results[0]]


_TRUTH: Mapping[tuple[str, str | None], Callable[..., bool]] = {
    ("and", None): lambda x, y: x and y,
    ("or", None): lambda x, y: x or y,
    ("not", None): lambda x: not x,
    ("select", None): lambda p, x, y: x if p else y,
    ("compare", "EQ"): lambda x, y: x == y,
    ("compare", "NE"): lambda x, y: x != y,
}
