"""Sums and extremes over windows, as pooling has them, for the native kernel.

The words of windows, before those of the tile program that follows, are one after the other:
    what combines, element type of the array, the 32 bits of the neutral element, offset, columns
    dimensions of rows; for each: size, stride
    dimensions of taps; for each: the fields of Tap
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from hlo_frontend.hlo.attributes import WindowDimension
from neff.program import Function, Instruction, Program
from runtime.units.contraction import Row, Tap
from runtime.units.lowering import NEUTRAL
from runtime.units.ops import TYPES
from runtime.units.rows import reduction_of
from runtime.units.views import View, picked, view

# As windows.h numbers what combines two elements.
COMBINED = {"reduce-add": 0, "reduce-maximum": 1, "reduce-minimum": 2, "reduce-multiply": 3}
READ = frozenset({"f32", "bf16", "f16", "pred"})
MOST_RANK = 8
# Below this many elements read, a call into the kernel costs more than the loop that XLA makes.
FEWEST_READ = 2048


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows for the kernel: the value they are over, their words, columns of the result."""

    source: int
    words: tuple[int, ...]
    columns: int


def windows(
    program: Program, position: int, reachable: Callable[[int], bool], any_size: bool = False
) -> Windows | None:
    """A reduce-window along whose last dimension nothing moves, or None where JAX has to do it.

    A reduction of other dimensions is one whose windows are as large as they. The operand is seen
    through the instructions that are `reachable`.
    """
    main = program.main
    i = main.instructions[position]
    if len(i.operands) != 2:
        return None
    op = reduction_of(program.function(i.bodies[0])) or ""
    neutral = NEUTRAL.get((op, i.array.dtype))
    if neutral is None or not _is_all(main, i.operands[1], neutral):
        return None
    dims = i.array.dims
    if i.op == "reduce":
        operand, window, dims = _whole(main, i)
    else:
        operand, window = _unpadded(main, i, neutral, reachable)
    found = view(main, operand, lambda p: reachable(p) and _exact(main, p))
    dtype = main.instructions[found.source].array.dtype
    columns = _columns(dims)
    shape = _windowed(window, found, columns, dims)
    if dtype not in READ or shape is None:
        return None
    rows, taps = shape
    if not any_size and i.array.size * prod(t.size for t in taps) < FEWEST_READ:
        return None
    width = prod(dims[len(dims) - columns :])
    if len(rows) > MOST_RANK or len(taps) > MOST_RANK:
        return None
    bits = int(np.float32(neutral).view(np.uint32))
    head = (COMBINED[op], TYPES[dtype], bits, found.offset, width)
    lists = (n for listed in (rows, taps) for n in (len(listed), *sum(listed, ())))
    reduced = i["dimensions"] if i.op == "reduce" else ()
    left = columns - sum(d in reduced for d in range(len(dims) - columns, len(dims)))
    return Windows(found.source, (*head, *lists), left)


def _whole(
    main: Function, i: Instruction
) -> tuple[int, tuple[WindowDimension, ...], tuple[int, ...]]:
    """What a reduction is of, its windows, and the result's dimensions with those of size 1."""
    operand, reduced = i.operands[0], i["dimensions"]
    of = main.instructions[operand].array.dims
    window = tuple(WindowDimension(size if d in reduced else 1) for d, size in enumerate(of))
    return operand, window, tuple(1 if d in reduced else size for d, size in enumerate(of))


def _is_all(main: Function, position: int, neutral: float) -> bool:
    i = main.instructions[position]
    if i.op != "constant":
        return False
    value = i["literal"].numpy().astype(np.float32)
    return bool(np.array_equal(value, np.float32(neutral)))


def _unpadded(
    main: Function, i: Instruction, neutral: float, reachable: Callable[[int], bool]
) -> tuple[int, tuple[WindowDimension, ...]]:
    """What windows are over, and they: padding with what changes nothing is a part of them."""
    (operand, _), window = i.operands, i["window"]
    pad = main.instructions[operand]
    if pad.op != "pad" or not reachable(operand) or not _is_all(main, pad.operands[1], neutral):
        return operand, window
    padding = pad["padding"]
    if any(padding[-1]) or any(low < 0 or high < 0 or gap for low, high, gap in padding):
        return operand, window
    sides = zip(window, padding, strict=True)
    return pad.operands[0], tuple(
        replace(w, pad_low=w.pad_low + low, pad_high=w.pad_high + high)
        for w, (low, high, _) in sides
    )


def _exact(main: Function, position: int) -> bool:
    """Whether an instruction is none that changes numbers: from short floats to f32."""
    i = main.instructions[position]
    return i.op != "convert" or (
        i.array.dtype == "f32" and main.instructions[i.operands[0]].array.dtype in ("bf16", "f16")
    )


def _columns(dims: tuple[int, ...]) -> int:
    """How many last dimensions make the columns: one, and those of size 1 after it."""
    return next((n for n in range(1, len(dims) + 1) if dims[-n] > 1), 0)


def _lie_together(of: View, kept: list[int]) -> bool:
    """Whether the elements of a row are neighbours."""
    return picked(of, kept) == [(prod(of.dims[d] for d in kept), 1)]


def _windowed(
    window: tuple[WindowDimension, ...], of: View, columns: int, dims: tuple[int, ...]
) -> tuple[list[Row], list[Tap]] | None:
    first = len(window) - columns
    plain = all(w.base_dilation == 1 for w in window) and all(map(_still, window[first:]))
    if not columns or not plain or not _lie_together(of, list(range(first, len(window)))):
        return None
    return _moved(window[:first], of, dims), list(_taps(window[:first], of))


def _still(w: WindowDimension) -> bool:
    """Whether the window is an element of the array for each of the result."""
    return (w.size, w.stride, w.pad_low, w.pad_high) == (1, 1, 0, 0)


def _moved(window: tuple[WindowDimension, ...], of: View, dims: tuple[int, ...]) -> list[Row]:
    return [Row(dims[d], of.strides[d] if _still(w) else 0) for d, w in enumerate(window)]


def _taps(window: tuple[WindowDimension, ...], of: View) -> Iterator[Tap]:
    for d, w in enumerate(window):
        if not _still(w):
            step, low = w.stride, w.pad_low
            yield Tap(w.size, of.strides[d], d, step, w.window_dilation, low, of.dims[d])
