"""Attributes read from HLO text, one parser per key XLA prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from hlo_frontend.hlo import attributes as classes
from hlo_frontend.hlo import parse_values as values
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.scanner import Scanner
from hlo_frontend.hlo.vocabulary import ATTRIBUTES, CALL_KEYS, NO_DEFAULT

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
    **dict.fromkeys(_BOOLS.split(), values.boolean),
    **dict.fromkeys(_WORDS.split(), values.word),
    "epsilon": values.float32,
    "slice": values.slices,
    "padding": values.padding,
    "window": values.window,
    "dim_labels": values.dim_labels,
    "operand_precision": values.words,
    "custom_call_target": Scanner.unicode,
    "operand_layout_constraints": values.layouts,
    "output_to_operand_aliasing": values.aliasing,
    "replica_groups": values.groups,
    "source_target_pairs": lambda s: values.listed(s, Scanner.integers),
    "domain": values.domain,
    "sharding": values.sharding,
    "frontend_attributes": values.frontend_attributes,
    "backend_config": values.backend_config,
}
# Computations called, by key.
CALLS: dict[str, Callable[[Scanner], tuple[str, ...]]] = {
    **dict.fromkeys(
        ["to_apply", *(k for keys in CALL_KEYS.values() for k in keys)], values.one_name
    ),
    "branch_computations": values.names,
    "called_computations": values.names,
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
