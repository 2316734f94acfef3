"""Kernels that rename, repeat, cut and join: they compute nothing."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

from hlo_frontend.hlo.literal import AnyLiteral, Literal
from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.emit import emit, integer, ints
from runtime.kernels.kind import Kernel, Value

Dims = tuple[int, ...]


def _broadcast(x: jax.Array, *, shape: Shape, dimensions: Dims) -> Value:
    return emit("stablehlo.broadcast_in_dim", (x,), shape, broadcast_dimensions=ints(dimensions))


def _reshape(x: jax.Array, *, shape: Shape) -> Value:
    return emit("stablehlo.reshape", (x,), shape)


def _transpose(x: jax.Array, *, shape: Shape, dimensions: Dims) -> Value:
    return emit("stablehlo.transpose", (x,), shape, permutation=ints(dimensions))


def _slice(x: jax.Array, *, shape: Shape, slice: tuple[Dims, ...]) -> Value:
    starts, limits, strides = zip(*slice, strict=True) if slice else ((), (), ())
    return emit(
        "stablehlo.slice",
        (x,),
        shape,
        start_indices=ints(starts),
        limit_indices=ints(limits),
        strides=ints(strides),
    )


def _pad(x: jax.Array, fill: jax.Array, *, shape: Shape, padding: tuple[Dims, ...]) -> Value:
    low, high, interior = zip(*padding, strict=True) if padding else ((), (), ())
    return emit(
        "stablehlo.pad",
        (x, fill),
        shape,
        edge_padding_low=ints(low),
        edge_padding_high=ints(high),
        interior_padding=ints(interior),
    )


def _concatenate(*xs: jax.Array, shape: Shape, dimensions: Dims) -> Value:
    return emit("stablehlo.concatenate", xs, shape, dimension=integer(dimensions[0]))


def _reverse(x: jax.Array, *, shape: Shape, dimensions: Dims) -> Value:
    return emit("stablehlo.reverse", (x,), shape, dimensions=ints(dimensions))


def _iota(*, shape: Shape, iota_dimension: int) -> Value:
    return emit("stablehlo.iota", (), shape, iota_dimension=integer(iota_dimension))


def _bitcast_convert(x: jax.Array, *, shape: Shape) -> Value:
    return emit("stablehlo.bitcast_convert", (x,), shape, packed=True)


def _constant(*, shape: AnyShape, literal: AnyLiteral) -> Value:
    if isinstance(literal, Literal):
        return jax.numpy.asarray(literal.numpy())
    return tuple(_constant(shape=e.shape, literal=e) for e in literal.elements)


def _dimension_size(x: jax.Array, *, shape: Shape, dimensions: Dims) -> jax.Array:
    return jax.numpy.asarray(x.shape[dimensions[0]], shape.numpy)


def _tuple(*values: Value, shape: AnyShape) -> Value:
    return values


def _element(value: Value, *, shape: AnyShape, index: int) -> Value:
    return value[index]


def _same(value: Value, *, shape: AnyShape) -> Value:
    return value


def _domain(value: Value, *, shape: AnyShape, domain: tuple[bytes, bytes]) -> Value:
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
    "domain": _domain,
    "get-dimension-size": _dimension_size,
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
