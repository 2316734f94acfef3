"""How a result becomes a short float: computed in f32, rounded once, to nearest or by chance."""

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
from runtime.settings import setting


class Rounding:
    """To nearest even, or, with a `seed`, up with the probability of what is cut off.

    Each run of a function of the program draws numbers of its own: they depend on the seed, on how
    often the function has run since the model was loaded, and on the instruction.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._run: Value = None  # the number of the run, a value of the program being traced

    def entered(self) -> Rounding:
        """The rounding of one run of a function."""
        return self if self.seed is None else Rounding(self.seed)

    def bits(self, dims: tuple[int, ...], position: int, kernels: Mapping[str, Kernel]) -> Value:
        """Random u32 numbers for the instruction at a position."""
        if self._run is None:
            runs = itertools.count()
            shape = jax.ShapeDtypeStruct((), np.uint32)
            self._run = io_callback(lambda: np.uint32(next(runs)), shape)
        seed = (self.seed or 0) * SPREAD + position
        key = self._run.astype(jnp.uint64) << 32 | jnp.uint64(seed * SPREAD & 0xFFFFFFFF)
        state, drawn = Shape("u64", (2,)), Shape("u32", dims)
        _, made = kernels["rng-bit-generator"](
            jnp.stack([key, jnp.uint64(0)]),
            shape=TupleShape((state, drawn)),
            algorithm="rng_three_fry",
        )
        return made


SPREAD = 0x9E3779B1  # an odd number near 2^32 divided by the golden ratio
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
            drawn = rounding.bits(shape.dims, position, kernels)
            return kernels["stochastic-convert"](made, drawn, shape=shape)
    elif isinstance(shape, Shape) and i.op in ("dot", "convolution"):
        operands = tuple(map(_widened, operands)) if shape.dtype == "f32" else operands
    return kernel(*operands, shape=shape, **keywords)


_SHORT = frozenset(Shape(name).numpy for name in SHORT_FLOATS)


def _widened(value: Value) -> Value:
    return value.astype(jnp.float32) if value.dtype in _SHORT else value
