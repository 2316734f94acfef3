"""Whether a result is that of eager execution, by tolerances that are data."""

from __future__ import annotations

from typing import Any

import torch

# Relative and absolute; wider than torch.testing's by what another order of summation costs.
TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (2e-5, 2e-5),
    torch.bfloat16: (2e-2, 1e-2),
    torch.float16: (2e-3, 1e-3),
    torch.complex64: (2e-5, 2e-5),
    torch.complex128: (1e-7, 1e-7),
}
_OF_SCALE = 0.1  # of the relative tolerance, for elements far below the largest
_WIDER = {
    torch.float32: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float16: torch.float64,
    torch.complex64: torch.complex128,
}


class Mismatch(AssertionError):
    """A result is not what eager execution gives."""


def leaves(value: Any) -> list[Any]:
    """What a nested result holds, depth first."""
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in leaves(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [value]


def widened(value: Any) -> Any:
    """A tensor, or several, of the next wider dtype."""
    if isinstance(value, torch.Tensor):
        return value.to(_WIDER.get(value.dtype, value.dtype))
    return type(value)(widened(v) for v in value)


def compare(got: Any, eager: Any, reference: Any | None, *, values: bool = True) -> None:
    """Raises Mismatch unless a nested result equals that of eager execution.

    `reference` is the eager result of wider inputs, or None: what is near to it is right too, and
    where eager is itself far from it, what is as near. Shapes and dtypes must be equal, integers
    and places of NaN and infinity exactly; `values=False` compares only shapes and dtypes.
    """
    ours, theirs = leaves(got), leaves(eager)
    if len(ours) != len(theirs):
        raise Mismatch(f"{len(ours)} outputs, eager has {len(theirs)}")
    wide = leaves(reference) if reference is not None else [None] * len(theirs)
    if len(wide) != len(theirs):
        wide = [None] * len(theirs)
    for number, (a, b, w) in enumerate(zip(ours, theirs, wide, strict=True)):
        _compare(a, b, w, f"output {number}", values)


def _compare(got: torch.Tensor, eager: torch.Tensor, wide: Any, what: str, values: bool) -> None:
    if (got.dtype, got.shape) != (eager.dtype, eager.shape):
        raise Mismatch(
            f"{what}: {got.dtype}{list(got.shape)}, eager has {eager.dtype}{list(eager.shape)}"
        )
    if not values or not got.numel():
        return
    got, eager = got.detach().resolve_conj().resolve_neg(), eager.detach()
    wrong = _wrong(got, eager)
    if wrong.any() and isinstance(wide, torch.Tensor) and wide.shape == got.shape:
        wrong = wrong & _wrong(got, wide.detach()) & _farther(got, eager, wide.detach())
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise Mismatch(
            f"{what}: {int(wrong.sum())} of {wrong.numel()} elements differ; at {list(first)} "
            f"{got[first].item()}, eager has {eager[first].item()}"
        )


def _wrong(got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Where a result is not the wanted one."""
    if got.dtype not in TOLERANCES:
        return got != want.to(got.dtype)
    relative, absolute = TOLERANCES[got.dtype]
    absolute = max(absolute, _OF_SCALE * relative * _scale(want))
    kind = torch.complex128 if got.dtype.is_complex else torch.float64
    want = want.to(got.dtype).to(kind)  # what the dtype cannot hold is infinite there too
    return ~torch.isclose(got.to(kind), want, rtol=relative, atol=absolute, equal_nan=True)


def _scale(want: torch.Tensor) -> float:
    """The largest finite magnitude: what sums that cancel are exact to."""
    finite = want[torch.isfinite(want)]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _farther(got: torch.Tensor, eager: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
    """Where a result is farther from the reference than twice what eager execution is."""
    if got.dtype not in TOLERANCES:
        return torch.ones_like(got, dtype=torch.bool)
    kind = torch.complex128 if got.dtype.is_complex else torch.float64
    wide = wide.to(kind)
    return ~((got.to(kind) - wide).abs() <= 2 * (eager.to(kind) - wide).abs())
