"""Kernels that combine many elements into one, and normalizations made of them."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

from hlo_frontend.hlo.attributes import Window
from hlo_frontend.hlo.types import AnyShape, Shape
from runtime.kernels.kind import Body, Kernel, Value


def _combine(body: Body, count: int) -> Any:
    """The body as JAX's reducer: on single values, or on tuples where it reduces several."""
    if count == 1:
        return body
    return lambda carried, fresh: body(*carried, *fresh)


def _halves(operands: tuple[Value, ...]) -> tuple[Any, Any]:
    """Arrays and their initial values, as single values where there is one of each."""
    half = len(operands) // 2
    arrays, initial = operands[:half], operands[half:]
    return (arrays[0], initial[0]) if half == 1 else (arrays, initial)


def _reduce(
    *operands: jax.Array, shape: AnyShape, dimensions: tuple[int, ...], bodies: tuple[Body]
) -> Value:
    arrays, initial = _halves(operands)
    reduced = lax.reduce(arrays, initial, _combine(bodies[0], len(operands) // 2), dimensions)
    return reduced if len(operands) == 2 else tuple(reduced)


def _reduce_window(
    *operands: jax.Array, shape: AnyShape, window: Window, bodies: tuple[Body]
) -> Value:
    arrays, initial = _halves(operands)
    reduced = lax.reduce_window(
        arrays,
        initial,
        _combine(bodies[0], len(operands) // 2),
        window_dimensions=[w.size for w in window],
        window_strides=[w.stride for w in window],
        padding=[(w.pad_low, w.pad_high) for w in window],
        base_dilation=[w.base_dilation for w in window],
        window_dilation=[w.window_dilation for w in window],
    )
    return reduced if len(operands) == 2 else tuple(reduced)


def _spread(line: jax.Array, shape: Shape, dimension: int) -> jax.Array:
    return lax.broadcast_in_dim(line, shape.dims, (dimension,))


def _batch_norm_inference(
    x: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    *,
    shape: Shape,
    epsilon: float,
    feature_index: int,
) -> jax.Array:
    deviation = lax.rsqrt(variance + jax.numpy.asarray(epsilon, variance.dtype))
    factor = _spread(scale * deviation, shape, feature_index)
    centred = x - _spread(mean, shape, feature_index)
    return centred * factor + _spread(offset, shape, feature_index)


def _batch_norm_training(
    x: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    *,
    shape: AnyShape,
    epsilon: float,
    feature_index: int,
) -> Value:
    others = tuple(d for d in range(x.ndim) if d != feature_index)
    mean = jax.numpy.mean(x, others)
    variance = jax.numpy.mean(jax.numpy.square(x - jax.numpy.expand_dims(mean, others)), others)
    normal = _batch_norm_inference(
        x,
        scale,
        offset,
        mean,
        variance,
        shape=Shape("f32", x.shape),
        epsilon=epsilon,
        feature_index=feature_index,
    )
    return normal, mean, variance


KERNELS: dict[str, Kernel] = {
    "batch-norm-inference": _batch_norm_inference,
    "batch-norm-training": _batch_norm_training,
    "reduce": _reduce,
    "reduce-window": _reduce_window,
}
