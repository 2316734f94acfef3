"""Kernels that rename, repeat, cut and join: they compute nothing."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

from hlo_frontend.hlo.literal import AnyLiteral, Literal
from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.kind import Kernel, Value

Dims = tuple[int, ...]


def _broadcast(x: jax.Array, *, shape: Shape, dimensions: Dims) -> jax.Array:
    order = sorted(range(len(dimensions)), key=dimensions.__getitem__)  # JAX wants them in order
    return lax.broadcast_in_dim(lax.transpose(x, order), shape.dims, sorted(dimensions))


def _reshape(x: jax.Array, *, shape: Shape) -> jax.Array:
    return lax.reshape(x, shape.dims)


def _transpose(x: jax.Array, *, shape: Shape, dimensions: Dims) -> jax.Array:
    return lax.transpose(x, dimensions)


def _slice(x: jax.Array, *, shape: Shape, slice: tuple[Dims, ...]) -> jax.Array:
    starts, limits, strides = zip(*slice, strict=True) if slice else ((), (), ())
    return lax.slice(x, starts, limits, strides)


def _pad(
    x: jax.Array, fill: jax.Array, *, shape: Shape, padding: tuple[tuple[int, int, int], ...]
) -> jax.Array:
    return lax.pad(x, fill, padding)


def _concatenate(*xs: jax.Array, shape: Shape, dimensions: Dims) -> jax.Array:
    return lax.concatenate(xs, dimensions[0])


def _reverse(x: jax.Array, *, shape: Shape, dimensions: Dims) -> jax.Array:
    return lax.rev(x, dimensions)


def _iota(*, shape: Shape, iota_dimension: int) -> jax.Array:
    return lax.broadcasted_iota(shape.numpy, shape.dims, iota_dimension)


def _bitcast_convert(x: jax.Array, *, shape: Shape) -> jax.Array:
    return lax.bitcast_convert_type(x, shape.numpy)


def _constant(*, shape: AnyShape, literal: AnyLiteral) -> Value:
    if isinstance(literal, Literal):
        return jax.numpy.asarray(literal.numpy())
    return tuple(_constant(shape=e.shape, literal=e) for e in literal.elements)


def _tuple(*values: Value, shape: AnyShape) -> Value:
    return values


def _element(value: Value, *, shape: AnyShape, index: int) -> Value:
    return value[index]


def _same(value: Value, *, shape: AnyShape) -> Value:
    return value


def _token(*values: Value, shape: AnyShape) -> None:
    return None


def _add_dependency(value: Value, token: None, *, shape: AnyShape) -> Value:
    return value


def _barrier(value: Any, *, shape: AnyShape) -> Any:
    return lax.optimization_barrier(value)


KERNELS: dict[str, Kernel] = {
    "add-dependency": _add_dependency,
    "after-all": _token,
    "bitcast-convert": _bitcast_convert,
    "broadcast": _broadcast,
    "concatenate": _concatenate,
    "constant": _constant,
    "copy": _same,
    "get-tuple-element": _element,
    "iota": _iota,
    "opt-barrier": _barrier,
    "pad": _pad,
    "reshape": _reshape,
    "reverse": _reverse,
    "slice": _slice,
    "transpose": _transpose,
    "tuple": _tuple,
}
