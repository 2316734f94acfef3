"""Dot products and convolutions as the native kernel takes them: numbers that say how to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers, WindowDimension
from neff.program import Function, Instruction
from runtime.units.views import View, picked, row_major, view, walked_together

# Below this many products a call into the kernel costs more than the loop that XLA makes. It calls
# a kernel of its own for a convolution, however small.
FEWEST = {"dot": 2048, "convolution": 64}
FLOATS = {"f32": 0, "bf16": 1}


class Group(NamedTuple):
    """A dimension of both operands and the result."""

    size: int
    left: int
    right: int


class Row(NamedTuple):
    """A dimension of the first operand and the result."""

    size: int
    stride: int


class Tap(NamedTuple):
    """A dimension summed over in steps: see TapDimension in runtime/native/kernels/contract.h."""

    size: int
    stride: int
    row: int = -1
    step: int = 0
    dilation: int = 0
    low: int = 0
    limit: int = 1


class Depth(NamedTuple):
    """A dimension summed over element by element."""

    size: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Operand:
    """A view of a value, and the type its elements are stored in there."""

    view: View
    dtype: str

    @property
    def type(self) -> int:
        return FLOATS[self.dtype]


@dataclass(frozen=True, slots=True)
class Contraction:
    """A dot or a convolution: where its operands are, how they are read, how its result lies.

    The result's dimensions are `columns` last ones, which the second operand has alone, after
    those of rows. `reads` is there where the first operand lies row by row, as it is: its groups,
    the rows of each, their elements.
    """

    left: int
    right: int
    words: tuple[int, ...]
    columns: int
    groups: int
    rows: int
    reads: tuple[int, int, int] | None = None


def contraction(
    function: Function, position: int, reachable: Callable[[int], bool], any_size: bool = False
) -> Contraction | None:
    """A dot or convolution for the kernel, or None where it has to be left to JAX.

    Its operands are seen through the instructions that are `reachable`.
    """
    i = function.instructions[position]
    types = {function.instructions[o].array.dtype for o in i.operands}
    if types not in ({"f32"}, {"bf16"}) or i.get("algorithm") or i.array.dtype not in FLOATS:
        return None
    if 0 in i.array.dims or any(0 in function.instructions[o].array.dims for o in i.operands):
        return None
    if not any_size and _products(i, function) < FEWEST[i.op]:
        return None

    def seen_through(p: int) -> bool:
        step = function.instructions[p]
        return reachable(p) and (step.op != "convert" or _rounds(function, step))

    def made(in_parts: bool) -> Contraction | None:
        seen = (view(function, o, seen_through, in_parts=in_parts) for o in i.operands)
        operands = [Operand(v, function.instructions[v.source].array.dtype) for v in seen]
        return (_dot if i.op == "dot" else _convolution)(function, i, *operands)

    # Only a dot's dimensions may have parts, and not in all ways.
    return (made(True) if i.op == "dot" else None) or made(False)


def _rounds(function: Function, i: Instruction) -> bool:
    """Whether a conversion is one that the kernel makes as it reads."""
    return (function.instructions[i.operands[0]].array.dtype, i.array.dtype) == ("f32", "bf16")


def _words(
    narrow: bool,
    left: Operand,
    right: Operand,
    depth: Depth,
    columns: Row,
    groups: list[Group],
    rows: list[Row],
    taps: list[Tap],
    right_tap: int,
    *,
    each: bool = False,
    left_start: int | None = None,
) -> tuple[int, ...]:
    """The numbers, without whether the second operand is packed: see Contraction::parse."""
    start = left.view.offset if left_start is None else left_start
    head = (int(each), int(narrow), left.type, start, depth.left)
    tail = (right.type, right.view.offset, depth.right, columns.stride, right_tap)
    lists = [n for listed in (groups, rows, taps) for n in (len(listed), *sum(listed, ()))]
    return (*head, *tail, depth.size, columns.size, *lists)


def packed_words(words: tuple[int, ...], packed: bool) -> tuple[int, ...]:
    """The numbers for a second operand that was packed at load, or comes as it lies."""
    return (*words[:5], int(packed), *words[5:])


def packing_words(words: tuple[int, ...]) -> tuple[int, ...]:
    """Of the numbers, what decides how the second operand is packed; the rest is 0.

    Contractions that read one weight in one way share what is packed.
    """
    head, rest = words[:12], list(words[12:])

    def listed(width: int) -> list[list[int]]:
        count = rest.pop(0)
        taken = [rest[n * width : (n + 1) * width] for n in range(count)]
        del rest[: count * width]
        return taken

    groups = [(size, 0, right) for size, _, right in listed(len(Group._fields))]
    listed(len(Row._fields))
    taps = Tap(prod(tap[0] for tap in listed(len(Tap._fields))), 0)
    numbers = (len(groups), *sum(groups, ()), 0, 1, *taps)
    return packed_words((*head[:2], 0, 0, 0, *head[5:], *numbers), packed=True)


def _dot(function: Function, i: Instruction, left: Operand, right: Operand) -> Contraction | None:
    n, lv, rv = i["dot_dimension_numbers"], left.view, right.view
    batch = _common(lv, n.lhs_batch, rv, n.rhs_batch)
    contracted = _common(lv, n.lhs_contracting, rv, n.rhs_contracting)
    if batch is None or contracted is None:
        return None
    groups = [Group(*parts) for parts in batch]
    summed = _summed([Depth(*parts) for parts in contracted])
    free = [d for d in range(len(lv.dims)) if d not in (*n.lhs_batch, *n.lhs_contracting)]
    other = [d for d in range(len(rv.dims)) if d not in (*n.rhs_batch, *n.rhs_contracting)]
    rows = picked(lv, free)
    columns = picked(rv, other)
    if len(summed) > 2 or len(columns) != 1 or len(groups) + len(rows) > 8:
        return None
    depth, *steps = summed
    taps = [Tap(s.size, s.left) for s in steps]
    narrow = function.instructions[i.operands[0]].array.dtype == "bf16"
    words = _words(
        narrow,
        left,
        right,
        depth,
        Row(*columns[0]),
        groups,
        [Row(*r) for r in rows],
        taps,
        steps[0].right if steps else 0,
    )
    sizes = (*(g.size for g in groups), *(r[0] for r in rows), depth.size)
    strides = (*(g.left for g in groups), *(r[1] for r in rows), depth.left)
    plain = lv.offset == 0 and not taps and strides == row_major(sizes)
    count = prod(g.size for g in groups), prod(r[0] for r in rows)
    reads = (*count, depth.size) if plain else None
    return Contraction(lv.source, rv.source, words, len(other), *count, reads)


def _common(
    left: View, of_left: Sequence[int], right: View, of_right: Sequence[int]
) -> list[tuple[int, int, int]] | None:
    """Dimensions that both operands have, in parts: sizes and strides; None where they differ."""
    found = []
    for a, b in zip(of_left, of_right, strict=True):
        parts = walked_together(left.parts[a], right.parts[b])
        if parts is None:
            return None
        found += parts
    return found


def _summed(dimensions: list[Depth]) -> list[Depth]:
    """The contracted dimensions, neighbours made one, that of neighbouring elements first."""
    found: list[Depth] = []
    for d in dimensions:
        if d.size == 1:
            continue
        last = found[-1] if found else None
        if last and last.left == d.size * d.left and last.right == d.size * d.right:
            found[-1] = Depth(last.size * d.size, d.left, d.right)
        else:
            found.append(d)
    return sorted(found, key=lambda d: d.left != 1) or [Depth(1, 1, 1)]


def _convolution(
    function: Function, i: Instruction, left: Operand, right: Operand
) -> Contraction | None:
    n: ConvolutionDimensionNumbers = i["dim_labels"]
    window: tuple[WindowDimension, ...] = i.get("window") or ()
    spatial = n.output_spatial
    order = (n.output_batch, *spatial, n.output_feature)
    plain = all(w.base_dilation == 1 and not w.reversal for w in window)
    if order != tuple(range(len(order))) or not plain or i["batch_group_count"] != 1:
        return None
    groups, channels = i["feature_group_count"], left.view.dims[n.input_feature]
    each = groups > 1 and groups == channels == right.view.dims[n.kernel_output_feature]
    narrow = function.instructions[i.operands[0]].array.dtype == "bf16"
    unread = each and left.view.strides[n.input_feature] != 1
    if (groups > 1 and not each) or unread:
        return None
    lv, rv = left.view, right.view
    rows = [Row(lv.dims[n.input_batch], lv.strides[n.input_batch])]
    taps, start = [], lv.offset
    for d, w in enumerate(window):
        stride, size = lv.strides[n.input_spatial[d]], lv.dims[n.input_spatial[d]]
        rows.append(Row(i.array.dims[spatial[d]], w.stride * stride))
        step = w.window_dilation
        taps.append(Tap(w.size, step * stride, d + 1, w.stride, step, w.pad_low, size))
        start -= w.pad_low * stride
    right_tap = picked(rv, list(n.kernel_spatial))
    if len(right_tap) > 1:
        return None
    feature = n.input_feature, n.kernel_input_feature
    depth = Depth(1 if each else channels, lv.strides[feature[0]], rv.strides[feature[1]])
    columns = Row(rv.dims[n.kernel_output_feature], rv.strides[n.kernel_output_feature])
    words = _words(
        narrow,
        left,
        right,
        depth,
        columns,
        [],
        rows,
        taps,
        right_tap[0][1] if right_tap else 0,
        each=each,
        left_start=start,
    )
    return Contraction(lv.source, rv.source, words, 1, 1, prod(r.size for r in rows))


def _products(i: Instruction, function: Function) -> int:
    """How many products are summed."""
    left, right = (function.instructions[o].array.dims for o in i.operands)
    if i.op == "convolution":
        return prod((*i.array.dims, *right)) // i.array.dims[i["dim_labels"].output_feature]
    return prod(i.array.dims) * prod(left[d] for d in i["dot_dimension_numbers"].lhs_contracting)
