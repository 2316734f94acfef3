"""Attributes read from HLO text, one parser per key XLA prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from hlo_frontend.hlo import attributes as classes
from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers, Window, WindowDimension
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.groups import iota_groups
from hlo_frontend.hlo.literal import shortest_float32
from hlo_frontend.hlo.parse_shape import parse_shape
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.sharding import parse_sharding
from hlo_frontend.hlo.vocabulary import ATTRIBUTES, NO_DEFAULT

_WORD = re.compile(r"[A-Za-z_][\w.-]*")
_NAME = re.compile(r"%?([A-Za-z_][\w.-]*)")
_FLOAT = re.compile(r"[-+]?(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_DIM_LABELS = re.compile(r"([\dbf?]+)_([\dio?]+)->([\dbf?]+)")
_BOUNDS = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*(?::\s*(\d+)\s*)?\]")
_PADDING = re.compile(r"-?\d+_-?\d+(?:_\d+)?(?:x-?\d+_-?\d+(?:_\d+)?)*")
_TIMES = re.compile(r"[-\d_]+(?:x[-\d_]+)*")
_IOTA = re.compile(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")


def _bool(scanner: Scanner) -> bool:
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


def _words(scanner: Scanner) -> tuple[str, ...]:
    return listed(scanner, word)


def _names(scanner: Scanner) -> tuple[str, ...]:
    return listed(scanner, name)


def _one_name(scanner: Scanner) -> tuple[str, ...]:
    return (name(scanner),)


def _float(scanner: Scanner) -> float:
    return shortest_float32(float(scanner.expect(_FLOAT, "a number must come next")[0]))


def _bounds(scanner: Scanner) -> tuple[int, int, int]:
    match = scanner.expect(_BOUNDS, "[start:limit:stride] must come next")
    return int(match[1]), int(match[2]), int(match[3] or 1)


def _slice(scanner: Scanner) -> tuple[tuple[int, int, int], ...]:
    return listed(scanner, _bounds)


def _padding(scanner: Scanner) -> tuple[tuple[int, int, int], ...]:
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


def _window(scanner: Scanner) -> Window:
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


def _dim_labels(scanner: Scanner) -> ConvolutionDimensionNumbers:
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


def _groups(scanner: Scanner) -> tuple[tuple[int, ...], ...]:
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


def _sharding(scanner: Scanner) -> bytes:
    text = scanner.braces()
    value: bytes = _located(scanner, lambda: parse_sharding(text))
    return value


def _domain(scanner: Scanner) -> tuple[bytes, bytes]:
    scanner.take("{")
    scanner.take('kind="sharding"')
    scanner.take(",")
    scanner.take("entry=")
    entry = _sharding(scanner)
    scanner.take(",")
    scanner.take("exit=")
    exit_ = _sharding(scanner)
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


def _aliasing(scanner: Scanner) -> tuple[Any, ...]:
    return listed(scanner, _aliasing_entry)


def _layouts(scanner: Scanner) -> tuple[Any, ...]:
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


def _backend_config(scanner: Scanner) -> bytes:
    return scanner.braces().encode() if _next_is(scanner, "{") else scanner.string()


_INTS = (
    "dimensions dynamic_slice_sizes slice_sizes fft_length lhs_batch_dims rhs_batch_dims "
    "lhs_contracting_dims rhs_contracting_dims offset_dims collapsed_slice_dims start_index_map "
    "operand_batching_dims start_indices_batching_dims update_window_dims inserted_window_dims "
    "scatter_dims_to_operand_dims input_batching_dims scatter_indices_batching_dims"
)
_INT = (
    "iota_dimension feature_group_count batch_group_count exponent_bits mantissa_bits index "
    "feature_index delta k channel_id index_vector_dim"
)
_BOOLS = (
    "is_stable indices_are_sorted unique_indices left_side lower unit_diagonal largest "
    "custom_call_has_side_effect is_composite use_global_device_ids"
)
_WORDS = "direction type distribution algorithm fft_type transpose_a kind api_version schedule"
PARSERS: dict[str, Callable[[Scanner], Any]] = {
    **dict.fromkeys(_INTS.split(), Scanner.integers),
    **dict.fromkeys(_INT.split(), Scanner.integer),
    **dict.fromkeys(_BOOLS.split(), _bool),
    **dict.fromkeys(_WORDS.split(), word),
    "epsilon": _float,
    "slice": _slice,
    "padding": _padding,
    "window": _window,
    "dim_labels": _dim_labels,
    "operand_precision": _words,
    "custom_call_target": Scanner.unicode,
    "operand_layout_constraints": _layouts,
    "output_to_operand_aliasing": _aliasing,
    "replica_groups": _groups,
    "source_target_pairs": lambda s: listed(s, Scanner.integers),
    "domain": _domain,
    "sharding": _sharding,
    "frontend_attributes": frontend_attributes,
    "backend_config": _backend_config,
}
# Computations called, by key, in the order they are stored in.
CALLS: dict[str, Callable[[Scanner], tuple[str, ...]]] = {
    "to_apply": _one_name,
    "calls": _one_name,
    "body": _one_name,
    "condition": _one_name,
    "select": _one_name,
    "scatter": _one_name,
    "true_computation": _one_name,
    "false_computation": _one_name,
    "branch_computations": _names,
    "called_computations": _names,
}
# Printed by XLA and not kept: see `hlo_frontend.hlo.proto.read_module`.
IGNORED = frozenset({"control-predecessors", "result_accuracy", "origin", "parameter_replication"})
# Attributes the text spreads over several keys: field of the class per key.
_SPREAD: dict[str, tuple[Any, dict[str, str]]] = {
    "dot_dimension_numbers": (
        classes.DotDimensionNumbers,
        {
            "lhs_contracting_dims": "lhs_contracting",
            "rhs_contracting_dims": "rhs_contracting",
            "lhs_batch_dims": "lhs_batch",
            "rhs_batch_dims": "rhs_batch",
        },
    ),
    "gather_dimension_numbers": (
        classes.GatherDimensionNumbers,
        {f: f for f in classes.GatherDimensionNumbers.__dataclass_fields__},
    ),
    "scatter_dimension_numbers": (
        classes.ScatterDimensionNumbers,
        {f: f for f in classes.ScatterDimensionNumbers.__dataclass_fields__},
    ),
}
assert ATTRIBUTES.keys() - PARSERS.keys() == _SPREAD.keys() | {"number", "literal"}


def attributes_of(expected: Mapping[str, bool], given: dict[str, Any]) -> dict[str, Any]:
    """Attributes from the values of the keys given, which must be what the opcode expects.

    `expected` maps the opcode's attributes to whether each is required. HloError names what is
    missing and what does not belong.
    """
    attrs: dict[str, Any] = {}
    for attribute, required in expected.items():
        if attribute in given:
            attrs[attribute] = given.pop(attribute)
        elif attribute in _SPREAD:
            attrs[attribute] = _gathered(attribute, given)
        elif required:
            default = ATTRIBUTES[attribute].default
            if default is NO_DEFAULT:
                raise HloError(f"attributes must include {attribute}, got {_keys(given)}")
            attrs[attribute] = default
    if given:
        raise HloError(f"attributes must be among {', '.join(expected)}, got {', '.join(given)}")
    return attrs


def _keys(given: Mapping[str, Any]) -> str:
    return ", ".join(given) or "none"


def _gathered(attribute: str, given: dict[str, Any]) -> Any:
    cls, keys = _SPREAD[attribute]
    fields = {field: given.pop(key) for key, field in keys.items() if key in given}
    try:
        return cls(**fields)
    except TypeError:
        required = [k for k, f in keys.items() if cls.__dataclass_fields__[f].default is MISSING]
        raise HloError(
            f"attributes must include {', '.join(required)}, got {_keys(fields)}"
        ) from None
