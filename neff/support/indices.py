"""Indices of gather and scatter that are known when compiling and lie outside the operand."""

from __future__ import annotations

import numpy as np

from hlo_frontend.hlo.module import HloComputation
from hlo_frontend.hlo.types import Shape
from neff.fold import fold
from neff.program import Instruction
from neff.support.site import Site

ELEMENTS = 1 << 20  # the largest index array that is looked at
STEPS = 64  # the longest computation of indices that is followed


def gather_out_of_bounds(s: Site) -> str | None:
    """Why a gather reads outside its operand, where an iota says so."""
    numbers = s.instruction["gather_dimension_numbers"]
    return _outside(s, 1, numbers.start_index_map, numbers.index_vector_dim)


def scatter_out_of_bounds(s: Site) -> str | None:
    """Why a scatter writes outside its operand, where an iota says so."""
    numbers = s.instruction["scatter_dimension_numbers"]
    indices = len(s.instruction.operands) // 2
    return _outside(s, indices, numbers.scatter_dims_to_operand_dims, numbers.index_vector_dim)


def _outside(s: Site, operand: int, dims: tuple[int, ...], vector: int) -> str | None:
    values = _known(s.computation, s.instruction.operands[operand])
    if values is None or not values.size or values.dtype.kind not in "iu":
        return None
    if vector == values.ndim:
        values = values[..., np.newaxis]
    for number, dim in enumerate(dims):
        size = s.array(0).dims[dim]
        line = np.take(values, number, axis=vector)
        low, high = int(line.min()), int(line.max())
        if low < 0 or high >= size:
            return (
                f"iota makes indices from {low} to {high}, dimension {dim} of the operand "
                f"holds {size}"
            )
    return None


def _known(computation: HloComputation, position: int) -> np.ndarray | None:
    """The value of an instruction computed from iotas, None where it is not known or not theirs."""
    order = _computation_of(computation, position)
    values: dict[int, np.ndarray] = {}
    for p in order:
        i = computation.instructions[p]
        value: np.ndarray | None
        if i.opcode == "constant":
            value = i["literal"].numpy()
        else:
            made = Instruction(i.opcode, i.shape, i.operands, i.attrs)
            value = fold(made, [values[o] for o in i.operands])
        if value is None:
            return None
        values[p] = value
    return values.get(position)


def _computation_of(computation: HloComputation, position: int) -> list[int]:
    """The instructions that make a value, in order; none if it is long or holds no iota."""
    waiting, seen = [position], set[int]()
    counts = False
    while waiting:
        p = waiting.pop()
        i = computation.instructions[p]
        if p in seen:
            continue
        if not isinstance(i.shape, Shape) or i.shape.size > ELEMENTS or len(seen) == STEPS:
            return []
        if not i.operands and i.opcode not in ("constant", "iota"):
            return []
        counts |= i.opcode == "iota" or (i.opcode == "constant" and _is_range(i["literal"].numpy()))
        seen.add(p)
        waiting += i.operands
    return sorted(seen) if counts else []


def _is_range(values: np.ndarray) -> bool:
    """Whether a constant is 0, 1, 2, …, which is how torch_xla writes an iota of PyTorch's."""
    flat = values.reshape(-1)
    return (
        flat.size > 1 and values.dtype.kind in "iu" and np.array_equal(flat, np.arange(flat.size))
    )
