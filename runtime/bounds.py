"""Whether gathers and scatters stay inside their operands: the hardware tells, XLA hides it.

XLA moves a gather's slice inward and drops a scatter's; on a NeuronCore both are run-time errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from hlo_frontend.hlo.attributes import GatherDimensionNumbers, ScatterDimensionNumbers
from neff.program import Instruction


class Bounds:
    """Collects, while a program's entry function is traced, one flag for each indexed access.

    Accesses inside the bodies of loops and branches are not seen.
    """

    def __init__(self) -> None:
        self._flags: list[jax.Array] = []

    def __call__(self, i: Instruction, operands: Sequence[jax.Array]) -> None:
        if i.op == "gather":
            gather: GatherDimensionNumbers = i["gather_dimension_numbers"]
            mapped, axis = gather.start_index_map, gather.index_vector_dim
            room = _room(operands[0], mapped, i["slice_sizes"])
            self._flags.append(_outside(operands[1], axis, room))
        elif i.op == "scatter":
            scatter: ScatterDimensionNumbers = i["scatter_dimension_numbers"]
            count = len(operands) // 2
            sizes = _window(scatter, operands[0].ndim, operands[-1].shape)
            room = _room(operands[0], scatter.scatter_dims_to_operand_dims, sizes)
            self._flags.append(_outside(operands[count], scatter.index_vector_dim, room))

    @property
    def exceeded(self) -> jax.Array | None:
        """Whether any access left its operand; None where the program has none."""
        return jnp.stack(self._flags).any() if self._flags else None


def _window(n: ScatterDimensionNumbers, rank: int, updates: Sequence[int]) -> list[int]:
    """The size of a scatter's window along each dimension of its operand."""
    single = {*n.inserted_window_dims, *n.input_batching_dims}
    window = iter(updates[d] for d in n.update_window_dims)
    return [1 if d in single else next(window) for d in range(rank)]


def _room(operand: jax.Array, mapped: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """The largest start index along each dimension that the index vectors address."""
    return [operand.shape[d] - sizes[d] for d in mapped]


def _outside(indices: jax.Array, axis: int, room: Sequence[int]) -> jax.Array:
    """Whether any index vector, along `axis`, is negative or beyond `room`."""
    vectors = indices[..., None] if axis == indices.ndim else jnp.moveaxis(indices, axis, -1)
    largest = jnp.array(room, jnp.int64)
    wide = vectors.astype(jnp.int64)  # u64 beyond s64 turns negative: outside as well
    return ((wide < 0) | (wide > largest)).any()
