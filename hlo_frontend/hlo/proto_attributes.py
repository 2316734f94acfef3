"""Attributes between fields of HloInstructionProto and data, one codec per attribute name."""

from __future__ import annotations

from typing import Any

from hlo_frontend.hlo import proto_codec as codec
from hlo_frontend.hlo import vocabulary as words
from hlo_frontend.hlo.attributes import (
    ConvolutionDimensionNumbers,
    DotDimensionNumbers,
    GatherDimensionNumbers,
    ScatterDimensionNumbers,
    WindowDimension,
)
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.groups import iota_groups
from hlo_frontend.hlo.literal import shortest_float32
from hlo_frontend.hlo.proto_shape import (
    read_literal,
    read_shape,
    write_literal,
    write_shape,
)
from hlo_frontend.hlo.sharding import sharding_bytes
from hlo_frontend.hlo.vocabulary import ATTRIBUTES


def _tuple(*values: Any) -> tuple[Any, ...]:
    return values


def _same(*names: str) -> dict[str, str]:
    return {n: n for n in names}


def _read_window(proto: Any) -> tuple[WindowDimension, ...]:
    return tuple(
        WindowDimension(
            d.size,
            d.stride,
            d.padding_low,
            d.padding_high,
            d.base_dilation,
            d.window_dilation,
            d.window_reversal,
        )
        for d in proto.window.dimensions
    )


def _write_window(proto: Any, value: tuple[WindowDimension, ...]) -> None:
    proto.window.SetInParent()
    for d in value:
        proto.window.dimensions.add(
            size=d.size,
            stride=d.stride,
            padding_low=d.pad_low,
            padding_high=d.pad_high,
            base_dilation=d.base_dilation,
            window_dilation=d.window_dilation,
            window_reversal=d.reversal,
        )


def _read_precision(proto: Any) -> tuple[str, ...]:
    numbers = proto.precision_config.operand_precision
    return tuple(codec.enum_name(words.PRECISIONS, n, "operand_precision") for n in numbers)


def _write_precision(proto: Any, value: tuple[str, ...]) -> None:
    proto.precision_config.operand_precision.extend(map(words.PRECISIONS.index, value))


def _write_target(proto: Any, value: str) -> None:
    """The target, and the version that is meant where none is stated; 0 would be another one."""
    proto.custom_call_target = value
    if not proto.custom_call_api_version:
        proto.custom_call_api_version = words.API_VERSIONS.index("API_VERSION_ORIGINAL")


def _read_pairs(attributes: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((e.key, e.value) for e in attributes.map))


def read_frontend_attributes(proto: Any) -> tuple[tuple[str, str], ...]:
    """The (name, value) pairs of a message's `frontend_attributes`, sorted by name."""
    return _read_pairs(proto.frontend_attributes)


def write_frontend_attributes(proto: Any, pairs: tuple[tuple[str, str], ...]) -> None:
    """Fill a message's `frontend_attributes`."""
    for key, value in pairs:
        proto.frontend_attributes.map.add(key=key, value=value)


def _read_channel(proto: Any) -> int | None:
    channel = proto.channel_id or proto.all_reduce_id
    return channel if channel > 0 else None


def _read_groups(proto: Any) -> tuple[tuple[int, ...], ...]:
    devices = proto.collective_device_list
    if devices.HasField("iota_replica_group_list"):
        return _iota_groups(devices.iota_replica_group_list)
    if proto.HasField("iota_collective_device_list"):
        return _iota_groups(proto.iota_collective_device_list)
    groups = devices.replica_groups or proto.replica_groups
    return tuple(tuple(g.replica_ids) for g in groups)


def _iota_groups(iota: Any) -> tuple[tuple[int, ...], ...]:
    count, size, dims = (
        iota.num_replica_groups,
        iota.num_devices_per_group,
        iota.iota_reshape_dims,
    )
    return iota_groups((count, size), tuple(dims), tuple(iota.iota_transpose_perm))


def _write_groups(proto: Any, value: tuple[tuple[int, ...], ...]) -> None:
    """Both spellings: new readers take the device list, old ones the deprecated field."""
    for group in value:
        proto.replica_groups.add(replica_ids=group)
        proto.collective_device_list.replica_groups.add(replica_ids=group)


def _read_sharding(proto: Any) -> bytes | None:
    return sharding_bytes(proto.sharding) if proto.HasField("sharding") else None


def _write_sharding(proto: Any, value: bytes) -> None:
    proto.sharding.SetInParent()
    proto.sharding.MergeFromString(value)


def _read_domain(proto: Any) -> tuple[bytes, bytes]:
    """The shardings as the text names them, which is the other way round."""
    return sharding_bytes(proto.domain_exit_sharding), sharding_bytes(proto.domain_entry_sharding)


def _write_domain(proto: Any, value: tuple[bytes, bytes]) -> None:
    for field, data in zip(("domain_exit_sharding", "domain_entry_sharding"), value, strict=True):
        getattr(proto, field).SetInParent()
        getattr(proto, field).MergeFromString(data)


def _read_constraints(proto: Any) -> Any:
    if not proto.constrain_layout:
        return None
    return tuple(map(read_shape, proto.operand_shapes_with_layout))


def _write_constraints(proto: Any, value: Any) -> None:
    proto.constrain_layout = True
    for shape in value:
        write_shape(shape, proto.operand_shapes_with_layout.add())


def _read_aliasing(proto: Any) -> Any:
    entries = proto.output_operand_aliasing
    return tuple(
        (tuple(e.output_shape_index), e.operand_index, tuple(e.operand_shape_index))
        for e in entries
    ) or None  # fmt: skip


def _write_aliasing(proto: Any, value: Any) -> None:
    for output, operand, inner in value:
        proto.output_operand_aliasing.add(
            output_shape_index=output, operand_index=operand, operand_shape_index=inner
        )


def _write_literal(proto: Any, value: Any) -> None:
    write_literal(value, proto.literal)


CODECS: dict[str, codec.Codec] = {
    "number": codec.scalar("parameter_number"),
    "literal": codec.Codec(lambda p: read_literal(p.literal), _write_literal),
    # XLA has no field of its own for iota: its dimension is the only one of `dimensions`.
    "iota_dimension": codec.Codec(
        lambda p: _only(p.dimensions), lambda p, v: p.dimensions.append(v)
    ),
    "dimensions": codec.ints("dimensions"),
    "is_stable": codec.scalar("is_stable"),
    "slice": codec.records("slice_dimensions", ("start", "limit", "stride"), _tuple),
    "dynamic_slice_sizes": codec.ints("dynamic_slice_sizes"),
    "padding": codec.within(
        "padding_config",
        codec.records(
            "dimensions",
            ("edge_padding_low", "edge_padding_high", "interior_padding"),
            _tuple,
        ),
    ),
    "dot_dimension_numbers": codec.message(
        "dot_dimension_numbers",
        DotDimensionNumbers,
        {
            "lhs_contracting": "lhs_contracting_dimensions",
            "rhs_contracting": "rhs_contracting_dimensions",
            "lhs_batch": "lhs_batch_dimensions",
            "rhs_batch": "rhs_batch_dimensions",
        },
    ),
    "operand_precision": codec.Codec(_read_precision, _write_precision),
    "window": codec.Codec(_read_window, _write_window),
    "dim_labels": codec.message(
        "convolution_dimension_numbers",
        ConvolutionDimensionNumbers,
        {
            "input_batch": "input_batch_dimension",
            "input_feature": "input_feature_dimension",
            "input_spatial": "input_spatial_dimensions",
            "kernel_input_feature": "kernel_input_feature_dimension",
            "kernel_output_feature": "kernel_output_feature_dimension",
            "kernel_spatial": "kernel_spatial_dimensions",
            "output_batch": "output_batch_dimension",
            "output_feature": "output_feature_dimension",
            "output_spatial": "output_spatial_dimensions",
        },
    ),
    "feature_group_count": codec.at_least_one("feature_group_count"),
    "batch_group_count": codec.at_least_one("batch_group_count"),
    "gather_dimension_numbers": codec.message(
        "gather_dimension_numbers",
        GatherDimensionNumbers,
        _same(
            "offset_dims",
            "collapsed_slice_dims",
            "start_index_map",
            "index_vector_dim",
            "operand_batching_dims",
            "start_indices_batching_dims",
        ),
    ),
    "slice_sizes": codec.ints("gather_slice_sizes"),
    "scatter_dimension_numbers": codec.message(
        "scatter_dimension_numbers",
        ScatterDimensionNumbers,
        _same(
            "update_window_dims",
            "inserted_window_dims",
            "scatter_dims_to_operand_dims",
            "index_vector_dim",
            "input_batching_dims",
            "scatter_indices_batching_dims",
        ),
    ),
    "indices_are_sorted": codec.scalar("indices_are_sorted"),
    "unique_indices": codec.scalar("unique_indices"),
    "direction": codec.scalar("comparison_direction"),
    "type": codec.present("comparison_type"),
    "exponent_bits": codec.scalar("exponent_bits"),
    "mantissa_bits": codec.scalar("mantissa_bits"),
    "index": codec.scalar("tuple_index"),
    "epsilon": codec.Codec(
        lambda p: shortest_float32(p.epsilon), lambda p, v: setattr(p, "epsilon", v)
    ),
    "feature_index": codec.scalar("feature_index"),
    "distribution": codec.enum("distribution", words.DISTRIBUTIONS),
    "algorithm": codec.enum("rng_algorithm", words.RANDOM_ALGORITHMS),
    "delta": codec.scalar("delta"),
    "fft_type": codec.enum("fft_type", words.FFT_TYPES),
    "fft_length": codec.ints("fft_length"),
    "left_side": codec.within("triangular_solve_options", codec.scalar("left_side")),
    "lower": codec.within("triangular_solve_options", codec.scalar("lower")),
    "unit_diagonal": codec.within("triangular_solve_options", codec.scalar("unit_diagonal")),
    "transpose_a": codec.within(
        "triangular_solve_options", codec.enum("transpose_a", words.TRANSPOSES)
    ),
    "k": codec.scalar("k"),
    "largest": codec.scalar("largest"),
    "kind": codec.scalar("fusion_kind"),
    "custom_call_target": codec.Codec(lambda p: p.custom_call_target, _write_target),
    "custom_call_has_side_effect": codec.present("custom_call_has_side_effect"),
    "api_version": codec.optional_enum("custom_call_api_version", words.API_VERSIONS),
    "schedule": codec.enum("custom_call_schedule", words.SCHEDULES),
    "operand_layout_constraints": codec.Codec(_read_constraints, _write_constraints),
    "output_to_operand_aliasing": codec.Codec(_read_aliasing, _write_aliasing),
    "is_composite": codec.present("is_composite"),
    "replica_groups": codec.Codec(_read_groups, _write_groups),
    "channel_id": codec.Codec(_read_channel, lambda p, v: setattr(p, "channel_id", v)),
    "use_global_device_ids": codec.present("use_global_device_ids"),
    "source_target_pairs": codec.records("source_target_pairs", ("source", "target"), _tuple),
    "domain": codec.Codec(_read_domain, _write_domain),
    "sharding": codec.Codec(_read_sharding, _write_sharding),
    "frontend_attributes": codec.Codec(
        lambda p: read_frontend_attributes(p) or None, write_frontend_attributes
    ),
    "backend_config": codec.present("backend_config"),
}
# Opcodes that keep an attribute of that name elsewhere.
OVERRIDES: dict[tuple[str, str], codec.Codec] = {
    ("dot", "algorithm"): codec.within(
        "precision_config", codec.optional_enum("algorithm", words.DOT_ALGORITHMS)
    ),
    ("cholesky", "lower"): codec.within("cholesky_options", codec.scalar("lower")),
    ("all-to-all", "dimensions"): codec.Codec(
        lambda p: tuple(p.dimensions) or None, lambda p, v: p.dimensions.extend(v)
    ),
}
assert CODECS.keys() == ATTRIBUTES.keys()


def _only(values: Any) -> int:
    if len(values) != 1:
        raise HloError(f"hlo proto: iota must name one dimension, got {list(values)}")
    return values[0]
