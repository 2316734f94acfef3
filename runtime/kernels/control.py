"""Kernels that call functions: loops and branches."""

from __future__ import annotations

import jax
from jax import lax

from hlo_frontend.hlo.types import AnyShape
from runtime.kernels.kind import Body, Kernel, Value


def _while(start: Value, *, shape: AnyShape, bodies: tuple[Body, Body]) -> Value:
    body, condition = bodies  # the order of HLO's called computations
    return lax.while_loop(condition, body, start)


def _conditional(
    chosen: jax.Array, *operands: Value, shape: AnyShape, bodies: tuple[Body, ...]
) -> Value:
    """By predicate (true branch first) or by index (out of range takes the last branch)."""
    if chosen.dtype == bool:
        index = jax.numpy.where(chosen, 0, 1)
    else:
        last = len(bodies) - 1
        index = jax.numpy.where((chosen < 0) | (chosen > last), last, chosen)
    branches = [lambda all, n=n, b=b: b(all[n]) for n, b in enumerate(bodies)]
    return lax.switch(index, branches, operands)


KERNELS: dict[str, Kernel] = {"conditional": _conditional, "while": _while}
