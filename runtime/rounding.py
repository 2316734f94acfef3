"""How a result becomes a short float: computed in f32, rounded once, to nearest or by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hlo_frontend.hlo.types import SHORT_FLOATS, Shape
from neff.program import Instruction
from runtime.kernels.kind import Kernel, Value
from runtime.settings import setting


@dataclass(frozen=True, slots=True)
class Rounding:
    """To nearest even, or, with a `seed`, up with the probability of what is cut off."""

    seed: int | None = None


NEAREST = Rounding()
# Ops whose result, in the type of their operands, is in general no value of that type. All others
# either pick among the operands or call a function, whose own instructions round.
ROUNDED = frozenset(
    """
    acos acosh add asin asinh atan2 atanh cbrt convolution cosh cosine divide dot erf exponential
    exponential-minus-one log log-plus-one logistic multiply power remainder rsqrt sine sinh sqrt
    subtract tan tanh
    """.split()  # noqa: SIM905 - a table
)
# Ops whose bodies run as the program does; those of others combine elements, always to nearest.
CONTROL = frozenset({"call", "conditional", "while"})


def rounding_in_force() -> Rounding:
    """What the environment asks of a model that is loaded now."""
    if setting("NEURON_RT_STOCHASTIC_ROUNDING_EN") == "0":
        return NEAREST
    seed = setting("NEURON_RT_STOCHASTIC_ROUNDING_SEED")
    if not seed.isdecimal():
        raise ValueError(f"NEURON_RT_STOCHASTIC_ROUNDING_SEED: must be a number, got {seed!r}")
    return Rounding(int(seed))


def compute(
    kernels: Mapping[str, Kernel],
    i: Instruction,
    operands: Sequence[Value],
    keywords: Mapping[str, Any],
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
            return _rounded(kernels, made, shape, rounding)
    elif isinstance(shape, Shape) and i.op in ("dot", "convolution"):
        operands = tuple(map(_widened, operands)) if shape.dtype == "f32" else operands
    return kernel(*operands, shape=shape, **keywords)


_SHORT = frozenset(Shape(name).numpy for name in SHORT_FLOATS)


def _widened(value: Value) -> Value:
    return value.astype(jnp.float32) if value.dtype in _SHORT else value


def _rounded(
    kernels: Mapping[str, Kernel], value: Value, shape: Shape, rounding: Rounding
) -> Value:
    if rounding.seed is None:
        return value.astype(shape.numpy)
    low, high = jnp.uint32(0), jnp.uint32(0xFFFFFFFF)
    drawn = kernels["rng"](low, high, shape=Shape("u32", shape.dims), distribution="rng_uniform")
    spread = jnp.uint32(rounding.seed * 0x9E3779B1 & 0xFFFFFFFF)  # the odd number spreads the seed
    return kernels["stochastic-convert"](value, drawn ^ spread, shape=shape)
