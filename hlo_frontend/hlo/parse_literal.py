"""Constant values read from HLO text."""

from __future__ import annotations

import re
from collections.abc import Callable

import ml_dtypes
import numpy as np

from hlo_frontend.hlo.literal import AnyLiteral, Literal, TupleLiteral
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.text_literal import COMPONENTS, ONE_NAN, mantissa_bits
from hlo_frontend.hlo.types import ELEMENT_TYPES, AnyShape, Shape, TupleShape

_NUMBER = r"[-+]?(?:nan(?:\(0x[0-9a-fA-F]+\))?|inf|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_VALUE = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)|{_NUMBER}|true|false")
_TOKEN = re.compile(
    rf"(?P<space>[\s,]+|/\*.*?\*/)|(?P<open>{{)|(?P<close>}})|(?P<value>{_VALUE.pattern})|.",
    re.DOTALL,
)
_NAN = re.compile(r"([-+]?)nan(?:\(0x([0-9a-fA-F]+)\))?")


def parse_literal(scanner: Scanner, shape: AnyShape) -> AnyLiteral:
    """Take a literal of the shape: a scalar, nested braces, or a tuple of literals."""
    if isinstance(shape, TupleShape):
        return TupleLiteral(_elements(scanner, shape))
    if not isinstance(shape, Shape):
        scanner.fail("a constant must be an array or a tuple")
    start = scanner.skip()
    if shape.dims:
        texts = _array(scanner, shape)
    else:
        texts = [scanner.expect(_VALUE, "a value must come next")[0]]
    try:
        values = _VALUES[shape.element.kind](texts, shape.dtype)
    except (ValueError, OverflowError):
        scanner.position = start
        scanner.fail(f"values must be of type {shape.dtype}")
    return Literal(Shape(shape.dtype, shape.dims), values.tobytes())


def _elements(scanner: Scanner, shape: TupleShape) -> tuple[AnyLiteral, ...]:
    scanner.take("(")
    elements: list[AnyLiteral] = []
    for element in shape.elements:
        if elements:
            scanner.take(",")
        elements.append(parse_literal(scanner, element))
    scanner.take(")")
    return tuple(elements)


def _array(scanner: Scanner, shape: Shape) -> list[str]:
    """The values between nested braces, which must nest and count as the shape says."""
    texts: list[str] = []
    counts: list[int] = []  # entries so far of each open brace
    for token in _TOKEN.finditer(scanner.text, scanner.position):
        kind, scanner.position = token.lastgroup, token.start()
        if kind == "close":
            full = counts and counts[-1] == shape.dims[len(counts) - 1]
            if not counts or not (full or shape.size == 0):
                break
            counts.pop()
            if not counts:
                scanner.position = token.end()
                break
        elif kind == "value" and len(counts) == shape.rank:
            counts[-1] += 1
            texts.append(token[0])
        elif kind == "open" and len(counts) < shape.rank:
            if counts:
                counts[-1] += 1
            counts.append(0)
        elif kind != "space":
            break
    if counts or len(texts) != shape.size:
        scanner.fail(f"a constant must hold what {shape} holds, in nested braces")
    return texts


def _floats(texts: list[str], dtype: str) -> np.ndarray:
    element = ELEMENT_TYPES[dtype]
    special = [(i, m) for i, t in enumerate(texts) if "nan" in t and (m := _NAN.fullmatch(t))]
    for i, _ in special:
        texts[i] = "0"
    values = np.array(list(map(float, texts)), np.float64).astype(element.numpy)
    if special:
        bits = values.view(f"u{element.bits // 8}")
        for i, match in special:
            bits[i] = _nan_bits(match, dtype)
    return values


def _nan_bits(match: re.Match[str], dtype: str) -> int:
    width, mantissa = ELEMENT_TYPES[dtype].bits, mantissa_bits(dtype)
    if dtype in ONE_NAN and not match[2]:
        known = ONE_NAN[dtype]
        return known.get(match[0].removeprefix("+"), next(iter(known.values())))
    if width < 8:
        raise ValueError("no NaN")
    payload = int(match[2], 16) if match[2] else 1 << (mantissa - 1)
    if not 0 < payload < 1 << mantissa:
        raise ValueError("payload too wide")
    exponent = ((1 << (width - 1 - mantissa)) - 1) << mantissa
    return (match[1] == "-") << (width - 1) | exponent | payload


def _complexes(texts: list[str], dtype: str) -> np.ndarray:
    parts = [part.strip() for text in texts for part in text[1:-1].split(",")]
    if len(parts) != 2 * len(texts):
        raise ValueError("a complex number has two parts")
    return _floats(parts, COMPONENTS[dtype])


def _integers(texts: list[str], dtype: str) -> np.ndarray:
    element = ELEMENT_TYPES[dtype]
    values = list(map(int, texts))
    limits = ml_dtypes.iinfo(element.numpy)
    if values and not int(limits.min) <= min(values) <= max(values) <= int(limits.max):
        raise OverflowError("out of range")
    whole = np.array(values, np.int8 if element.bits < 8 else element.numpy)
    return whole.astype(element.numpy)


def _predicates(texts: list[str], dtype: str) -> np.ndarray:
    truth = {"true": True, "1": True, "false": False, "0": False}
    if not truth.keys() >= set(texts):
        raise ValueError("neither true nor false")
    return np.array([truth[t] for t in texts], np.bool_)


_VALUES: dict[str, Callable[[list[str], str], np.ndarray]] = {
    "pred": _predicates,
    "signed": _integers,
    "unsigned": _integers,
    "float": _floats,
    "complex": _complexes,
}
