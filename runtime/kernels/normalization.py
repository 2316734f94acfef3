"""Kernels of batch normalization."""

from __future__ import annotations

import jax

from hlo_frontend.hlo.types import AnyShape
from runtime.kernels.emit import emit, integer
from runtime.kernels.kind import Kernel, Value


def _batch_norm(name: str) -> Kernel:
    def kernel(*operands: jax.Array, shape: AnyShape, epsilon: float, feature_index: int) -> Value:
        return emit(
            f"stablehlo.{name}",
            operands,
            shape,
            epsilon=f"{epsilon:.9e} : f32",
            feature_index=integer(feature_index),
        )

    return kernel


_NAMES = ("batch-norm-grad", "batch-norm-inference", "batch-norm-training")
KERNELS: dict[str, Kernel] = {op: _batch_norm(op.replace("-", "_")) for op in _NAMES}
