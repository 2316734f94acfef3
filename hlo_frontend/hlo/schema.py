"""The part of XLA's protobuf schema we read and write, as a table turned into message classes.

Field numbers are those published in `xla/xla_data.proto` and `xla/service/hlo.proto`. The classes
live in a descriptor pool of their own, so a TensorFlow in the same process keeps its own `xla.*`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# One message per key; one field per line: `[repeated|optional] type name number`.
# Wire equivalents stand for three published types: enumerations are int32; a `map` is its repeated
# key/value message; and packed fixed-width or one-byte numbers (preds, f32s, f64s, c64s, c128s) are
# `repeated bytes`, one chunk per packed record, so that constants are read without a Python loop.
_MESSAGES = {
    "TileProto": "repeated int64 dimensions 1",
    "LayoutProto": """
        repeated int64 minor_to_major 1
        repeated TileProto tiles 6
        int64 memory_space 8
    """,
    "ShapeProto": """
        int32 element_type 2
        repeated int64 dimensions 3
        repeated bool is_dynamic_dimension 6
        repeated ShapeProto tuple_shapes 4
        LayoutProto layout 5
    """,
    "ProgramShapeProto": """
        repeated ShapeProto parameters 1
        ShapeProto result 2
        repeated string parameter_names 3
    """,
    "LiteralProto": """
        ShapeProto shape 1
        repeated bytes preds 2
        bytes u8s 3
        repeated int32 s32s 4
        repeated int64 s64s 5
        repeated uint32 u32s 6
        repeated uint64 u64s 7
        repeated bytes f32s 8
        repeated bytes f64s 9
        repeated LiteralProto tuple_literals 10
        bytes f16s 11
        repeated bytes c64s 12
        bytes bf16s 13
        bytes s8s 15
        bytes u16s 16
        bytes s16s 17
        repeated bytes c128s 18
        bytes f8e5m2s 19
        bytes f8e4m3fns 20
        bytes s4s 21
        bytes u4s 22
        bytes s2s 26
        bytes u2s 27
        bytes f8e4m3s 28
        bytes f8e3m4s 29
        bytes f8e4m3b11fnuzs 23
        bytes f8e5m2fnuzs 24
        bytes f8e4m3fnuzs 25
        bytes f4e2m1fns 32
        bytes f8e8m0fnus 33
    """,
    "OpMetadata": """
        string op_type 1
        string op_name 2
        string source_file 3
        int32 source_line 4
        int32 stack_frame_id 15
    """,
    "PaddingConfigDimension": """
        int64 edge_padding_low 1
        int64 edge_padding_high 2
        int64 interior_padding 3
    """,
    "PaddingConfig": "repeated PaddingConfigDimension dimensions 1",
    "WindowDimension": """
        int64 size 1
        int64 stride 2
        int64 padding_low 3
        int64 padding_high 4
        int64 window_dilation 5
        int64 base_dilation 6
        bool window_reversal 7
    """,
    "Window": "repeated WindowDimension dimensions 1",
    "GatherDimensionNumbers": """
        repeated int64 offset_dims 1
        repeated int64 collapsed_slice_dims 2
        repeated int64 start_index_map 3
        int64 index_vector_dim 4
        repeated int64 operand_batching_dims 5
        repeated int64 start_indices_batching_dims 6
    """,
    "ScatterDimensionNumbers": """
        repeated int64 update_window_dims 1
        repeated int64 inserted_window_dims 2
        repeated int64 scatter_dims_to_operand_dims 3
        int64 index_vector_dim 4
        repeated int64 input_batching_dims 5
        repeated int64 scatter_indices_batching_dims 6
    """,
    "ConvolutionDimensionNumbers": """
        int64 kernel_input_feature_dimension 3
        int64 kernel_output_feature_dimension 4
        repeated int64 kernel_spatial_dimensions 6
        int64 input_batch_dimension 7
        int64 input_feature_dimension 8
        int64 output_batch_dimension 9
        int64 output_feature_dimension 10
        repeated int64 input_spatial_dimensions 11
        repeated int64 output_spatial_dimensions 12
    """,
    "DotDimensionNumbers": """
        repeated int64 lhs_contracting_dimensions 1
        repeated int64 rhs_contracting_dimensions 2
        repeated int64 lhs_batch_dimensions 3
        repeated int64 rhs_batch_dimensions 4
    """,
    "TriangularSolveOptions": """
        bool left_side 1
        bool lower 2
        bool unit_diagonal 3
        int32 transpose_a 4
    """,
    "CholeskyOptions": "bool lower 1",
    "PrecisionConfig": """
        repeated int32 operand_precision 1
        int32 algorithm 2
    """,
    "MapEntry": """
        string key 1
        string value 2
    """,
    "FrontendAttributes": "repeated MapEntry map 1",
    "OpSharding": """
        int32 type 1
        repeated int64 tile_assignment_dimensions 3
        repeated int64 tile_assignment_devices 4
        repeated OpSharding tuple_shardings 5
        bool replicate_on_last_tile_dim 6
        repeated int32 last_tile_dims 8
        repeated int64 iota_reshape_dims 9
        repeated int32 iota_transpose_perm 10
    """,
    "ReplicaGroup": "repeated int64 replica_ids 1",
    "IotaReplicaGroupListProto": """
        int64 num_replica_groups 1
        int64 num_devices_per_group 2
        repeated int64 iota_reshape_dims 3
        repeated int32 iota_transpose_perm 4
    """,
    "CollectiveDeviceListProto": """
        repeated ReplicaGroup replica_groups 1
        IotaReplicaGroupListProto iota_replica_group_list 2
    """,
    "SourceTarget": """
        int64 source 1
        int64 target 2
    """,
    "OutputOperandAliasing": """
        repeated int64 output_shape_index 1
        int64 operand_index 2
        repeated int64 operand_shape_index 3
    """,
    "SliceDimensions": """
        int64 start 1
        int64 limit 2
        int64 stride 3
    """,
    "HloInstructionProto": """
        string name 1
        string opcode 2
        ShapeProto shape 3
        OpMetadata metadata 7
        LiteralProto literal 8
        int64 parameter_number 9
        string fusion_kind 11
        int64 tuple_index 13
        repeated int64 dimensions 14
        Window window 15
        ConvolutionDimensionNumbers convolution_dimension_numbers 16
        repeated SliceDimensions slice_dimensions 17
        int32 exponent_bits 18
        int32 mantissa_bits 19
        repeated int64 dynamic_slice_sizes 20
        PaddingConfig padding_config 21
        int32 distribution 23
        float epsilon 24
        int64 feature_index 25
        int64 channel_id 26
        string custom_call_target 28
        DotDimensionNumbers dot_dimension_numbers 30
        int32 fft_type 31
        repeated int64 fft_length 32
        GatherDimensionNumbers gather_dimension_numbers 33
        repeated int64 gather_slice_sizes 34
        int64 id 35
        repeated int64 operand_ids 36
        repeated int64 control_predecessor_ids 37
        repeated int64 called_computation_ids 38
        OpSharding sharding 40
        bytes backend_config 43
        int64 all_reduce_id 45
        ScatterDimensionNumbers scatter_dimension_numbers 48
        repeated ReplicaGroup replica_groups 49
        int64 feature_group_count 50
        PrecisionConfig precision_config 51
        repeated SourceTarget source_target_pairs 52
        OpSharding domain_entry_sharding 54
        OpSharding domain_exit_sharding 55
        bool constrain_layout 56
        repeated ShapeProto operand_shapes_with_layout 57
        int64 batch_group_count 58
        TriangularSolveOptions triangular_solve_options 59
        bool is_stable 60
        CholeskyOptions cholesky_options 62
        string comparison_direction 63
        bool custom_call_has_side_effect 65
        int64 delta 66
        bool indices_are_sorted 67
        FrontendAttributes frontend_attributes 68
        bool unique_indices 69
        int32 rng_algorithm 70
        bool use_global_device_ids 71
        string comparison_type 72
        repeated OutputOperandAliasing output_operand_aliasing 74
        int32 custom_call_schedule 76
        int32 custom_call_api_version 77
        int64 k 81
        bool largest 85
        CollectiveDeviceListProto collective_device_list 87
        bool is_composite 89
        IotaReplicaGroupListProto iota_collective_device_list 92
    """,
    "HloComputationProto": """
        string name 1
        repeated HloInstructionProto instructions 2
        ProgramShapeProto program_shape 4
        int64 id 5
        int64 root_id 6
        bool is_fusion_computation 7
    """,
    "AliasEntryProto": """
        repeated int64 output_shape_index 1
        int64 parameter_number 2
        repeated int64 parameter_shape_index 3
        int32 kind 4
    """,
    "HloInputOutputAliasProto": "repeated AliasEntryProto entries 1",
    "FileLocation": """
        int32 file_name_id 1
        int32 function_name_id 2
        int32 line 3
        int32 column 4
    """,
    "StackFrame": """
        int32 file_location_id 1
        int32 parent_frame_id 2
    """,
    "StackFrameIndexProto": """
        repeated string file_names 1
        repeated string function_names 2
        repeated FileLocation file_locations 3
        repeated StackFrame stack_frames 4
    """,
    "HloModuleProto": """
        string name 1
        string entry_computation_name 2
        repeated HloComputationProto computations 3
        ProgramShapeProto host_program_shape 4
        int64 id 5
        int64 entry_computation_id 6
        HloInputOutputAliasProto input_output_alias 8
        bool is_dynamic 11
        StackFrameIndexProto stack_frame_index 17
        FrontendAttributes frontend_attributes 19
    """,
    "HloProto": "HloModuleProto hlo_module 1",
}

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
    "float": _FIELD.TYPE_FLOAT,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
}
_PACKAGE = "hlo_frontend.xla"


def _field(line: str) -> descriptor_pb2.FieldDescriptorProto:
    *label, kind, name, number = line.split()
    field = _FIELD(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if label else _FIELD.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    return field


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="hlo_frontend/xla.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, lines in _MESSAGES.items():
        fields = (_field(line) for line in lines.strip().splitlines())
        file.message_type.add(name=name).field.extend(fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


# Message class per message name, e.g. `MESSAGES["HloModuleProto"]`.
MESSAGES: dict[str, Any] = _classes()
