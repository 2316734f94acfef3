"""Index spaces: which element of a value an element of a region's result is made of.

A space is made of atoms: its dimensions, split as far as reshapes in the region ask for. An index
of a value is then an affine function of the atoms of each of its dimensions, or nothing that
strides can say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod

from neff.program import Instruction


class UnsaidError(Exception):
    """A region has something that no tile program can say; the message is the reason."""


class SplitError(Exception):
    """An atom must be two, the inner of a size; all that was made for the space is void."""

    def __init__(self, atom: int, inner: int) -> None:
        super().__init__(atom, inner)
        self.atom, self.inner = atom, inner


@dataclass(frozen=True, slots=True)
class Index:
    """Along one dimension of a value: start + step * (the row-major index over some atoms)."""

    atoms: tuple[int, ...] = ()
    start: int = 0
    step: int = 1


Map = tuple[Index, ...]  # one for each dimension of a value


@dataclass(frozen=True, slots=True)
class Space:
    """Dimensions, each as the sizes of its atoms. Dimensions of size 1 have none."""

    dims: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(dims: Sequence[int]) -> Space:
        return Space(tuple((size,) if size != 1 else () for size in dims))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the atoms, by number."""
        return tuple(size for dimension in self.dims for size in dimension)

    @property
    def identity(self) -> Map:
        """The map of a value that has the space's dimensions."""
        ends = pairwise(accumulate(map(len, self.dims), initial=0))
        return tuple(Index(tuple(range(first, last))) for first, last in ends)

    def split(self, error: SplitError) -> Space:
        """The space with one atom made two."""
        dims, first = [], 0
        for sizes in self.dims:
            at = error.atom - first
            first += len(sizes)
            if 0 <= at < len(sizes):
                halves = (sizes[at] // error.inner, error.inner)
                sizes = (*sizes[:at], *halves, *sizes[at + 1 :])
            dims.append(sizes)
        return Space(tuple(dims))

    def distribute(self, atoms: Sequence[int], dims: Sequence[int]) -> list[tuple[int, ...]]:
        """Atoms in order, dealt to dimensions whose sizes theirs make up.

        Raises SplitError where an atom belongs to two dimensions, UnsaidError if it cannot.
        """
        sizes = self.sizes
        left = list(atoms)
        dealt: list[tuple[int, ...]] = []
        for dimension in reversed(dims):
            taken: list[int] = []
            rest = dimension
            while rest != 1:
                if not left:
                    raise UnsaidError(f"sizes {list(dims)} are not made of the space's")
                atom = left.pop()
                if rest % sizes[atom] == 0:
                    taken.insert(0, atom)
                    rest //= sizes[atom]
                elif sizes[atom] % rest == 0:
                    raise SplitError(atom, rest)
                else:
                    raise UnsaidError(f"size {sizes[atom]} is not split evenly by {rest}")
            dealt.insert(0, tuple(taken))
        if left:
            raise UnsaidError(f"sizes {list(dims)} are not made of the space's")
        return dealt

    def strides(self, dims: Sequence[int], value: Map) -> tuple[int, tuple[int, ...]]:
        """The offset and the stride of each atom, in elements, of a row-major array."""
        sizes = self.sizes
        offset, strides = 0, [0] * len(sizes)
        place = prod(dims)
        for size, index in zip(dims, value, strict=True):
            place //= max(size, 1)
            offset += index.start * place
            step = index.step * place
            for atom in reversed(index.atoms):
                strides[atom] += step
                step *= sizes[atom]
        return offset, tuple(strides)


def step_back(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    """The map of the operand, of sizes `dims`, of a movement whose result has the map `value`."""
    return _STEPS[i.op](space, i, dims, value)


def _broadcast(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    return tuple(
        value[d] if size != 1 else Index() for d, size in zip(i["dimensions"], dims, strict=True)
    )


def _transpose(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    moved = sorted(zip(i["dimensions"], value, strict=True), key=lambda pair: pair[0])
    return tuple(index for _, index in moved)


def _slice(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    return tuple(
        Index(v.atoms, start + step * v.start, step * v.step)
        for (start, _, step), v in zip(i["slice"], value, strict=True)
    )


def _reverse(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    return tuple(
        Index(v.atoms, size - 1 - v.start, -v.step) if d in i["dimensions"] else v
        for d, (size, v) in enumerate(zip(dims, value, strict=True))
    )


def _reshape(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    made: list[Index] = []
    for ours, theirs in _blocks(i.array.dims, dims):
        indices = [value[d] for d in ours if i.array.dims[d] != 1]
        if len(indices) == 1 == sum(dims[d] != 1 for d in theirs):
            made.extend(Index() if dims[d] == 1 else indices[0] for d in theirs)
            continue
        if any(x.start or (x.step != 1 and x.atoms) for x in indices):
            raise UnsaidError("a slice is reshaped")
        atoms = [atom for x in indices for atom in x.atoms]
        dealt = space.distribute(atoms, [dims[d] for d in theirs])
        made.extend(Index(a) for a in dealt)
    return tuple(made)


def _blocks(
    ours: Sequence[int], theirs: Sequence[int]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The least groups of neighbouring dimensions of two shapes that have the same size."""
    blocks: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    a = b = 0
    while a < len(ours) or b < len(theirs):
        first_a, first_b, size_a, size_b = a, b, 1, 1
        while size_a != size_b or (a == first_a and b == first_b):
            if (size_a <= size_b and a < len(ours)) or b == len(theirs):
                size_a *= ours[a]
                a += 1
            else:
                size_b *= theirs[b]
                b += 1
        blocks.append((tuple(range(first_a, a)), tuple(range(first_b, b))))
    return blocks


def _same(space: Space, i: Instruction, dims: Sequence[int], value: Map) -> Map:
    return value


_STEPS: dict[str, Callable[[Space, Instruction, Sequence[int], Map], Map]] = {
    "broadcast": _broadcast,
    "copy": _same,
    "reshape": _reshape,
    "reverse": _reverse,
    "slice": _slice,
    "transpose": _transpose,
}
MOVEMENT = frozenset(_STEPS)
