"""The Neuron runtime's interface in Python: the functions of `nrt.h`, by their names.

Where the C functions return a status, these raise NeuronRuntimeError with it.
Source: AWS Neuron documentation, Neuron Runtime API (libnrt 2.0).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from runtime import core, placement
from runtime.core import NeuronCore, machine, refuse_child
from runtime.hardware import INSTANCES
from runtime.model import Model, load, unload_all
from runtime.settings import setting
from runtime.status import NeuronRuntimeError, Status
from runtime.version import RUNTIME_VERSION
from runtime.visible import request

NRT_MAJOR_VERSION, NRT_MINOR_VERSION = (int(part) for part in RUNTIME_VERSION.split(".")[:2])
Bytes = bytes | bytearray | memoryview | np.ndarray


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
_DATA_TYPES = {
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


_closed = False


def nrt_init(
    framework: Framework = Framework.NO_FW, fw_version: str = "", fal_version: str = ""
) -> None:
    """Take this process's NeuronCores, as the environment says. Loading a model does so too."""
    global _closed
    if framework == Framework.INVALID:
        raise NeuronRuntimeError("nrt_init", Status.NRT_INVALID, "framework must be a known one")
    machine()
    _closed = False


def nrt_close() -> None:
    """Unload every model and give the NeuronCores back. A later nrt_init starts anew."""
    global _closed
    refuse_child("nrt_close")
    unload_all()
    core.close()
    _closed = True


def _cores(call: str) -> Sequence[NeuronCore]:
    refuse_child(call)
    if not core.initialized():
        raise NeuronRuntimeError(
            call, Status.NRT_CLOSED if _closed else Status.NRT_UNINITIALIZED, "call nrt_init first"
        )
    return machine().cores


def _core(call: str, vnc: int) -> NeuronCore:
    cores = _cores(call)
    if not 0 <= vnc < len(cores):
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, f"Could not find VNC id {vnc} (0 to {len(cores) - 1})"
        )
    return cores[vnc]


def nrt_load(neff: Bytes, vnc: int = -1, vnc_count: int = -1) -> Model:
    """Load a NEFF's bytes on `vnc_count` cores from `vnc` on; -1 is the least used, -1 is one."""
    _cores("nrt_load")
    try:
        cores = placement.cores(vnc, vnc_count)
    except ValueError as error:
        raise NeuronRuntimeError("nrt_load", Status.NRT_LOAD_NOT_ENOUGH_NC, str(error)) from error
    return load(memoryview(neff), cores)


def nrt_unload(model: Model) -> None:
    _known("nrt_unload", model).unload()


def _known(call: str, model: Model) -> Model:
    _cores(call)
    if not model.cores:
        raise NeuronRuntimeError(call, Status.NRT_INVALID_HANDLE, f"model {model.name}")
    return model


class Storage:
    """Memory that tensors refer to: on a core's account until the last of them is gone."""

    def __init__(self, data: np.ndarray, owner: NeuronCore | None) -> None:
        self.data = data
        if owner is not None:
            owner.add_tensor(data.size)
            weakref.finalize(self, owner.memory.remove_tensor, data.size)


class Tensor:
    """nrt_tensor_t: bytes with a name. `data` is a flat view of them as uint8."""

    def __init__(self, name: str, placement: Placement, core: NeuronCore | None) -> None:
        self.name, self.placement, self.core = name, placement, core
        self._storage: Storage | None = None
        self._window = slice(0, 0)

    @property
    def data(self) -> np.ndarray:
        if self._storage is None:
            raise NeuronRuntimeError(
                "nrt_tensor", Status.NRT_INVALID_HANDLE, f"tensor {self.name!r} has no memory"
            )
        return self._storage.data[self._window]

    def refer(self, storage: Storage | None, first: int, size: int) -> None:
        """Stand for some bytes of a storage from now on."""
        self._storage, self._window = storage, slice(first, first + size)

    def part(self, call: str, offset: int, size: int) -> np.ndarray:
        """Some of its bytes. Raises NeuronRuntimeError where they are not inside it."""
        if offset < 0 or size < 0 or offset + size > self.data.size:
            raise NeuronRuntimeError(
                call,
                Status.NRT_INVALID,
                f"tensor {self.name!r} has {self.data.size} bytes, got offset {offset}, size {size}",
            )
        return self.data[offset : offset + size]

    def slice(self, offset: int, size: int, name: str) -> Tensor:
        """A tensor that shares some of its bytes."""
        self.part("nrt_tensor_allocate_slice", offset, size)
        made = Tensor(name, self.placement, self.core)
        made.refer(self._storage, self._window.start + offset, size)
        return made


def nrt_tensor_allocate(placement: Placement, vnc: int, size: int, name: str = "") -> Tensor:
    """A tensor of `size` bytes, all zero; on a device it counts against the core's memory."""
    owner = None
    if placement == Placement.DEVICE:
        owner = _core("nrt_tensor_allocate", vnc)
    else:
        _cores("nrt_tensor_allocate")
    if size < 1:
        raise NeuronRuntimeError("nrt_tensor_allocate", Status.NRT_INVALID, f"size {size}")
    if owner is not None and size > owner.memory.limit:  # before the host's memory is taken
        owner.add_tensor(size)
    made = Tensor(name, placement, owner)
    made.refer(Storage(np.zeros(size, np.uint8), owner), 0, size)
    return made


def nrt_tensor_allocate_empty(name: str = "") -> Tensor:
    """A tensor without memory, until a buffer is attached."""
    _cores("nrt_tensor_allocate_empty")
    return Tensor(name, Placement.VIRTUAL, None)


def nrt_tensor_attach_buffer(tensor: Tensor, buffer: Bytes) -> None:
    """Stand for the caller's memory, which is written to where it can be."""
    data = np.frombuffer(buffer, np.uint8)
    tensor.placement = Placement.VIRTUAL
    tensor.refer(Storage(data, None), 0, data.size)


def nrt_tensor_allocate_slice(tensor: Tensor, offset: int, size: int, name: str = "") -> Tensor:
    return tensor.slice(offset, size, name)


def nrt_tensor_free(tensor: Tensor) -> None:
    """Let go of the memory; tensors that share it keep it."""
    tensor.refer(None, 0, 0)


def nrt_tensor_read(tensor: Tensor, offset: int = 0, size: int = -1) -> bytes:
    """Its bytes from `offset` on, all by default."""
    count = tensor.data.size - offset if size < 0 else size
    return tensor.part("nrt_tensor_read", offset, count).tobytes()


def nrt_tensor_write(tensor: Tensor, data: Bytes, offset: int = 0) -> None:
    given = np.frombuffer(np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data, "u1")
    tensor.part("nrt_tensor_write", offset, given.size)[:] = given


def nrt_tensor_copy(
    source: Tensor, source_offset: int, target: Tensor, target_offset: int, size: int
) -> None:
    """Copy between tensors; two on devices must be on the same core."""
    if source.core is not None and target.core is not None and source.core is not target.core:
        raise NeuronRuntimeError(
            "nrt_tensor_copy", Status.NRT_INVALID, "the tensors are on different NeuronCores"
        )
    taken = source.part("nrt_tensor_copy", source_offset, size)
    target.part("nrt_tensor_copy", target_offset, size)[:] = taken


def nrt_tensor_memset(tensor: Tensor, offset: int, value: int, size: int) -> None:
    tensor.part("nrt_tensor_memset", offset, size)[:] = value & 0xFF


def nrt_tensor_get_size(tensor: Tensor) -> int:
    return int(tensor.data.size)


class TensorSet(dict[str, Tensor]):
    """nrt_tensor_set_t: tensors by the names a model gives them."""


def nrt_allocate_tensor_set() -> TensorSet:
    _cores("nrt_allocate_tensor_set")
    return TensorSet()


def nrt_add_tensor_to_tensor_set(tensors: TensorSet, name: str, tensor: Tensor) -> None:
    tensors[name] = tensor


def nrt_get_tensor_from_tensor_set(tensors: TensorSet, name: str) -> Tensor:
    if name not in tensors:
        raise NeuronRuntimeError(
            "nrt_get_tensor_from_tensor_set", Status.NRT_FAILURE, f"no tensor {name!r}"
        )
    return tensors[name]


def nrt_execute(model: Model, inputs: TensorSet, outputs: TensorSet) -> None:
    """Run once. Raises with NRT_INVALID for a tensor that is missing or of the wrong size."""
    _known("nrt_execute", model)
    info = nrt_get_model_tensor_info(model)
    given = [_matching(model, i, inputs).data for i in info if not i.usage]
    targets = [_matching(model, i, outputs).data for i in info if i.usage]
    for target, made in zip(targets, model.execute([g.data for g in given]), strict=True):
        target[:] = made


def nrt_execute_repeat(model: Model, inputs: TensorSet, outputs: TensorSet, count: int) -> None:
    """Run `count` times; each output is the input of the same place in the next run."""
    if len(model.inputs) != len(model.outputs):
        raise NeuronRuntimeError(
            "nrt_execute_repeat", Status.NRT_INVALID, "the model must have an output for each input"
        )
    for turn in range(count):
        if turn:
            for given, made in zip(model.inputs, model.outputs, strict=True):
                inputs[given[0]].data[:] = outputs[made[0]].data
        nrt_execute(model, inputs, outputs)


def _matching(model: Model, info: TensorInfo, tensors: TensorSet) -> Tensor:
    """The tensor of a set for an input or output, of just its size."""
    kind = "output" if info.usage else "input"
    if info.name not in tensors:
        raise NeuronRuntimeError(
            "nrt_execute",
            Status.NRT_INVALID,
            f"model {model.name} has the {kind} {info.name!r}, the tensor set has "
            f"{sorted(tensors)}",
        )
    tensor = tensors[info.name]
    if tensor.data.size != info.size:
        raise NeuronRuntimeError(
            "nrt_execute",
            Status.NRT_INVALID,
            f"{kind} {info.name!r} of model {model.name} has {info.size} bytes, the tensor has "
            f"{tensor.data.size}",
        )
    return tensor


def nrt_get_model_tensor_info(model: Model) -> tuple[TensorInfo, ...]:
    """The inputs of a model, then its outputs. A scalar has the shape [1]."""
    found = []
    for usage, specs, shapes in (
        (0, model.inputs, model.input_shapes),
        (1, model.outputs, model.output_shapes),
    ):
        for (name, dtype, dims), shape in zip(specs, shapes, strict=True):
            kind = _DATA_TYPES.get(dtype, DataType.UNKNOWN)
            found.append(TensorInfo(name, usage, shape.bytes, kind, dims or (1,)))
    return tuple(found)


def nrt_get_model_instance_count(model: Model) -> int:
    """On how many cores a model is."""
    return len(_known("nrt_get_model_instance_count", model).cores)


def nrt_get_model_info(model: Model) -> int:
    """The first core of a model."""
    return _known("nrt_get_model_info", model).cores[0]


def nrt_get_total_nc_count() -> int:
    """The NeuronCores of the machine; may be asked before nrt_init."""
    return INSTANCES[setting("NEURON_EMULATOR_INSTANCE_TYPE")].cores


def nrt_get_visible_nc_count() -> int:
    """The NeuronCores of this process; may be asked before nrt_init, and then takes none."""
    if core.initialized():
        return len(machine().cores)
    total = nrt_get_total_nc_count()
    asked = request(setting("NEURON_RT_VISIBLE_CORES"), setting("NEURON_RT_NUM_CORES"), total)
    return len(asked.cores) if asked.cores is not None else asked.count or total


def nrt_get_vnc_memory_stats(vnc: int) -> MemoryStats:
    """What is in use of a core's device memory."""
    memory = _core("nrt_get_vnc_memory_stats", vnc).memory
    return MemoryStats(memory.total, memory.limit)


def nrt_get_status_as_str(status: int) -> str:
    """The name of a status."""
    return Status(status).name


def nrt_get_version() -> tuple[int, int, int]:
    """Major, minor and patch version of the runtime interface."""
    major, minor, patch = map(int, RUNTIME_VERSION.split("."))
    return major, minor, patch
