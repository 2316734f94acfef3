"""Attributes as XLA prints them, one renderer per attribute name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hlo_frontend.hlo.attributes import (
    ConvolutionDimensionNumbers,
    DotDimensionNumbers,
    GatherDimensionNumbers,
    ScatterDimensionNumbers,
    Window,
    WindowDimension,
)
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.sharding import sharding_text
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from hlo_frontend.hlo.vocabulary import ATTRIBUTES

Parts = Iterable[str]  # `key=value` texts; none where XLA prints nothing


def braces(values: Iterable[object]) -> str:
    """`{0,1}`."""
    return "{" + ",".join(map(str, values)) + "}"


def quoted(data: bytes | str) -> str:
    """A string in double quotes, with C escapes for what is not printable ASCII."""
    raw = data.encode() if isinstance(data, str) else data
    return '"' + "".join(map(_escaped, raw)) + '"'


_ESCAPES = {ord(c): f"\\{e}" for c, e in zip("\n\r\t\"'\\", "nrt\"'\\", strict=True)}


def _escaped(byte: int) -> str:
    return _ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")


def is_dictionary(text: str) -> bool:
    """Whether a text can stand without quotes: printable, in one pair of balanced braces."""
    if not (text.startswith("{") and text.isascii() and text.isprintable()):
        return False
    try:
        return Scanner(text).braces() == text
    except HloError:
        return False


def value_text(text: str) -> str:
    """A free string: as it is if it is a dictionary, quoted if not."""
    return text if is_dictionary(text) else quoted(text)


def shape_text(shape: AnyShape, layout: bool = True) -> str:
    """A shape, with its layout as XLA prints it; tuples mark every fifth element."""
    if isinstance(shape, Shape):
        if not layout or not shape.dims:
            return str(shape)
        order = range(shape.rank - 1, -1, -1) if shape.layout is None else shape.layout
        return f"{shape}{braces(order)}"
    if isinstance(shape, TupleShape):
        return f"({listed([shape_text(e, layout) for e in shape.elements])})"
    return str(shape)


def listed(texts: list[str]) -> str:
    """Texts joined by commas, every fifth preceded by its number."""
    if len(texts) <= 5:
        return ", ".join(texts)
    return ", ".join([f"/*index={i}*/{t}" if i and not i % 5 else t for i, t in enumerate(texts)])


_WINDOW_DEFAULT = WindowDimension(1)
_WINDOW_FIELDS: tuple[tuple[str, Callable[[WindowDimension], object]], ...] = (
    ("stride", lambda d: d.stride),
    ("pad", lambda d: f"{d.pad_low}_{d.pad_high}"),
    ("lhs_dilate", lambda d: d.base_dilation),
    ("rhs_dilate", lambda d: d.window_dilation),
    ("rhs_reversal", lambda d: int(d.reversal)),
)


def _window(window: Window) -> Parts:
    if not window:
        return ()
    fields = ["size=" + "x".join(str(d.size) for d in window)]
    for name, get in _WINDOW_FIELDS:
        if any(get(d) != get(_WINDOW_DEFAULT) for d in window):
            fields.append(f"{name}=" + "x".join(str(get(d)) for d in window))
    return (f"window={{{' '.join(fields)}}}",)


def _labels(letters: dict[str, int], spatial: tuple[int, ...]) -> str:
    at = {position: letter for letter, position in letters.items()}
    at |= {position: str(i) for i, position in enumerate(spatial)}
    return "".join(at[d] for d in range(len(at)))


def _dim_labels(n: ConvolutionDimensionNumbers) -> Parts:
    image = _labels({"b": n.input_batch, "f": n.input_feature}, n.input_spatial)
    kernel = _labels({"i": n.kernel_input_feature, "o": n.kernel_output_feature}, n.kernel_spatial)
    output = _labels({"b": n.output_batch, "f": n.output_feature}, n.output_spatial)
    return (f"dim_labels={image}_{kernel}->{output}",)


def _dot_dimension_numbers(n: DotDimensionNumbers) -> Parts:
    if n.lhs_batch:
        yield f"lhs_batch_dims={braces(n.lhs_batch)}"
    yield f"lhs_contracting_dims={braces(n.lhs_contracting)}"
    if n.rhs_batch:
        yield f"rhs_batch_dims={braces(n.rhs_batch)}"
    yield f"rhs_contracting_dims={braces(n.rhs_contracting)}"


def _gather_dimension_numbers(n: GatherDimensionNumbers) -> Parts:
    yield f"offset_dims={braces(n.offset_dims)}"
    yield f"collapsed_slice_dims={braces(n.collapsed_slice_dims)}"
    yield f"start_index_map={braces(n.start_index_map)}"
    if n.operand_batching_dims:
        yield f"operand_batching_dims={braces(n.operand_batching_dims)}"
    if n.start_indices_batching_dims:
        yield f"start_indices_batching_dims={braces(n.start_indices_batching_dims)}"
    yield f"index_vector_dim={n.index_vector_dim}"


def _scatter_dimension_numbers(n: ScatterDimensionNumbers) -> Parts:
    yield f"update_window_dims={braces(n.update_window_dims)}"
    yield f"inserted_window_dims={braces(n.inserted_window_dims)}"
    yield f"scatter_dims_to_operand_dims={braces(n.scatter_dims_to_operand_dims)}"
    if n.input_batching_dims:
        yield f"input_batching_dims={braces(n.input_batching_dims)}"
    if n.scatter_indices_batching_dims:
        yield f"scatter_indices_batching_dims={braces(n.scatter_indices_batching_dims)}"
    yield f"index_vector_dim={n.index_vector_dim}"


def _slice(triples: tuple[tuple[int, int, int], ...]) -> Parts:
    strided = any(stride != 1 for _, _, stride in triples)
    bounds = [f"[{a}:{b}:{s}]" if strided else f"[{a}:{b}]" for a, b, s in triples]
    return (f"slice={{{', '.join(bounds)}}}",)


def _padding(triples: tuple[tuple[int, int, int], ...]) -> Parts:
    inner = any(interior for _, _, interior in triples)
    texts = [f"{low}_{high}_{i}" if inner else f"{low}_{high}" for low, high, i in triples]
    return (f"padding={'x'.join(texts)}",)


def _aliasing(entries: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...]) -> Parts:
    texts = [
        f"{_index(output)}: ({operand}, {_index(inner)})" for output, operand, inner in entries
    ]
    return (f"output_to_operand_aliasing={{{', '.join(texts)}}}",)


def _index(index: tuple[int, ...]) -> str:
    return "{" + ", ".join(map(str, index)) + "}"


def frontend_attributes_text(pairs: tuple[tuple[str, str], ...]) -> str:
    """`frontend_attributes={name="value",...}`."""
    values = [f"{name}={value_text(value)}" for name, value in pairs]
    return f"frontend_attributes={braces(values)}"


def _domain(shardings: tuple[bytes, bytes]) -> Parts:
    entry, exit_ = map(sharding_text, shardings)
    return (f'domain={{kind="sharding", entry={entry}, exit={exit_}}}',)


def _epsilon(value: float) -> Parts:
    short = f"{value:g}"
    return (f"epsilon={short if float(short) == value else repr(value)}",)


def _backend_config(config: bytes) -> Parts:
    # Latin-1 keeps each byte one character, so what is not text ends up quoted and escaped.
    text = config.decode("latin-1")
    return (f"backend_config={text if is_dictionary(text) else quoted(config)}",)


def _plain(name: str) -> Callable[[Any], Parts]:
    return lambda value: (f"{name}={value}",)


def _bool(name: str) -> Callable[[Any], Parts]:
    return lambda value: (f"{name}={'true' if value else 'false'}",)


def _ints(name: str) -> Callable[[Any], Parts]:
    return lambda value: (f"{name}={braces(value)}",)


def _nested(name: str) -> Callable[[Any], Parts]:
    return lambda value: (f"{name}={braces(map(braces, value))}",)


def _nothing(value: Any) -> Parts:
    """Printed elsewhere: between the parentheses, or after the metadata."""
    return ()


_BOOLS = (
    "is_stable indices_are_sorted unique_indices left_side lower unit_diagonal largest "
    "custom_call_has_side_effect is_composite use_global_device_ids"
)
_INTS = "dimensions dynamic_slice_sizes slice_sizes fft_length operand_precision"
_PLAIN = (
    "iota_dimension feature_group_count batch_group_count direction type exponent_bits "
    "mantissa_bits index feature_index distribution algorithm delta fft_type transpose_a k "
    "kind api_version schedule channel_id"
)
RENDERERS: dict[str, Callable[[Any], Parts]] = {
    **{name: _bool(name) for name in _BOOLS.split()},
    **{name: _ints(name) for name in _INTS.split()},
    **{name: _plain(name) for name in _PLAIN.split()},
    "number": _nothing,
    "literal": _nothing,
    "epsilon": _epsilon,
    "slice": _slice,
    "padding": _padding,
    "window": _window,
    "dim_labels": _dim_labels,
    "dot_dimension_numbers": _dot_dimension_numbers,
    "gather_dimension_numbers": _gather_dimension_numbers,
    "scatter_dimension_numbers": _scatter_dimension_numbers,
    "custom_call_target": lambda v: (f"custom_call_target={quoted(v)}",),
    "operand_layout_constraints": lambda v: (
        f"operand_layout_constraints={{{', '.join(map(shape_text, v))}}}",
    ),
    "output_to_operand_aliasing": _aliasing,
    "replica_groups": _nested("replica_groups"),
    "source_target_pairs": _nested("source_target_pairs"),
    "domain": _domain,
    "sharding": lambda v: (f"sharding={sharding_text(v)}",),
    "frontend_attributes": lambda v: (frontend_attributes_text(v),),
    "backend_config": _backend_config,
}
assert RENDERERS.keys() == ATTRIBUTES.keys()
