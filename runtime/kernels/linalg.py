"""Kernels of linear algebra and Fourier transforms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from hlo_frontend.hlo.types import Shape
from runtime.kernels.kind import Kernel

# The libraries behind these compute in 32 bits at least.
_WIDENED = {"float16": "float32", "bfloat16": "float32"}


def widened(x: jax.Array) -> jax.Array:
    """The operand in a type that the libraries take."""
    return x.astype(_WIDENED.get(x.dtype.name, x.dtype.name))


def _fft(x: jax.Array, *, shape: Shape, fft_type: str, fft_length: tuple[int, ...]) -> jax.Array:
    return lax.fft(x, fft_type, fft_length)


def _cholesky(x: jax.Array, *, shape: Shape, lower: bool) -> jax.Array:
    """The factor in the triangle asked for, which is also the one read; zeros in the other."""
    matrix = widened(x) if lower else adjoint(widened(x))
    factor = jnp.tril(lax.linalg.cholesky(matrix, symmetrize_input=False))
    return (factor if lower else adjoint(factor)).astype(x.dtype)


def adjoint(x: jax.Array) -> jax.Array:
    """Matrices, in the last two dimensions, conjugated and transposed."""
    return jnp.conj(jnp.swapaxes(x, -1, -2))


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
    solved = lax.linalg.triangular_solve(
        widened(a),
        widened(b),
        left_side=left_side,
        lower=lower,
        unit_diagonal=unit_diagonal,
        transpose_a=transpose_a != "NO_TRANSPOSE",
        conjugate_a=transpose_a == "ADJOINT",
    )
    return solved.astype(b.dtype)


KERNELS: dict[str, Kernel] = {
    "cholesky": _cholesky,
    "fft": _fft,
    "triangular-solve": _triangular_solve,
}
