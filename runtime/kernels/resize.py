"""The custom calls that resize images, as torch_xla and TensorFlow write them.

An image is [batch, height, width, channels]. The configuration is two digits, in quotes or not:
whether corners are aligned, and whether pixels are sampled at their centers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hlo_frontend.hlo.types import Shape
from runtime.kernels.kind import UnsupportedFormError


def _flags(target: str, config: str) -> tuple[bool, bool]:
    digits = config.strip('"')
    if digits not in ("00", "01", "10"):
        raise UnsupportedFormError(
            f"runtime: custom call {target}: backend_config must be 00, 01 (half-pixel centers) "
            f"or 10 (aligned corners), got {config!r}"
        )
    return digits[0] == "1", digits[1] == "1"


def _sources(size: int, target: int, aligned: bool, centers: bool) -> jax.Array:
    """Where each of `target` pixels comes from, in pixels of a line of `size`."""
    line = jnp.arange(target, dtype=jnp.float32)
    if aligned:
        return line * jnp.float32((size - 1) / max(target - 1, 1))
    scale = jnp.float32(size / target)
    return (line + 0.5) * scale - 0.5 if centers else line * scale


def _nearest(x: jax.Array, dims: tuple[int, ...], aligned: bool, centers: bool) -> jax.Array:
    for axis in (1, 2):
        at = _sources(x.shape[axis], dims[axis], aligned, centers)
        at = jnp.floor(at + 0.5) if aligned or centers else jnp.floor(at)
        index = jnp.clip(at.astype(jnp.int32), 0, x.shape[axis] - 1)
        x = jnp.take(x, index, axis, mode="clip")
    return x


def _bilinear(x: jax.Array, dims: tuple[int, ...], aligned: bool, centers: bool) -> jax.Array:
    for axis in (1, 2):
        last = x.shape[axis] - 1
        at = jnp.clip(_sources(x.shape[axis], dims[axis], aligned, centers), 0, last)
        low = jnp.floor(at)
        weight = (at - low).reshape([-1 if d == axis else 1 for d in range(x.ndim)])
        below, above = (
            jnp.take(x, jnp.minimum(low + step, last).astype(jnp.int32), axis, mode="clip")
            for step in (0, 1)
        )
        x = below + (above - below) * weight.astype(x.dtype)
    return x


def _resize(target: str, function: Callable[..., jax.Array], forward: bool = True) -> Any:
    def kernel(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
        flags = _flags(target, config)
        if len(operands) != 1 or operands[0].ndim != 4 or len(shape.dims) != 4:
            raise UnsupportedFormError(
                f"runtime: custom call {target}: there must be one image of 4 dimensions, "
                f"got {[list(x.shape) for x in operands]}"
            )
        (x,) = operands
        if forward:
            return function(x, shape.dims, *flags).astype(shape.numpy)
        image = jnp.zeros(shape.dims, x.dtype)
        made: jax.Array = jax.vjp(lambda v: function(v, x.shape, *flags), image)[1](x)[0]
        return made.astype(shape.numpy)

    return kernel


RESIZES: dict[str, Callable[..., jax.Array]] = {
    "ResizeBilinear": _resize("ResizeBilinear", _bilinear),
    "ResizeNearest": _resize("ResizeNearest", _nearest),
    "ResizeNearestGrad": _resize("ResizeNearestGrad", _nearest, forward=False),
}
