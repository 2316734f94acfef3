"""Which HLO element type holds which PyTorch dtype."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from hlo_frontend.errors import CaptureError

# torch_xla keeps wider unsigned integers as signed ones, and has no other 8-bit floats.
ELEMENT_TYPES: dict[torch.dtype, str] = {
    torch.bool: "pred",
    torch.uint8: "u8",
    torch.int8: "s8",
    torch.int16: "s16",
    torch.int32: "s32",
    torch.int64: "s64",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.float32: "f32",
    torch.float64: "f64",
    torch.complex64: "c64",
    torch.complex128: "c128",
    torch.float8_e4m3fn: "f8e4m3fn",
    torch.float8_e5m2: "f8e5m2",
}
TORCH_DTYPES: dict[str, torch.dtype] = {name: dtype for dtype, name in ELEMENT_TYPES.items()}


# Those that numpy lacks are as ml_dtypes has them, seen through integers of their width.
_VIEWED: dict[torch.dtype, tuple[torch.dtype, type]] = {
    torch.bfloat16: (torch.int16, ml_dtypes.bfloat16),
    torch.float8_e4m3fn: (torch.int8, ml_dtypes.float8_e4m3fn),
    torch.float8_e5m2: (torch.int8, ml_dtypes.float8_e5m2),
}


def element_type(tensor: torch.Tensor, what: str) -> str:
    """The element type of a tensor; raises CaptureError naming `what` where there is none."""
    try:
        return ELEMENT_TYPES[tensor.dtype]
    except KeyError:
        valid = ", ".join(str(dtype).removeprefix("torch.") for dtype in ELEMENT_TYPES)
        raise CaptureError(
            f"capture: the dtype of {what} must be one of {valid}, "
            f"got {str(tensor.dtype).removeprefix('torch.')}"
        ) from None


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """The values of a CPU tensor, sharing its memory where they lie in order."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if plain.dtype not in _VIEWED:
        return plain.numpy()
    bits, dtype = _VIEWED[plain.dtype]
    return plain.view(bits).numpy().view(dtype)
