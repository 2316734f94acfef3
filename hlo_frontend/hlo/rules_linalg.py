"""Shape rules of batch normalization, Fourier transforms and factorizations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hlo_frontend.hlo.rules_check import array, dimension, fail, same_type
from hlo_frontend.hlo.types import AnyShape, Shape, Signature, TupleShape

Operands = tuple[AnyShape, ...]
Attrs = Mapping[str, Any]
Called = tuple[Signature, ...]
_FLOAT = frozenset({"float"})
_FLOAT_OR_COMPLEX = frozenset({"float", "complex"})


def _features(operands: Operands, attrs: Attrs) -> tuple[Shape, Shape]:
    """Shapes of the normalized array and of a value per feature, which other operands must have."""
    operand = array(operands[0], _FLOAT)
    feature = dimension(attrs["feature_index"], operand.rank, "feature_index")
    per_feature = Shape(operand.dtype, (operand.dims[feature],))
    return Shape(operand.dtype, operand.dims), per_feature


def _expect(operands: Operands, shape: Shape, what: str) -> None:
    if any(o != shape for o in operands):
        fail(f"{what} must be {shape}", *operands)


def batch_norm_training(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The normalized array, the batch's mean, its variance; operands: array, scale, offset."""
    operand, per_feature = _features(operands, attrs)
    _expect(operands[1:], per_feature, "scale and offset")
    return TupleShape((operand, per_feature, per_feature))


def batch_norm_inference(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The normalized array; operands: array, scale, offset, mean, variance."""
    operand, per_feature = _features(operands, attrs)
    _expect(operands[1:], per_feature, "scale, offset, mean and variance")
    return operand


def batch_norm_grad(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """Gradients of array, scale and offset; operands: array, scale, mean, variance, gradient."""
    operand, per_feature = _features(operands, attrs)
    _expect(operands[1:4], per_feature, "scale, mean and variance")
    _expect(operands[4:], operand, "gradient")
    return TupleShape((operand, per_feature, per_feature))


# Per transform: what it takes, whether its input's and its output's last size are halved.
_FFT = {
    "FFT": ("complex", False, False),
    "IFFT": ("complex", False, False),
    "RFFT": ("float", False, True),
    "IRFFT": ("complex", True, False),
}
_OTHER = {"c64": "f32", "c128": "f64", "f32": "c64", "f64": "c128"}


def fft(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """A transform over the last dimensions; `fft_length` are their sizes on its real side."""
    kind, halved_in, halved_out = _FFT[attrs["fft_type"]]
    operand, lengths = array(operands[0], frozenset({kind})), attrs["fft_length"]
    if operand.dtype not in _OTHER:
        fail("element type must be f32, f64, c64 or c128", operand)
    if not 1 <= len(lengths) <= min(3, operand.rank):
        fail(f"fft_length must hold 1 to {min(3, operand.rank)} sizes", list(lengths))
    half = (*lengths[:-1], lengths[-1] // 2 + 1)
    expected = half if halved_in else lengths
    if operand.dims[-len(lengths) :] != expected:
        fail(f"last sizes of the operand must be {list(expected)}", operand)
    dtype = operand.dtype if halved_in == halved_out else _OTHER[operand.dtype]
    return Shape(dtype, operand.dims[: -len(lengths)] + (half if halved_out else lengths))


def _square(shape: AnyShape) -> Shape:
    matrix = array(shape, _FLOAT_OR_COMPLEX)
    if matrix.rank < 2 or matrix.dims[-1] != matrix.dims[-2]:
        fail("operand must be square in its last two dimensions", matrix)
    return matrix


def cholesky(operands: Operands, attrs: Attrs, declared: AnyShape, called: Called) -> AnyShape:
    """The operand's shape."""
    matrix = _square(operands[0])
    return Shape(matrix.dtype, matrix.dims)


def triangular_solve(
    operands: Operands, attrs: Attrs, declared: AnyShape, called: Called
) -> AnyShape:
    """The second operand's shape: the system is a X = b, or X a = b if not `left_side`."""
    matrix, right = _square(operands[0]), array(operands[1], _FLOAT_OR_COMPLEX)
    same_type((matrix, right))
    shared = -2 if attrs["left_side"] else -1
    if right.rank != matrix.rank or right.dims[:-2] != matrix.dims[:-2]:
        fail("both operands must have the same batch sizes", matrix, right)
    if right.dims[shared] != matrix.dims[-1]:
        fail(f"dimension {shared} of the second operand must be {matrix.dims[-1]}", right)
    return Shape(right.dtype, right.dims)
