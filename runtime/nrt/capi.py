"""What the C library libnrt calls: the functions of runtime.nrt, with numbers for objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from runtime import nrt
from runtime.logs import Level, log
from runtime.model import Model
from runtime.nrt.tensor import Tensor, TensorSet
from runtime.status import NeuronRuntimeError, Status

ALIGNMENT = 64  # bytes: what XLA asks of a buffer it does not copy
Kind = type[Model] | type[Tensor] | type[TensorSet] | None


class Handles:
    """Numbers that stand for objects. A number is never used twice, so that a stale one is told."""

    def __init__(self) -> None:
        self._objects: dict[int, object] = {}
        self._given: dict[int, int] = {}  # by the object's id, for as long as it is kept
        self._numbers = count(0x1000, 0x10)

    def number(self, made: object) -> int:
        """The number of an object, a new one where it has none."""
        if id(made) not in self._given:
            number = next(self._numbers)
            self._objects[number], self._given[id(made)] = made, number
        return self._given[id(made)]

    def find(self, call: str, kind: type, number: int) -> Any:
        """The object of a number. Raises NeuronRuntimeError (NRT_INVALID_HANDLE) for any other."""
        found = self._objects.get(number)
        if not isinstance(found, kind):
            raise NeuronRuntimeError(
                call, Status.NRT_INVALID_HANDLE, f"{number:#x} is no {kind.__name__} in use"
            )
        return found

    def drop(self, number: int) -> None:
        dropped = self._objects.pop(number, None)
        self._given.pop(id(dropped), None)

    def drop_unloaded(self) -> None:
        """Forget the models that are on no core."""
        for number, kept in list(self._objects.items()):
            if isinstance(kept, Model) and not kept.cores:
                self.drop(number)


handles = Handles()


@dataclass(frozen=True, slots=True)
class Function:
    """A function, which of its arguments are handles of what, and whether it ends the first."""

    run: Callable[..., Any]
    takes: tuple[Kind, ...] = ()
    drops: bool = False


def call(name: str, *arguments: Any) -> tuple[int, Any]:
    """The status of a call and what it returns; what went wrong goes to the log."""
    function = FUNCTIONS[name]
    try:
        given = list(arguments)
        for n, kind in enumerate(function.takes):
            given[n] = handles.find(name, kind, given[n]) if kind is not None else given[n]
        made = function.run(*given)
    except NeuronRuntimeError as error:
        status, detail = error.status, error.detail or str(error)
    except ValueError as error:  # of the environment
        status, detail = Status.NRT_INVALID, str(error)
    except MemoryError:
        status, detail = Status.NRT_FAIL_HOST_MEM_ALLOC, "not enough host memory"
    else:
        if function.drops:
            handles.drop(arguments[0])
        known = isinstance(made, Model | Tensor | TensorSet)
        return Status.NRT_SUCCESS.value, handles.number(made) if known else made
    first = detail.partition("\n")[0] if status is Status.NRT_RESOURCE else detail  # told already
    log(Level.ERROR, "NRT", name, f"{status.name}: {first}")
    return status.value, None


def _load(neff: memoryview, vnc: int, vnc_count: int) -> Model:
    """The caller may free its memory after the call; what stays is aligned, to be used as it is."""
    room = np.empty(len(neff) + ALIGNMENT, np.uint8)
    first = -room.ctypes.data % ALIGNMENT
    copy = room[first : first + len(neff)]
    copy[:] = np.frombuffer(neff, np.uint8)
    return nrt.nrt_load(copy, vnc, vnc_count)


def _close() -> None:
    nrt.nrt_close()
    handles.drop_unloaded()


def _info(model: Model) -> list[tuple[str, int, int, int, tuple[int, ...]]]:
    return [
        (i.name, i.usage, i.size, i.dtype.value, i.shape)
        for i in nrt.nrt_get_model_tensor_info(model)
    ]


def _memory(vnc: int) -> tuple[int, int]:
    stats = nrt.nrt_get_vnc_memory_stats(vnc)
    return stats.bytes_used, stats.bytes_limit


def _instance() -> tuple[int, int, str, str]:
    info = nrt.nrt_get_instance_info()
    return info.family, info.size, info.arch_name, info.device_revision


FUNCTIONS: dict[str, Function] = {
    "nrt_init": Function(nrt.nrt_init),
    "nrt_close": Function(_close),
    "nrt_get_version": Function(nrt.nrt_get_version),
    "nrt_get_instance_info": Function(_instance),
    "nrt_get_total_vnc_count": Function(nrt.nrt_get_total_vnc_count),
    "nrt_get_total_nc_count": Function(nrt.nrt_get_total_nc_count),
    "nrt_get_visible_vnc_count": Function(nrt.nrt_get_visible_vnc_count),
    "nrt_get_visible_nc_count": Function(nrt.nrt_get_visible_nc_count),
    "nrt_get_vnc_memory_stats": Function(_memory),
    "nrt_load": Function(_load),
    "nrt_unload": Function(nrt.nrt_unload, (Model,), drops=True),
    "nrt_execute": Function(nrt.nrt_execute, (Model, TensorSet, TensorSet)),
    "nrt_execute_repeat": Function(nrt.nrt_execute_repeat, (Model, TensorSet, TensorSet)),
    "nrt_get_model_vnc_count": Function(nrt.nrt_get_model_vnc_count, (Model,)),
    "nrt_get_model_nc_count": Function(nrt.nrt_get_model_nc_count, (Model,)),
    "nrt_get_model_instance_count": Function(nrt.nrt_get_model_instance_count, (Model,)),
    "nrt_get_model_info": Function(nrt.nrt_get_model_info, (Model,)),
    "nrt_get_model_tensor_info": Function(_info, (Model,)),
    "nrt_tensor_allocate": Function(nrt.nrt_tensor_allocate),
    "nrt_tensor_allocate_empty": Function(nrt.nrt_tensor_allocate_empty),
    "nrt_tensor_allocate_slice": Function(nrt.nrt_tensor_allocate_slice, (Tensor,)),
    "nrt_tensor_attach_buffer": Function(nrt.nrt_tensor_attach_buffer, (Tensor,)),
    "nrt_tensor_free": Function(nrt.nrt_tensor_free, (Tensor,), drops=True),
    "nrt_tensor_read": Function(nrt.nrt_tensor_read_into, (Tensor,)),
    "nrt_tensor_write": Function(nrt.nrt_tensor_write, (Tensor,)),
    "nrt_tensor_copy": Function(nrt.nrt_tensor_copy, (Tensor, None, Tensor)),
    "nrt_tensor_memset": Function(nrt.nrt_tensor_memset, (Tensor,)),
    "nrt_tensor_get_size": Function(nrt.nrt_tensor_get_size, (Tensor,)),
    "nrt_tensor_get_va": Function(nrt.nrt_tensor_get_va, (Tensor,)),
    "nrt_allocate_tensor_set": Function(nrt.nrt_allocate_tensor_set),
    "nrt_destroy_tensor_set": Function(nrt.nrt_destroy_tensor_set, (TensorSet,), drops=True),
    "nrt_add_tensor_to_tensor_set": Function(
        nrt.nrt_add_tensor_to_tensor_set, (TensorSet, None, Tensor)
    ),
    "nrt_get_tensor_from_tensor_set": Function(nrt.nrt_get_tensor_from_tensor_set, (TensorSet,)),
}
