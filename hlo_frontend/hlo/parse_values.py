"""Values of attributes read from HLO text: words, lists, windows, dimension labels and the like."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers, Window, WindowDimension
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.groups import iota_groups
from hlo_frontend.hlo.literal import shortest_float32
from hlo_frontend.hlo.parse_shape import parse_shape
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.sharding import parse_sharding

_WORD = re.compile(r"[A-Za-z_][\w.-]*")
_NAME = re.compile(r"%?([A-Za-z_][\w.-]*)")
_FLOAT = re.compile(r"[-+]?(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_DIM_LABELS = re.compile(r"([\dbf?]+)_([\dio?]+)->([\dbf?]+)")
_BOUNDS = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*(?::\s*(\d+)\s*)?\]")
_PADDING = re.compile(r"-?\d+_-?\d+(?:_\d+)?(?:x-?\d+_-?\d+(?:_\d+)?)*")
_TIMES = re.compile(r"[-\d_]+(?:x[-\d_]+)*")
_IOTA = re.compile(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")


def boolean(scanner: Scanner) -> bool:
    """Take `true` or `false`."""
    if scanner.accept("true"):
        return True
    scanner.take("false")
    return False


def word(scanner: Scanner) -> str:
    """Take a word."""
    return scanner.expect(_WORD, "a word must come next")[0]


def name(scanner: Scanner) -> str:
    """Take the name of an instruction or computation, with or without its percent sign."""
    return scanner.expect(_NAME, "a name must come next")[1]


def listed(scanner: Scanner, item: Callable[[Scanner], Any]) -> tuple[Any, ...]:
    """Take items in braces, separated by commas."""
    scanner.take("{")
    items: list[Any] = []
    while not scanner.accept("}"):
        if items:
            scanner.take(",")
        items.append(item(scanner))
    return tuple(items)


def words(scanner: Scanner) -> tuple[str, ...]:
    """Take words in braces."""
    return listed(scanner, word)


def names(scanner: Scanner) -> tuple[str, ...]:
    """Take names in braces."""
    return listed(scanner, name)


def one_name(scanner: Scanner) -> tuple[str, ...]:
    """Take one name."""
    return (name(scanner),)


def float32(scanner: Scanner) -> float:
    """Take a number that a 32-bit float will hold."""
    return shortest_float32(float(scanner.expect(_FLOAT, "a number must come next")[0]))


def _bounds(scanner: Scanner) -> tuple[int, int, int]:
    match = scanner.expect(_BOUNDS, "[start:limit:stride] must come next")
    return int(match[1]), int(match[2]), int(match[3] or 1)


def slices(scanner: Scanner) -> tuple[tuple[int, int, int], ...]:
    """Take `{[start:limit:stride], ...}`, without the stride where it is 1."""
    return listed(scanner, _bounds)


def padding(scanner: Scanner) -> tuple[tuple[int, int, int], ...]:
    """Take `low_high_interior` per dimension, without the interior where all are 0."""
    match = scanner.match(_PADDING)
    if match is None:  # a scalar has no dimensions to pad
        return ()
    rows = [tuple(map(int, part.split("_"))) for part in match[0].split("x")]
    return tuple((row[0], row[1], row[2] if len(row) > 2 else 0) for row in rows)


def _pads(text: str) -> dict[str, int]:
    low, _, high = text.partition("_")
    return {"pad_low": int(low), "pad_high": int(high)}


_WINDOW_FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "size": lambda text: {"size": int(text)},
    "stride": lambda text: {"stride": int(text)},
    "pad": _pads,
    "lhs_dilate": lambda text: {"base_dilation": int(text)},
    "rhs_dilate": lambda text: {"window_dilation": int(text)},
    "rhs_reversal": lambda text: {"reversal": bool(int(text))},
}


def window(scanner: Scanner) -> Window:
    """Take `{size=2x2 stride=1x1 ...}`; what is not there has its default."""
    scanner.take("{")
    fields: list[dict[str, Any]] | None = None
    while not scanner.accept("}"):
        key = word(scanner)
        if key not in _WINDOW_FIELDS:
            raise scanner.error(f"a window must have {', '.join(_WINDOW_FIELDS)}, got {key}")
        scanner.take("=")
        parts = scanner.expect(_TIMES, "numbers must come next")[0].split("x")
        fields = fields if fields is not None else [{} for _ in parts]
        try:
            for field, part in zip(fields, parts, strict=True):
                field.update(_WINDOW_FIELDS[key](part))
        except ValueError:
            raise scanner.error(
                f"{key} must hold a number for each of {len(fields)} dimensions, "
                f"got {'x'.join(parts)}"
            ) from None
    if any("size" not in field for field in fields or ()):
        raise scanner.error("a window must have a size, got none")
    return tuple(WindowDimension(**field) for field in fields or ())


def dim_labels(scanner: Scanner) -> ConvolutionDimensionNumbers:
    """Take labels such as `bf01_oi01->bf01`."""
    match = scanner.expect(_DIM_LABELS, "labels such as bf01_oi01->bf01 must come next")
    spatial = [str(n) for n in range(len(match[1]) - 2)]
    for labels, letters in zip(match.groups(), ("bf", "io", "bf"), strict=True):
        if sorted(labels) != sorted([*letters, *spatial]):
            raise scanner.error(
                f"labels must be {' '.join(letters)} {' '.join(spatial)} once each, got {labels}"
            )
    image, kernel, output = match.groups()
    return ConvolutionDimensionNumbers(
        image.index("b"),
        image.index("f"),
        tuple(map(image.index, spatial)),
        kernel.index("i"),
        kernel.index("o"),
        tuple(map(kernel.index, spatial)),
        output.index("b"),
        output.index("f"),
        tuple(map(output.index, spatial)),
    )


def groups(scanner: Scanner) -> tuple[tuple[int, ...], ...]:
    """Take groups of devices, in full or as `[2,2]<=[4]`."""
    match = scanner.match(_IOTA)
    if match is None:
        return listed(scanner, Scanner.integers)
    result, dims, order = (tuple(map(int, g.split(","))) if g else () for g in match.groups())
    return _located(scanner, lambda: iota_groups(result, dims, order))


def _located(scanner: Scanner, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except HloError as error:
        raise scanner.error(str(error)) from None


def sharding(scanner: Scanner) -> bytes:
    """Take the text of a sharding; its bytes."""
    text = scanner.braces()
    value: bytes = _located(scanner, lambda: parse_sharding(text))
    return value


def domain(scanner: Scanner) -> tuple[bytes, bytes]:
    """Take the two shardings of a domain."""
    scanner.take("{")
    scanner.take('kind="sharding"')
    scanner.take(",")
    scanner.take("entry=")
    entry = sharding(scanner)
    scanner.take(",")
    scanner.take("exit=")
    exit_ = sharding(scanner)
    scanner.take("}")
    return entry, exit_


def _aliasing_entry(scanner: Scanner) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    output = scanner.integers()
    scanner.take(":")
    scanner.take("(")
    operand = scanner.integer()
    scanner.take(",")
    inner = scanner.integers()
    scanner.take(")")
    return output, operand, inner


def aliasing(scanner: Scanner) -> tuple[Any, ...]:
    """Take `{output index: (operand, operand index), ...}`."""
    return listed(scanner, _aliasing_entry)


def layouts(scanner: Scanner) -> tuple[Any, ...]:
    """Take shapes in braces."""
    return listed(scanner, parse_shape)


def _next_is(scanner: Scanner, text: str) -> bool:
    return scanner.text.startswith(text, scanner.skip())


def _named_value(scanner: Scanner) -> tuple[str, str]:
    key = word(scanner)
    scanner.take("=")
    return key, scanner.braces() if _next_is(scanner, "{") else scanner.unicode()


def frontend_attributes(scanner: Scanner) -> tuple[tuple[str, str], ...]:
    """Take `{name="value",other={...}}`; the pairs sorted by name."""
    return tuple(sorted(listed(scanner, _named_value)))


def backend_config(scanner: Scanner) -> bytes:
    """Take a quoted string, or a dictionary in braces as it stands."""
    return scanner.braces().encode() if _next_is(scanner, "{") else scanner.string()
