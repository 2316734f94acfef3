"""Max pooling as programs call it, for torch_xla ends the process over dilation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from hlo_frontend.capture.lifting import apply
from hlo_frontend.capture.session import Session


def pool(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """torch_xla's own pooling does not know dilation, and ends the process over it."""
    named = dict(zip(_POOL_ARGUMENTS, args, strict=False)) | kwargs
    dilation = named.get("dilation", 1)
    if all(d == 1 for d in (dilation if isinstance(dilation, list | tuple) else [dilation])):
        return apply(session, func, args, kwargs)
    rank = int(re.sub(r"\D", "", func.__name__))
    with_indices = "with_indices" in func.__name__ or named.get("return_indices", False)
    values = [named.get(name, usual) for name, usual in _POOL_ARGUMENTS.items()]
    found = apply(session, _dilated_pool, (rank, *values), {})
    return found if with_indices else found[0]


def _dilated_pool(
    rank: int, x: torch.Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
) -> Any:
    """Max pooling over the last dimensions of a tensor, with indices."""
    sizes = [[v] * rank if isinstance(v, int) else list(v) for v in (kernel, padding, dilation)]
    steps = [stride] * rank if isinstance(stride, int) else list(stride or ())
    if rank == 1:  # a picture of one row
        found = torch.ops.aten.max_pool2d_with_indices(
            x.unsqueeze(-2), [1, *sizes[0]], [1, *(steps or sizes[0])], [0, *sizes[1]],
            [1, *sizes[2]], ceil,
        )  # fmt: skip
        return tuple(f.squeeze(-2) for f in found)
    pool = getattr(torch.ops.aten, f"max_pool{rank}d_with_indices")
    return pool(x, sizes[0], steps, sizes[1], sizes[2], ceil)


_POOL_ARGUMENTS = {
    "input": None, "kernel_size": None, "stride": None, "padding": 0, "dilation": 1,
    "ceil_mode": False,
}  # fmt: skip
POOLS = (
    *(torch.max_pool1d, torch.max_pool2d, torch.max_pool3d),
    *(F.max_pool1d, F.max_pool2d, F.max_pool3d),
    *(F.max_pool1d_with_indices, F.max_pool2d_with_indices, F.max_pool3d_with_indices),
    *(torch.max_pool1d_with_indices,),
)
