"""Attributes between fields of HloInstructionProto and data, one codec per attribute name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

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
from hlo_frontend.hlo.schema import MESSAGES
from hlo_frontend.hlo.sharding import sharding_bytes
from hlo_frontend.hlo.vocabulary import ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Codec:
    """`read` takes the attribute from an instruction message, None if absent; `write` puts it."""

    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


def _scalar(field: str) -> Codec:
    return Codec(lambda p: getattr(p, field), lambda p, v: setattr(p, field, v))


def _present(field: str) -> Codec:
    """A scalar whose proto default means absent."""
    return Codec(lambda p: getattr(p, field) or None, lambda p, v: setattr(p, field, v))


def _at_least_one(field: str) -> Codec:
    """A count that older writers leave at 0 when they mean 1."""
    return Codec(lambda p: getattr(p, field) or 1, lambda p, v: setattr(p, field, v))


def _ints(field: str) -> Codec:
    return Codec(lambda p: tuple(getattr(p, field)), lambda p, v: getattr(p, field).extend(v))


def _within(message: str, codec: Codec) -> Codec:
    """The codec of a field of a sub-message, which is marked present even when all is default."""

    def write(proto: Any, value: Any) -> None:
        inner = getattr(proto, message)
        inner.SetInParent()
        codec.write(inner, value)

    return Codec(lambda p: codec.read(getattr(p, message)), write)


def enum_name(names: tuple[str, ...], number: int, what: str) -> str:
    """The name of an enumeration's number; HloError if it has none."""
    if not 0 <= number < len(names) or not names[number]:
        known = ", ".join(f"{i} ({n})" for i, n in enumerate(names) if n)
        raise HloError(f"hlo proto: {what} must be one of {known}, got {number}")
    return names[number]


def _enum(field: str, names: tuple[str, ...]) -> Codec:
    return Codec(
        lambda p: enum_name(names, getattr(p, field), field),
        lambda p, v: setattr(p, field, names.index(v)),
    )


def _optional_enum(field: str, names: tuple[str, ...]) -> Codec:
    """An enumeration whose number 0 means absent."""
    named = _enum(field, names)
    return Codec(lambda p: named.read(p) if getattr(p, field) else None, named.write)


def _records(field: str, names: tuple[str, ...], make: Callable[..., Any]) -> Codec:
    """A repeated message of scalars; the values `make` builds iterate in the order of `names`."""

    def write(proto: Any, values: Iterable[Iterable[Any]]) -> None:
        for value in values:
            getattr(proto, field).add(**dict(zip(names, value, strict=True)))

    def read(proto: Any) -> tuple[Any, ...]:
        return tuple(make(*(getattr(r, n) for n in names)) for r in getattr(proto, field))

    return Codec(read, write)


def _tuple(*values: Any) -> tuple[Any, ...]:
    return values


def _message(field: str, cls: type, names: dict[str, str]) -> Codec:
    """A sub-message as a dataclass; `names` maps a field of the class to one of the message."""
    descriptor = MESSAGES["HloInstructionProto"].DESCRIPTOR.fields_by_name[field].message_type
    pairs = [(ours, theirs, descriptor.fields_by_name[theirs]) for ours, theirs in names.items()]
    many = {theirs for _, theirs, f in pairs if f.is_repeated}

    def read(proto: Any) -> Any:
        m = getattr(proto, field)
        return cls(
            **{o: tuple(getattr(m, t)) if t in many else getattr(m, t) for o, t in names.items()}
        )

    def write(proto: Any, value: Any) -> None:
        m = getattr(proto, field)
        m.SetInParent()
        for ours, theirs in names.items():
            if theirs in many:
                getattr(m, theirs).extend(getattr(value, ours))
            else:
                setattr(m, theirs, getattr(value, ours))

    return Codec(read, write)


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
    return tuple(enum_name(words.PRECISIONS, n, "operand_precision") for n in numbers)


def _write_precision(proto: Any, value: tuple[str, ...]) -> None:
    proto.precision_config.operand_precision.extend(map(words.PRECISIONS.index, value))


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


CODECS: dict[str, Codec] = {
    "number": _scalar("parameter_number"),
    "literal": Codec(lambda p: read_literal(p.literal), _write_literal),
    # XLA has no field of its own for iota: its dimension is the only one of `dimensions`.
    "iota_dimension": Codec(lambda p: _only(p.dimensions), lambda p, v: p.dimensions.append(v)),
    "dimensions": _ints("dimensions"),
    "is_stable": _scalar("is_stable"),
    "slice": _records("slice_dimensions", ("start", "limit", "stride"), _tuple),
    "dynamic_slice_sizes": _ints("dynamic_slice_sizes"),
    "padding": _within(
        "padding_config",
        _records(
            "dimensions",
            ("edge_padding_low", "edge_padding_high", "interior_padding"),
            _tuple,
        ),
    ),
    "dot_dimension_numbers": _message(
        "dot_dimension_numbers",
        DotDimensionNumbers,
        {
            "lhs_contracting": "lhs_contracting_dimensions",
            "rhs_contracting": "rhs_contracting_dimensions",
            "lhs_batch": "lhs_batch_dimensions",
            "rhs_batch": "rhs_batch_dimensions",
        },
    ),
    "operand_precision": Codec(_read_precision, _write_precision),
    "window": Codec(_read_window, _write_window),
    "dim_labels": _message(
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
    "feature_group_count": _at_least_one("feature_group_count"),
    "batch_group_count": _at_least_one("batch_group_count"),
    "gather_dimension_numbers": _message(
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
    "slice_sizes": _ints("gather_slice_sizes"),
    "scatter_dimension_numbers": _message(
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
    "indices_are_sorted": _scalar("indices_are_sorted"),
    "unique_indices": _scalar("unique_indices"),
    "direction": _scalar("comparison_direction"),
    "type": _present("comparison_type"),
    "exponent_bits": _scalar("exponent_bits"),
    "mantissa_bits": _scalar("mantissa_bits"),
    "index": _scalar("tuple_index"),
    "epsilon": Codec(lambda p: shortest_float32(p.epsilon), lambda p, v: setattr(p, "epsilon", v)),
    "feature_index": _scalar("feature_index"),
    "distribution": _enum("distribution", words.DISTRIBUTIONS),
    "algorithm": _enum("rng_algorithm", words.RANDOM_ALGORITHMS),
    "delta": _scalar("delta"),
    "fft_type": _enum("fft_type", words.FFT_TYPES),
    "fft_length": _ints("fft_length"),
    "left_side": _within("triangular_solve_options", _scalar("left_side")),
    "lower": _within("triangular_solve_options", _scalar("lower")),
    "unit_diagonal": _within("triangular_solve_options", _scalar("unit_diagonal")),
    "transpose_a": _within("triangular_solve_options", _enum("transpose_a", words.TRANSPOSES)),
    "k": _scalar("k"),
    "largest": _scalar("largest"),
    "kind": _scalar("fusion_kind"),
    "custom_call_target": _scalar("custom_call_target"),
    "custom_call_has_side_effect": _present("custom_call_has_side_effect"),
    "api_version": _optional_enum("custom_call_api_version", words.API_VERSIONS),
    "schedule": _enum("custom_call_schedule", words.SCHEDULES),
    "operand_layout_constraints": Codec(_read_constraints, _write_constraints),
    "output_to_operand_aliasing": Codec(_read_aliasing, _write_aliasing),
    "is_composite": _present("is_composite"),
    "replica_groups": Codec(_read_groups, _write_groups),
    "channel_id": Codec(_read_channel, lambda p, v: setattr(p, "channel_id", v)),
    "use_global_device_ids": _present("use_global_device_ids"),
    "source_target_pairs": _records("source_target_pairs", ("source", "target"), _tuple),
    "domain": Codec(_read_domain, _write_domain),
    "sharding": Codec(_read_sharding, _write_sharding),
    "frontend_attributes": Codec(
        lambda p: read_frontend_attributes(p) or None, write_frontend_attributes
    ),
    "backend_config": _present("backend_config"),
}
# Opcodes that keep an attribute of that name elsewhere.
OVERRIDES: dict[tuple[str, str], Codec] = {
    ("dot", "algorithm"): _within(
        "precision_config", _optional_enum("algorithm", words.DOT_ALGORITHMS)
    ),
    ("cholesky", "lower"): _within("cholesky_options", _scalar("lower")),
    ("all-to-all", "dimensions"): Codec(
        lambda p: tuple(p.dimensions) or None, lambda p, v: p.dimensions.extend(v)
    ),
}
assert CODECS.keys() == ATTRIBUTES.keys()


def _only(values: Any) -> int:
    if len(values) != 1:
        raise HloError(f"hlo proto: iota must name one dimension, got {list(values)}")
    return values[0]
