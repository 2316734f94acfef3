"""Constant values as XLA prints them: decimals that read back to the same value, nested braces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import ml_dtypes
import numpy as np

from hlo_frontend.hlo.literal import AnyLiteral, Literal, TupleLiteral
from hlo_frontend.hlo.types import ELEMENT_TYPES

# XLA first tries the digits every decimal survives in (`digits10`), then those every value needs.
_DIGITS = {"f32": (6, 9), "f64": (15, 17), "f8e8m0fnu": (2, 9)}
COMPONENTS = {"c64": "f32", "c128": "f64"}
# Types whose NaN have no payload to print: their spellings and their bits.
ONE_NAN = {
    "f8e4m3fn": {"nan": 0x7F, "-nan": 0xFF},
    "f8e8m0fnu": {"nan": 0xFF},
    **{t: {"-nan": 0x80} for t in ("f8e4m3b11fnuz", "f8e4m3fnuz", "f8e5m2fnuz")},
}


def mantissa_bits(dtype: str) -> int:
    """Stored mantissa bits of a floating-point element type."""
    return int(ml_dtypes.finfo(ELEMENT_TYPES[dtype].numpy).nmant)


def _digits(dtype: str) -> int:
    """Decimal digits that tell every two values of a type apart."""
    return math.ceil(1 + (mantissa_bits(dtype) + 1) * math.log10(2))


def float_texts(values: np.ndarray, dtype: str) -> list[str]:
    """The values of a floating-point type as XLA prints them, one string each."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is no reason to warn
        numbers = values.astype(np.float64).tolist()
    if dtype in _DIGITS:
        few, enough = _DIGITS[dtype]
        texts = [f"{n:.{few}g}" for n in numbers]
        again = np.array(texts, np.float64).astype(values.dtype)
        for i in np.flatnonzero(again != values).tolist():
            texts[i] = f"{numbers[i]:.{enough}g}"
    else:
        digits = _digits(dtype)
        texts = [f"{n:.{digits}g}" for n in numbers]
    for i in np.flatnonzero(np.isnan(values)).tolist():
        texts[i] = _nan_text(values[i], dtype)
    return texts


def _nan_text(value: np.generic, dtype: str) -> str:
    """`nan`, with its sign, and with its payload unless that is just the quiet bit."""
    bits = int.from_bytes(value.tobytes(), "little")
    if dtype in ONE_NAN:
        return next(text for text, known in ONE_NAN[dtype].items() if known == bits)
    sign = "-" if bits >> (ELEMENT_TYPES[dtype].bits - 1) else ""
    mantissa = mantissa_bits(dtype)
    payload = bits & ((1 << mantissa) - 1)
    if payload == 1 << (mantissa - 1):
        return f"{sign}nan"
    return f"{sign}nan({payload:#x})"


def _complex_texts(values: np.ndarray, dtype: str) -> list[str]:
    parts = values.view(ELEMENT_TYPES[COMPONENTS[dtype]].numpy)
    texts = iter(float_texts(parts, COMPONENTS[dtype]))
    return [f"({real}, {imaginary})" for real, imaginary in zip(texts, texts, strict=True)]


def _integer_texts(values: np.ndarray, dtype: str) -> list[str]:
    return [str(int(v)) for v in values.tolist()]


_TEXTS: dict[str, Callable[[np.ndarray, str], list[str]]] = {
    "pred": _integer_texts,
    "signed": _integer_texts,
    "unsigned": _integer_texts,
    "float": float_texts,
    "complex": _complex_texts,
}


def literal_text(literal: AnyLiteral) -> str:
    """What stands between the parentheses of a printed `constant`."""
    if isinstance(literal, TupleLiteral):
        return f"( {', '.join(map(literal_text, literal.elements))} )"
    shape = literal.shape
    values = np.frombuffer(literal.data, shape.numpy)
    if not shape.dims and shape.dtype == "pred":
        return "true" if values[0] else "false"
    texts = _TEXTS[shape.element.kind](values, shape.dtype)
    if not shape.dims:
        return texts[0]
    if shape.rank == 1:
        return "{" + ", ".join(texts) + "}"
    return _nested(shape.dims, (), iter(texts))


def _nested(dims: Sequence[int], outer: tuple[int, ...], texts: Iterator[str]) -> str:
    """Braces of a constant of two dimensions and more; from four on, with the outer positions."""
    here = dims[len(outer)]
    if len(outer) == len(dims) - 1:
        pad = " " if here > 1 else ""
        return f"{{{pad}{', '.join([next(texts) for _ in range(here)])}{pad}}}"
    rows = ", ".join([_nested(dims, (*outer, i), texts) for i in range(here)])
    if len(dims) > 3 and outer:
        label = f" /*i{len(outer) - 1}={outer[-1]}*/"
        return f"{{{label}{' ' if here else ''}{rows} }}"
    return f"{{ {rows} }}"


def is_large(literal: AnyLiteral) -> bool:
    """Whether a listing that leaves large constants out leaves this one out."""
    if isinstance(literal, Literal):
        return literal.shape.size > 10
    return any(map(is_large, literal.elements))
