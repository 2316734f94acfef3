"""Kernels of linear algebra, transforms and random numbers."""

from __future__ import annotations

import jax
from jax import lax

from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from runtime.kernels.kind import Kernel, Value

ALGORITHMS = {
    "rng_default": lax.RandomAlgorithm.RNG_DEFAULT,
    "rng_philox": lax.RandomAlgorithm.RNG_PHILOX,
    "rng_three_fry": lax.RandomAlgorithm.RNG_THREE_FRY,
}


def _fft(x: jax.Array, *, shape: Shape, fft_type: str, fft_length: tuple[int, ...]) -> jax.Array:
    return lax.fft(x, fft_type, fft_length)


def _cholesky(x: jax.Array, *, shape: Shape, lower: bool) -> jax.Array:
    if not lower:
        raise NotImplementedError("cholesky: the upper triangle is not built yet")
    return jax.numpy.tril(lax.linalg.cholesky(x, symmetrize_input=False))


def _triangular_solve(
    a: jax.Array,
    b: jax.Array,
    *,
    shape: Shape,
    left_side: bool,
    lower: bool,
    unit_diagonal: bool,
    transpose_a: str,
) -> jax.Array:
    return lax.linalg.triangular_solve(
        a,
        b,
        left_side=left_side,
        lower=lower,
        unit_diagonal=unit_diagonal,
        transpose_a=transpose_a != "NO_TRANSPOSE",
        conjugate_a=transpose_a == "ADJOINT",
    )


def _rng_bit_generator(key: jax.Array, *, shape: AnyShape, algorithm: str) -> Value:
    if not isinstance(shape, TupleShape) or not isinstance(shape.elements[1], Shape):
        raise TypeError(f"rng-bit-generator: makes a state and an array, got {shape}")
    bits = shape.elements[1]
    made = lax.rng_bit_generator(key, bits.dims, bits.numpy, ALGORITHMS[algorithm])
    return tuple(made)


KERNELS: dict[str, Kernel] = {
    "cholesky": _cholesky,
    "fft": _fft,
    "rng-bit-generator": _rng_bit_generator,
    "triangular-solve": _triangular_solve,
}
