"""Collectives, as one replica sees them: it exchanges data with nobody."""

from __future__ import annotations

from typing import Any

import jax

from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from runtime.kernels.kind import Body, Kernel, UnsupportedFormError, Value

Groups = tuple[tuple[int, ...], ...]


def _alone(op: str, groups: Groups) -> None:
    """A group of several participants needs several NeuronCores to run one program together."""
    if any(len(group) > 1 for group in groups):
        raise UnsupportedFormError(
            f"runtime: {op} must have one participant, the one replica a model runs on, "
            f"got replica_groups={list(map(list, groups))}"
        )


def _results(operands: tuple[jax.Array, ...], shape: AnyShape) -> Value:
    return operands if isinstance(shape, TupleShape) else operands[0]


def _kept(op: str) -> Kernel:
    """One participant gathers, sums, scatters and exchanges nothing but its own data."""

    def kernel(
        *operands: jax.Array,
        shape: AnyShape,
        replica_groups: Groups,
        bodies: tuple[Body, ...] = (),
        **_: Any,
    ) -> Value:
        _alone(op, replica_groups)
        results = shape.elements if isinstance(shape, TupleShape) else (shape,)
        for operand, result in zip(operands, results, strict=True):
            if not isinstance(result, Shape) or operand.shape != result.dims:
                raise UnsupportedFormError(
                    f"runtime: {op} must keep the sizes of its operand, which is what one "
                    f"participant does, got {list(operand.shape)} and {result}"
                )
        return _results(operands, shape)

    return kernel


def _broadcast(*operands: jax.Array, shape: AnyShape, replica_groups: Groups, **_: Any) -> Value:
    """The data of the first replica of a group; zeros for a replica that is in none."""
    _alone("collective-broadcast", replica_groups)
    if replica_groups and (0,) not in replica_groups:
        operands = tuple(jax.numpy.zeros_like(x) for x in operands)
    return _results(operands, shape)


def _permute(*operands: jax.Array, shape: AnyShape, source_target_pairs: Groups, **_: Any) -> Value:
    """What replica 0 sends itself; zeros if nobody sends to it."""
    if any(0 in pair and pair != (0, 0) for pair in source_target_pairs):
        raise UnsupportedFormError(
            "runtime: collective-permute must not exchange data with replica 0, the only one a "
            f"model runs on, got source_target_pairs={list(map(list, source_target_pairs))}"
        )
    if (0, 0) not in source_target_pairs:
        operands = tuple(jax.numpy.zeros_like(x) for x in operands)
    return _results(operands, shape)


def _number(*, shape: Shape) -> jax.Array:
    return jax.numpy.zeros(shape.dims, shape.numpy)


KERNELS: dict[str, Kernel] = {
    **{op: _kept(op) for op in ("all-gather", "all-reduce", "all-to-all", "reduce-scatter")},
    "collective-broadcast": _broadcast,
    "collective-permute": _permute,
    "partition-id": _number,
    "replica-id": _number,
}
