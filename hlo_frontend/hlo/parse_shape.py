"""Shapes read from HLO text."""

from __future__ import annotations

import re

from hlo_frontend.hlo.errors import DynamicShapeError, HloError
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.types import ELEMENT_TYPES, AnyShape, Shape, TokenShape, TupleShape

# Tiles, memory space and the like, after the colon of a layout, say nothing that we keep.
_ARRAY = re.compile(
    r"([a-z]\w*)\[([^\]\n]*)\](?:\{\s*((?:\d+(?:\s*,\s*\d+)*)?)\s*(?::[^{}\n]*)?\})?"
)
_TOKEN = TokenShape()


def starts_shape(scanner: Scanner) -> bool:
    """Whether a shape comes next, rather than a name."""
    position = scanner.skip()
    return scanner.text.startswith("(", position) or bool(_ARRAY.match(scanner.text, position))


def parse_shape(scanner: Scanner) -> AnyShape:
    """Take a shape, e.g. `f32[2,3]{1,0}` or `(s32[], token[])`."""
    if scanner.accept("("):
        elements: list[AnyShape] = []
        while not scanner.accept(")"):
            if elements:
                scanner.take(",")
            elements.append(parse_shape(scanner))
        return TupleShape(tuple(elements))
    start = scanner.skip()
    match = scanner.expect(_ARRAY, "a shape must come next")
    try:
        return _array(match)
    except HloError as error:
        scanner.position = start
        raise type(error)(str(scanner.error(str(error)))) from None


def _array(match: re.Match[str]) -> AnyShape:
    dtype, sizes, order = match.groups()
    if dtype == "token":
        return _TOKEN
    if dtype not in ELEMENT_TYPES:
        raise HloError(f"element type must be one of {', '.join(ELEMENT_TYPES)}, got {dtype}")
    parts = [part.strip() for part in sizes.split(",")] if sizes.strip() else []
    if not all(part.isdecimal() for part in parts):
        raise DynamicShapeError(f"dimensions must be static, got {dtype}[{sizes}]")
    dims = tuple(map(int, parts))
    if not order:
        return Shape(dtype, dims)
    layout = tuple(map(int, order.split(",")))
    row_major = tuple(range(len(dims) - 1, -1, -1))
    if layout == row_major:
        return Shape(dtype, dims)
    if sorted(layout) != list(range(len(dims))):
        raise HloError(f"layout must order the {len(dims)} dimensions, got {{{order}}}")
    return Shape(dtype, dims, layout)
