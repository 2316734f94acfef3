"""Kernels of random numbers, and of rounding by them."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.experimental import io_callback

from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.emit import emit
from runtime.kernels.kind import Kernel, Value

_INTEGERS = frozenset({"pred", "signed", "unsigned"})
# What the state of a loaded program starts at; XLA's own number.
STATE_START = 0x7012395


def _rng_bit_generator(key: jax.Array, *, shape: AnyShape, algorithm: str) -> Value:
    name = algorithm.removeprefix("rng_").upper()
    attribute = f"#stablehlo<rng_algorithm {name}>"
    return emit("stablehlo.rng_bit_generator", (key,), shape, rng_algorithm=attribute)


def _rng(a: jax.Array, b: jax.Array, *, shape: Shape, distribution: str) -> Value:
    """Uniform from a to b, or normal of mean a and deviation b.

    The executable holds the state, which XLA seeds when the model is loaded.
    """
    name = distribution.removeprefix("rng_").upper()
    sizes = jnp.asarray(np.array(shape.dims, np.int64))
    attribute = f"#stablehlo<rng_distribution {name}>"
    if shape.element.kind in _INTEGERS and shape.element.bits < 32:
        # XLA ends the process over these.
        a, b, drawn = a.astype(jnp.int32), b.astype(jnp.int32), Shape("s32", shape.dims)
        made = emit("stablehlo.rng", (a, b, sizes), drawn, rng_distribution=attribute)
        return made.astype(shape.numpy)
    return emit("stablehlo.rng", (a, b, sizes), shape, rng_distribution=attribute)


def _rng_state(*, shape: Shape, delta: int) -> jax.Array:
    """The state as it was; it grows by `delta` with each execution."""
    states = itertools.count(STATE_START, delta)

    def step() -> np.ndarray:
        """In words of 32 bits: a thread that calls back may not be allowed others."""
        state = next(states) % (1 << 128)
        return np.frombuffer(state.to_bytes(16, "little"), np.uint32).reshape(2, 2)

    words = io_callback(step, jax.ShapeDtypeStruct((2, 2), np.uint32))
    made: jax.Array = jax.lax.bitcast_convert_type(words, shape.numpy)
    return made


def _stochastic_convert(x: jax.Array, random: jax.Array, *, shape: Shape) -> jax.Array:
    """Rounded up with the probability of what is cut off: where the random number is below it."""
    if shape.element.kind == "float":
        return _round_float(x, random, shape)
    return _round_integer(x, random, shape)


def _round_integer(x: jax.Array, random: jax.Array, shape: Shape) -> jax.Array:
    """Magnitudes are rounded, so that values of either sign are treated alike; it saturates."""
    limits = ml_dtypes.iinfo(shape.numpy)
    wide = x.astype(jnp.float64)
    size = jnp.floor(jnp.abs(wide))
    cut = (jnp.abs(wide) - size) * 2.0 ** (8 * random.dtype.itemsize)
    up = random < cut.astype(random.dtype)
    rounded = jnp.where(wide < 0, -1.0, 1.0) * (size + up)
    inside = (wide > float(limits.min)) & (wide < float(limits.max))
    saturated = jnp.where(jnp.isnan(wide), 0.0, wide)
    return jax.lax.convert_element_type(jnp.where(inside, rounded, saturated), shape.numpy)


def _round_float(x: jax.Array, random: jax.Array, shape: Shape) -> jax.Array:
    """Random bits are added below the last bit kept, and what is below it is cut off.

    Results that the target holds as subnormal numbers are rounded to nearest, like infinities.
    """
    target, source = ml_dtypes.finfo(shape.numpy), ml_dtypes.finfo(x.dtype)
    dropped = int(source.nmant) - int(target.nmant)
    if dropped <= 0:
        return x.astype(shape.numpy)
    bits: Any = jax.lax.bitcast_convert_type(x, random.dtype)
    mask = jnp.asarray((1 << dropped) - 1, random.dtype)
    high = random >> jnp.asarray(8 * random.dtype.itemsize - dropped, random.dtype)
    cut = jax.lax.bitcast_convert_type((bits + high) & ~mask, x.dtype)
    normal = (jnp.abs(x) >= float(target.smallest_normal)) & jnp.isfinite(x)
    return jnp.where(normal, cut, x).astype(shape.numpy)


KERNELS: dict[str, Kernel] = {
    "rng": _rng,
    "rng-bit-generator": _rng_bit_generator,
    "rng-get-and-update-state": _rng_state,
    "stochastic-convert": _stochastic_convert,
}
