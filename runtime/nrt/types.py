"""The enumerations and records of `nrt.h`, as Python has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Framework(IntEnum):
    """nrt_framework_type_t."""

    INVALID = 0
    NO_FW = 1
    TENSORFLOW = 2
    PYTORCH = 3
    MXNET = 4
    PRECHECK = 5


class Placement(IntEnum):
    """nrt_tensor_placement_t."""

    DEVICE = 0
    HOST = 1
    VIRTUAL = 2


class DataType(IntEnum):
    """nrt_dtype_t, as nrt.h has it."""

    UNKNOWN = 0
    UINT64 = 1
    INT8 = 2
    UINT8 = 3
    INT16 = 4
    UINT16 = 5
    BFLOAT16 = 6
    FLOAT16 = 7
    INT32 = 8
    UINT32 = 9
    FLOAT32 = 0xA
    FP32R = 0xB
    INT64 = 0xC
    FP8_E3 = 0xD
    FP8_E4 = 0xE
    FP8_E5 = 0xF


# By torch's name of a type; what nrt.h has no name for is unknown.
DATA_TYPES = {
    **{t: DataType[t.upper()] for t in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    **{t: DataType[t.upper()] for t in ("int64", "uint64", "bfloat16", "float16", "float32")},
    "bool": DataType.UINT8,  # as the runtime reports it
    "float8_e4m3fn": DataType.INT8,
    "float8_e5m2": DataType.INT8,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """nrt_tensor_info_t: an input (`usage` 0) or output (1) of a model, its size in bytes."""

    name: str
    usage: int
    size: int
    dtype: DataType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """nrt_vnc_memory_stats_t, in bytes."""

    bytes_used: int
    bytes_limit: int


# nrt_instance_info_t numbers: families as published. Of the sizes only the order is published:
# they are counted from 0 here. What the emulator alone names has no number.
UNNUMBERED = 0xFFFF
FAMILIES = {"inf1": 1, "trn1": 2, "trn1n": 3, "inf2": 4, "trn2": 5, "trn2u": 9, "trn3": 14}
_ORDER = ("", "2", "4", "6", "8", "24", "32", "48", "3")
SIZES = {
    **{f"{prefix}xlarge": number for number, prefix in enumerate(_ORDER)},
    **dict.fromkeys(("ultraserver", "ultraserver-gen1", "ultraserver-gen2"), UNNUMBERED),
}


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """nrt_instance_info_t. The texts are the emulator's own: AWS does not publish their values."""

    family: int
    size: int
    arch_name: str  # at most 15 bytes
    device_revision: str  # at most 7 bytes
