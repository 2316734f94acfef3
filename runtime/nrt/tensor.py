"""Tensors, as nrt.h has them: bytes with a name, on the account of a NeuronCore or not."""

from __future__ import annotations

import weakref

import numpy as np

from runtime.core import NeuronCore
from runtime.nrt.state import core_of, cores_of
from runtime.nrt.types import Placement
from runtime.status import NeuronRuntimeError, Status

Bytes = bytes | bytearray | memoryview | np.ndarray


def allocated(size: int, core: NeuronCore | None) -> np.ndarray:
    """Zeros, which count against the core's memory until no array shares them any more.

    Raises NeuronRuntimeError (NRT_RESOURCE) where the core has too little left.
    """
    if core is None:
        return np.zeros(size, np.uint8)
    core.add_tensor(size)
    try:
        made = np.zeros(size, np.uint8)
    except MemoryError:
        core.memory.remove_tensor(size)
        raise
    weakref.finalize(made, core.memory.remove_tensor, size)
    return made


def flat(call: str, buffer: Bytes) -> np.ndarray:
    """The bytes of a buffer, shared with it."""
    if not isinstance(buffer, np.ndarray):
        return np.frombuffer(buffer, np.uint8)
    if not buffer.flags.c_contiguous:
        raise NeuronRuntimeError(call, Status.NRT_INVALID, "the array must be contiguous")
    return buffer.reshape(-1).view(np.uint8)


class Tensor:
    """nrt_tensor_t. Stands for a range of bytes, which it may share with others, or for none."""

    def __init__(
        self, name: str, placement: Placement, core: NeuronCore | None, data: np.ndarray | None
    ) -> None:
        self.name, self.placement, self.core = name, placement, core
        self._data = data  # flat uint8

    def attach(self, data: np.ndarray) -> None:
        """Stand for the caller's memory from now on."""
        self.placement, self.core, self._data = Placement.VIRTUAL, None, data

    def free(self) -> None:
        """Let go of the bytes; others that share them keep them."""
        self._data = None

    def data(self, call: str) -> np.ndarray:
        """All its bytes. Raises NeuronRuntimeError where it was freed or never had any."""
        if self._data is None:
            raise NeuronRuntimeError(
                call, Status.NRT_INVALID_HANDLE, f"tensor {self.name!r} has no memory"
            )
        return self._data

    def part(self, call: str, offset: int, size: int) -> np.ndarray:
        """Some of its bytes. Raises NeuronRuntimeError where they are not inside it."""
        data = self.data(call)
        if offset < 0 or size < 0 or offset + size > data.size:
            raise NeuronRuntimeError(
                call,
                Status.NRT_INVALID,
                f"tensor {self.name!r} has {data.size} bytes, got offset {offset}, size {size}",
            )
        return data[offset : offset + size]

    def write(self, call: str, offset: int, data: np.ndarray) -> None:
        """Put bytes at an offset. Raises NeuronRuntimeError where they cannot be put there."""
        target = self.part(call, offset, data.size)
        if not target.flags.writeable:
            raise NeuronRuntimeError(
                call, Status.NRT_INVALID, f"tensor {self.name!r} stands for read-only memory"
            )
        target[:] = data


class TensorSet(dict[str, Tensor]):
    """nrt_tensor_set_t: tensors by the names a model gives them."""


def nrt_tensor_allocate(placement: int, vnc: int, size: int, name: str = "") -> Tensor:
    """A tensor of `size` bytes, all zero; on a device it counts against the core's memory.

    Raises NeuronRuntimeError (NRT_RESOURCE) where the core has too little left.
    """
    call = "nrt_tensor_allocate"
    cores_of(call)
    if placement not in set(Placement) or size < 0:
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, f"placement {placement!r} and size {size} must be possible"
        )
    owner = core_of(call, vnc) if placement == Placement.DEVICE else None
    return Tensor(name, Placement(placement), owner, allocated(size, owner))


def nrt_tensor_allocate_empty(name: str = "") -> Tensor:
    """A tensor without memory, until a buffer is attached."""
    cores_of("nrt_tensor_allocate_empty")
    return Tensor(name, Placement.VIRTUAL, None, None)


def nrt_tensor_attach_buffer(tensor: Tensor, buffer: Bytes) -> None:
    """Stand for the caller's memory, which is written to where it can be."""
    cores_of("nrt_tensor_attach_buffer")
    tensor.attach(flat("nrt_tensor_attach_buffer", buffer))


def nrt_tensor_allocate_slice(tensor: Tensor, offset: int, size: int, name: str = "") -> Tensor:
    """A tensor that shares some of another's bytes, and keeps them."""
    call = "nrt_tensor_allocate_slice"
    cores_of(call)
    return Tensor(name, tensor.placement, tensor.core, tensor.part(call, offset, size))


def nrt_tensor_free(tensor: Tensor) -> None:
    """Let go of the memory; tensors that share it keep it."""
    tensor.free()


def nrt_tensor_read(tensor: Tensor, offset: int = 0, size: int | None = None) -> bytes:
    """A copy of its bytes from `offset` on, all by default."""
    call = "nrt_tensor_read"
    cores_of(call)
    count = tensor.data(call).size - offset if size is None else size
    return tensor.part(call, offset, count).tobytes()


def nrt_tensor_read_into(tensor: Tensor, target: Bytes, offset: int = 0) -> None:
    """Fill the caller's memory with its bytes from `offset` on."""
    call = "nrt_tensor_read"
    cores_of(call)
    given = flat(call, target)
    given[:] = tensor.part(call, offset, given.size)


def nrt_tensor_write(tensor: Tensor, data: Bytes, offset: int = 0) -> None:
    """Put bytes at an offset."""
    call = "nrt_tensor_write"
    cores_of(call)
    tensor.write(call, offset, flat(call, data))


def nrt_tensor_copy(
    source: Tensor, source_offset: int, target: Tensor, target_offset: int, size: int
) -> None:
    """Copy between tensors; two on devices must be on the same core."""
    call = "nrt_tensor_copy"
    cores_of(call)
    if source.core is not None and target.core is not None and source.core is not target.core:
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, "the tensors are on different NeuronCores"
        )
    target.write(call, target_offset, source.part(call, source_offset, size))


def nrt_tensor_memset(tensor: Tensor, offset: int, value: int, size: int) -> None:
    """Set bytes to the low byte of `value`."""
    call = "nrt_tensor_memset"
    cores_of(call)
    tensor.part(call, offset, size)  # checks the size before it is made
    tensor.write(call, offset, np.full(size, value & 0xFF, np.uint8))


def nrt_tensor_get_size(tensor: Tensor) -> int:
    """Its size in bytes."""
    return int(tensor.data("nrt_tensor_get_size").size)


def nrt_tensor_get_va(tensor: Tensor) -> int:
    """The address of its bytes in this process."""
    return int(tensor.data("nrt_tensor_get_va").__array_interface__["data"][0])


def nrt_allocate_tensor_set() -> TensorSet:
    """An empty set."""
    cores_of("nrt_allocate_tensor_set")
    return TensorSet()


def nrt_destroy_tensor_set(tensors: TensorSet) -> None:
    """Forget the tensors, which stay as they are."""
    tensors.clear()


def nrt_add_tensor_to_tensor_set(tensors: TensorSet, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of the one of that name, if any."""
    cores_of("nrt_add_tensor_to_tensor_set")
    tensors[name] = tensor


def nrt_get_tensor_from_tensor_set(tensors: TensorSet, name: str) -> Tensor:
    """The tensor of a name. Raises with NRT_FAILURE where there is none."""
    call = "nrt_get_tensor_from_tensor_set"
    cores_of(call)
    if name not in tensors:
        raise NeuronRuntimeError(
            call, Status.NRT_FAILURE, f"the set must have {name!r}, got {sorted(tensors)}"
        )
    return tensors[name]
