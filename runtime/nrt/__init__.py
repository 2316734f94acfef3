"""The Neuron runtime's interface in Python: the functions of `nrt.h`, by their names.

Where the C functions return a status, these raise NeuronRuntimeError with it.
Source: AWS Neuron documentation, Neuron Runtime API (libnrt 2.0).
"""

from __future__ import annotations

from runtime.nrt.machine import (
    NRT_MAJOR_VERSION,
    NRT_MINOR_VERSION,
    nrt_get_instance_info,
    nrt_get_status_as_str,
    nrt_get_total_nc_count,
    nrt_get_total_vnc_count,
    nrt_get_version,
    nrt_get_visible_nc_count,
    nrt_get_visible_vnc_count,
    nrt_get_vnc_memory_stats,
)
from runtime.nrt.model import (
    nrt_execute,
    nrt_execute_repeat,
    nrt_get_model_info,
    nrt_get_model_instance_count,
    nrt_get_model_nc_count,
    nrt_get_model_tensor_info,
    nrt_get_model_vnc_count,
    nrt_load,
    nrt_unload,
)
from runtime.nrt.state import (
    nrt_close,
    nrt_init,
)
from runtime.nrt.tensor import (
    Tensor,
    TensorSet,
    nrt_add_tensor_to_tensor_set,
    nrt_allocate_tensor_set,
    nrt_destroy_tensor_set,
    nrt_get_tensor_from_tensor_set,
    nrt_tensor_allocate,
    nrt_tensor_allocate_empty,
    nrt_tensor_allocate_slice,
    nrt_tensor_attach_buffer,
    nrt_tensor_copy,
    nrt_tensor_free,
    nrt_tensor_get_size,
    nrt_tensor_get_va,
    nrt_tensor_memset,
    nrt_tensor_read,
    nrt_tensor_read_into,
    nrt_tensor_write,
)
from runtime.nrt.types import (
    DataType,
    Framework,
    InstanceInfo,
    MemoryStats,
    Placement,
    TensorInfo,
)
from runtime.status import NeuronRuntimeError, Status

__all__ = [
    "NRT_MAJOR_VERSION",
    "NRT_MINOR_VERSION",
    "DataType",
    "Framework",
    "InstanceInfo",
    "MemoryStats",
    "NeuronRuntimeError",
    "Placement",
    "Status",
    "Tensor",
    "TensorInfo",
    "TensorSet",
    "nrt_add_tensor_to_tensor_set",
    "nrt_allocate_tensor_set",
    "nrt_close",
    "nrt_destroy_tensor_set",
    "nrt_execute",
    "nrt_execute_repeat",
    "nrt_get_instance_info",
    "nrt_get_model_info",
    "nrt_get_model_instance_count",
    "nrt_get_model_nc_count",
    "nrt_get_model_tensor_info",
    "nrt_get_model_vnc_count",
    "nrt_get_status_as_str",
    "nrt_get_tensor_from_tensor_set",
    "nrt_get_total_nc_count",
    "nrt_get_total_vnc_count",
    "nrt_get_version",
    "nrt_get_visible_nc_count",
    "nrt_get_visible_vnc_count",
    "nrt_get_vnc_memory_stats",
    "nrt_init",
    "nrt_load",
    "nrt_tensor_allocate",
    "nrt_tensor_allocate_empty",
    "nrt_tensor_allocate_slice",
    "nrt_tensor_attach_buffer",
    "nrt_tensor_copy",
    "nrt_tensor_free",
    "nrt_tensor_get_size",
    "nrt_tensor_get_va",
    "nrt_tensor_memset",
    "nrt_tensor_read",
    "nrt_tensor_read_into",
    "nrt_tensor_write",
    "nrt_unload",
]
