"""What each op computes, in JAX: one table from op to kernel.

A kernel takes the operands, then by keyword the result's `shape`, the attributes, and `bodies`
where the instruction calls functions. It is traced once, when a model is loaded.
"""

from __future__ import annotations

from runtime.kernels import (
    collective,
    contraction,
    control,
    custom_call,
    elementwise,
    indexing,
    linalg,
    movement,
    normalization,
    random,
    regions,
)
from runtime.kernels.kind import Kernel

KERNELS: dict[str, Kernel] = {
    **collective.KERNELS,
    **contraction.KERNELS,
    **control.KERNELS,
    **custom_call.KERNELS,
    **elementwise.KERNELS,
    **indexing.KERNELS,
    **linalg.KERNELS,
    **movement.KERNELS,
    **normalization.KERNELS,
    **random.KERNELS,
    **regions.KERNELS,
}
