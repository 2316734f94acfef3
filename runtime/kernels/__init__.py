"""What each op computes, in JAX: one table from op to kernel.

A kernel takes the operands, then by keyword the result's `shape`, the attributes, and `bodies`
where the instruction calls functions. It is traced once, when a model is loaded.
"""

from __future__ import annotations

from runtime.kernels import (
    contraction,
    control,
    elementwise,
    indexing,
    movement,
    reduction,
    regions,
    special,
)
from runtime.kernels.kind import Kernel

KERNELS: dict[str, Kernel] = {
    **contraction.KERNELS,
    **control.KERNELS,
    **elementwise.KERNELS,
    **indexing.KERNELS,
    **movement.KERNELS,
    **reduction.KERNELS,
    **regions.KERNELS,
    **special.KERNELS,
}
