"""An instruction's value: short floats are computed in f32 and rounded once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from hlo_frontend.hlo.types import SHORT_FLOATS, Shape, TupleShape
from neff.program import Instruction
from runtime.kernels.kind import Kernel, Value
from runtime.rounding import ROUNDED, Rounding

SPREAD = 0x9E3779B1  # an odd number near 2^32 divided by the golden ratio


def compute(
    kernels: Mapping[str, Kernel],
    i: Instruction,
    operands: Sequence[Value],
    keywords: Mapping[str, Any],
    position: int,
    rounding: Rounding,
) -> Value:
    """The value of an instruction, short floats by way of f32: TensorE sums, others compute there.

    Source: NKI architecture guides (PSUM accumulates in FP32; engines compute in FP32 and cast on
    read and write).
    """
    kernel, shape = kernels[i.op], i.shape
    if isinstance(shape, Shape) and shape.dtype in SHORT_FLOATS:
        by_chance = i.op == "convert" and rounding.seed is not None
        if by_chance and operands[0].dtype in (jnp.float64, shape.numpy):
            by_chance = False  # twice rounded would be wrong, and an equal type is no rounding
        if by_chance or i.op in ROUNDED:
            wide = Shape("f32", shape.dims)
            made = kernel(*map(_widened, operands), shape=wide, **keywords)
            if rounding.seed is None:
                return made.astype(shape.numpy)
            drawn = _bits(rounding, shape.dims, position, kernels)
            return kernels["stochastic-convert"](made, drawn, shape=shape)
    elif isinstance(shape, Shape) and i.op in ("dot", "convolution"):
        operands = tuple(map(_widened, operands)) if shape.dtype == "f32" else operands
    return kernel(*operands, shape=shape, **keywords)


_SHORT = frozenset(Shape(name).numpy for name in SHORT_FLOATS)


def _widened(value: Value) -> Value:
    return value.astype(jnp.float32) if value.dtype in _SHORT else value


def _bits(
    rounding: Rounding, dims: tuple[int, ...], position: int, kernels: Mapping[str, Kernel]
) -> Value:
    """Random u32 numbers for the instruction at a position."""
    if rounding.run is None:
        runs = itertools.count()
        shape = jax.ShapeDtypeStruct((), np.uint32)
        rounding.run = io_callback(lambda: np.uint32(next(runs)), shape)
    seed = (rounding.seed or 0) * SPREAD + position
    key = rounding.run.astype(jnp.uint64) << 32 | jnp.uint64(seed * SPREAD & 0xFFFFFFFF)
    state, drawn = Shape("u64", (2,)), Shape("u32", dims)
    _, made = kernels["rng-bit-generator"](
        jnp.stack([key, jnp.uint64(0)]),
        shape=TupleShape((state, drawn)),
        algorithm="rng_three_fry",
    )
    return made
