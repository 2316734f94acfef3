"""How far a computed array is from its reference: a few numbers, summed in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CHUNK = 1 << 16  # elements widened at a time: no value is copied whole, and they stay in cache


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two arrays, element by element.

    `max_abs` and `mean_abs` are of |x - r|; `relative` is ‖x - r‖ / ‖r‖ and `cosine` is
    x·r / (‖x‖ ‖r‖), over all elements. Elements that are equal, also as infinities or both NaN,
    differ by 0; a NaN or an infinity on one side alone differs by infinity and counts in
    `not_finite`.
    """

    max_abs: float = 0.0
    mean_abs: float = 0.0
    relative: float = 0.0
    cosine: float = 1.0
    not_finite: int = 0


EXACT = Difference()


@dataclass(slots=True)
class _Sums:
    largest: float = 0.0
    absolute: float = 0.0
    square: float = 0.0  # of the difference
    value: float = 0.0  # of the squares of x
    reference: float = 0.0
    product: float = 0.0
    not_finite: int = 0

    def add(self, x: np.ndarray, r: np.ndarray) -> None:
        """Take in a part of the arrays, in float64 or complex128."""
        with np.errstate(all="ignore"):
            d = np.abs(x - r)
            if not np.isfinite(d.sum()):
                x, r, d = self._mended(x, r, d)
            self.largest = max(self.largest, float(d.max()))
            self.absolute += float(d.sum())
            self.square += _product(d, d)
            self.value += _product(x, x)
            self.reference += _product(r, r)
            self.product += _product(r, x)

    def _mended(
        self, x: np.ndarray, r: np.ndarray, d: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same, with what is not finite taken out of the sums and set to 0 or inf in d."""
        d[(x == r) | (np.isnan(x) & np.isnan(r))] = 0.0
        d[np.isnan(d)] = np.inf
        self.not_finite += int(np.isinf(d).sum())
        both = np.isfinite(x) & np.isfinite(r)
        return np.where(both, x, 0), np.where(both, r, 0), d


def difference(value: np.ndarray, reference: np.ndarray) -> Difference:
    """The difference of arrays of one shape, whatever their element types.

    Raises ValueError where the shapes differ.
    """
    if value.shape != reference.shape:
        raise ValueError(
            f"difference: the arrays must have one shape, got {value.shape} and {reference.shape}"
        )
    x, r = value.reshape(-1), reference.reshape(-1)
    if not x.size:
        return EXACT
    wide = np.complex128 if "c" in (x.dtype.kind, r.dtype.kind) else np.float64
    sums = _Sums()
    for start in range(0, x.size, CHUNK):
        part = slice(start, start + CHUNK)
        sums.add(x[part].astype(wide), r[part].astype(wide))
    return Difference(
        sums.largest,
        sums.absolute / x.size,
        _ratio(math.sqrt(sums.square), math.sqrt(sums.reference)),
        _cosine(sums),
        sums.not_finite,
    )


def _product(a: np.ndarray, b: np.ndarray) -> float:
    """a·b, without a BLAS: its threads cost more than so short a sum."""
    return float(np.einsum("i,i->", a.conj(), b).real)


def _ratio(error: float, scale: float) -> float:
    """Nothing differs from nothing by 0, something from nothing by infinity."""
    if error == 0.0:
        return 0.0
    return error / scale if scale else math.inf


def _cosine(sums: _Sums) -> float:
    if sums.square == 0.0:
        return 1.0
    scale = math.sqrt(sums.value) * math.sqrt(sums.reference)
    return min(1.0, max(-1.0, sums.product / scale)) if scale else 0.0


def argmax_agreement(value: np.ndarray, reference: np.ndarray) -> float | None:
    """The share of rows (along the last dimension) whose largest element stands at one place.

    None where rows have fewer than two elements, or the elements are no real floats.
    """
    if not value.ndim or value.shape[-1] < 2 or not value.size:
        return None
    if reference.dtype.kind not in "fV" or value.dtype.kind not in "fV":  # V: of ml_dtypes
        return None
    rows = value.astype(np.float64).argmax(-1) == reference.astype(np.float64).argmax(-1)
    return float(rows.mean())
