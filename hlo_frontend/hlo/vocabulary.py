"""The attributes of HLO instructions: what values each takes, what XLA's text leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hlo_frontend.hlo.attributes import (
    ConvolutionDimensionNumbers,
    DotDimensionNumbers,
    GatherDimensionNumbers,
    ScatterDimensionNumbers,
    WindowDimension,
)
from hlo_frontend.hlo.literal import Literal, TupleLiteral
from hlo_frontend.hlo.types import Shape, TokenShape, TupleShape

NO_DEFAULT = object()

# How the text names the computations an opcode calls, where that is not `to_apply`.
CALL_KEYS = {
    "while": ("condition", "body"),
    "select-and-scatter": ("select", "scatter"),
    "fusion": ("calls",),
    "conditional": ("branch_computations", "true_computation", "false_computation"),
    "custom-call": ("called_computations", "to_apply"),
}
COMPARISON_DIRECTIONS = ("EQ", "NE", "GE", "GT", "LE", "LT")
# Comparison types an operand of each kind allows; the first is what an absent `type` means.
COMPARISON_TYPES = {
    "pred": ("UNSIGNED",),
    "unsigned": ("UNSIGNED",),
    "signed": ("SIGNED",),
    "float": ("FLOAT", "TOTALORDER"),
    "complex": ("FLOAT",),
}
# Enumerations in the order of their published numbers; "" is a number XLA calls invalid.
DISTRIBUTIONS = ("", "rng_uniform", "rng_normal")
RANDOM_ALGORITHMS = ("rng_default", "rng_three_fry", "rng_philox")
FFT_TYPES = ("FFT", "IFFT", "RFFT", "IRFFT")
TRANSPOSES = ("", "NO_TRANSPOSE", "TRANSPOSE", "ADJOINT")
PRECISIONS = ("default", "high", "highest")
API_VERSIONS = (
    "",
    "API_VERSION_ORIGINAL",
    "API_VERSION_STATUS_RETURNING",
    "API_VERSION_STATUS_RETURNING_UNIFIED",
    "API_VERSION_TYPED_FFI",
)
FUSION_KINDS = ("kLoop", "kInput", "kOutput", "kCustom")
SCHEDULES = ("SCHEDULE_NONE", "SCHEDULE_LATEST", "SCHEDULE_EARLIEST")
DOT_ALGORITHMS = (
    "",
    "dot_any_f8_any_f8_f32",
    "dot_any_f8_any_f8_f32_fast_accum",
    "dot_f16_f16_f16",
    "dot_f16_f16_f32",
    "dot_bf16_bf16_bf16",
    "dot_bf16_bf16_f32",
    "dot_bf16_bf16_f32_x3",
    "dot_bf16_bf16_f32_x6",
    "dot_tf32_tf32_f32",
    "dot_tf32_tf32_f32_x3",
    "dot_f32_f32_f32",
    "dot_f64_f64_f64",
    "dot_bf16_bf16_f32_x9",
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute name: a test of its values, that test in words, the value text leaves out."""

    name: str
    check: Callable[[Any], bool]
    what: str
    default: Any = NO_DEFAULT


def _is_int(value: Any) -> bool:
    return type(value) is int


def _tuple_of(check: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    def checked(value: Any) -> bool:
        sized = type(value) is tuple and length in (None, len(value))
        return sized and all(map(check, value))

    return checked


def _instance(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    names = tuple(filter(None, names))
    return names.__contains__, "one of " + ", ".join(names)


_INT = (_is_int, "an integer")
_INTS = (_tuple_of(_is_int), "a tuple of integers")
_BOOL = (_instance(bool), "a bool")
_STR = (_instance(str), "a string")
_BYTES = (_instance(bytes), "bytes")
_TRIPLES = _tuple_of(_tuple_of(_is_int, 3))
_PAIRS = _tuple_of(_tuple_of(_is_int, 2))
_KEY = re.compile(r"[A-Za-z_][\w.-]*")


def _is_key_and_value(value: Any) -> bool:
    pair = _tuple_of(_instance(str), 2)(value)
    return pair and _KEY.fullmatch(value[0]) is not None


def _is_operand_aliasing(value: Any) -> bool:
    def entry(e: Any) -> bool:
        return len(e) == 3 and _INTS[0](e[0]) and _is_int(e[1]) and _INTS[0](e[2])

    return _tuple_of(lambda e: type(e) is tuple and entry(e))(value)


# Published names where there is one; the text spells some of them differently (see `text_table`).
ATTRIBUTES: dict[str, Attribute] = {
    row.name: row
    for row in (
        Attribute("number", *_INT),
        Attribute("literal", _instance(Literal, TupleLiteral), "a literal"),
        Attribute("iota_dimension", *_INT),
        Attribute("dimensions", *_INTS),
        Attribute("is_stable", *_BOOL, default=False),
        Attribute("slice", _TRIPLES, "a tuple of (start, limit, stride)"),
        Attribute("dynamic_slice_sizes", *_INTS),
        Attribute("padding", _TRIPLES, "a tuple of (low, high, interior)"),
        Attribute(
            "dot_dimension_numbers",
            _instance(DotDimensionNumbers),
            "DotDimensionNumbers",
        ),
        Attribute(
            "operand_precision",
            _tuple_of(PRECISIONS.__contains__),
            "a tuple of precisions",
        ),
        Attribute(
            "window",
            _tuple_of(_instance(WindowDimension)),
            "a tuple of WindowDimension",
            default=(),
        ),
        Attribute(
            "dim_labels",
            _instance(ConvolutionDimensionNumbers),
            "ConvolutionDimensionNumbers",
        ),
        Attribute("feature_group_count", *_INT, default=1),
        Attribute("batch_group_count", *_INT, default=1),
        Attribute(
            "gather_dimension_numbers",
            _instance(GatherDimensionNumbers),
            "GatherDimensionNumbers",
        ),
        Attribute("slice_sizes", *_INTS),
        Attribute(
            "scatter_dimension_numbers",
            _instance(ScatterDimensionNumbers),
            "ScatterDimensionNumbers",
        ),
        Attribute("indices_are_sorted", *_BOOL, default=False),
        Attribute("unique_indices", *_BOOL, default=False),
        Attribute("direction", *_one_of(*COMPARISON_DIRECTIONS)),
        Attribute("type", *_one_of("FLOAT", "TOTALORDER", "SIGNED", "UNSIGNED")),
        Attribute("exponent_bits", *_INT),
        Attribute("mantissa_bits", *_INT),
        Attribute("index", *_INT),
        Attribute("epsilon", _instance(float), "a float"),
        Attribute("feature_index", *_INT),
        Attribute("distribution", *_one_of(*DISTRIBUTIONS)),
        Attribute("algorithm", *_one_of(*RANDOM_ALGORITHMS, *DOT_ALGORITHMS)),
        Attribute("delta", *_INT),
        Attribute("fft_type", *_one_of(*FFT_TYPES)),
        Attribute("fft_length", *_INTS),
        Attribute("left_side", *_BOOL, default=False),
        Attribute("lower", *_BOOL, default=False),
        Attribute("unit_diagonal", *_BOOL, default=False),
        Attribute("transpose_a", *_one_of(*TRANSPOSES)),
        Attribute("k", *_INT),
        Attribute("largest", *_BOOL),
        Attribute("kind", *_one_of(*FUSION_KINDS)),
        Attribute("custom_call_target", *_STR),
        Attribute("custom_call_has_side_effect", *_BOOL, default=False),
        Attribute("api_version", *_one_of(*API_VERSIONS), default="API_VERSION_ORIGINAL"),
        Attribute("schedule", *_one_of(*SCHEDULES), default="SCHEDULE_NONE"),
        Attribute(
            "operand_layout_constraints",
            _tuple_of(_instance(Shape, TupleShape, TokenShape)),
            "a tuple of shapes",
        ),
        Attribute(
            "output_to_operand_aliasing",
            _is_operand_aliasing,
            "a tuple of (output index, operand, operand index)",
        ),
        Attribute("is_composite", *_BOOL, default=False),
        Attribute("replica_groups", _tuple_of(_INTS[0]), "a tuple of tuples of integers"),
        Attribute("channel_id", lambda v: _is_int(v) and v > 0, "a positive integer"),
        Attribute("use_global_device_ids", *_BOOL, default=False),
        Attribute("source_target_pairs", _PAIRS, "a tuple of (source, target)"),
        Attribute("domain", _tuple_of(_instance(bytes), 2), "the shardings of entry and exit"),
        Attribute("sharding", *_BYTES),
        Attribute(
            "frontend_attributes", _tuple_of(_is_key_and_value), "a tuple of (name, value) strings"
        ),
        Attribute("backend_config", *_BYTES),
    )
}
