"""The native kernels in this process: built once, registered with XLA, called from JAX."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hlo_frontend.hlo.types import Shape
from runtime import library
from runtime.kernels.kind import Value
from runtime.logs import Level, log
from runtime.settings import setting

_KERNELS = ("neuron_chain", "neuron_contraction", "neuron_rows", "neuron_windows")


class Place(NamedTuple):
    """Where an operand of a kernel lies in the memory of weights: Operands in ffi.h reads it."""

    start: int  # in bytes
    type: int
    bytes: int


GIVEN = (-1, 0, 0)  # instead of a place there: an argument of its own


def available() -> bool:
    """Whether regions may run on native kernels: so the environment says, and they can be built."""
    return setting("NEURON_EMULATOR_KERNELS") != "jax" and _library() is not None


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        loaded = ctypes.CDLL(str(library.build(library.KERNELS)))
    except (OSError, RuntimeError) as error:
        log(Level.WARNING, "NRT", "load_kernels", f"programs run on JAX alone: {error}")
        return None
    jax.devices("cpu")  # before there is a backend JAX would register types after what is of them
    for name in _KERNELS:
        _register(name, loaded)
    loaded.neuron_packed_bytes.restype = ctypes.c_int64
    return loaded


def _register(name: str, loaded: ctypes.CDLL) -> None:
    """Tell XLA of a kernel: what makes it of its words, once, and what runs it."""
    capsule = jax.ffi.pycapsule

    def told(part: str) -> Any:
        tell = getattr(loaded, f"{name}_{part}")
        tell.restype = ctypes.c_void_p
        return capsule(ctypes.c_void_p(tell()))

    described: Any = {part: told(part) for part in ("type_id", "type_info")}
    jax.ffi.register_ffi_type(name, described, platform="cpu")
    stages = {"instantiate": getattr(loaded, f"{name}_make"), "execute": getattr(loaded, name)}
    handlers = {stage: capsule(handler) for stage, handler in stages.items()}
    jax.ffi.register_ffi_target(name, handlers, platform="cpu")


def _loaded() -> ctypes.CDLL:
    native = _library()
    if native is None:
        raise RuntimeError("runtime.units: the native kernels must be there where they are used")
    return native


def _words(numbers: Sequence[int]) -> tuple[np.ndarray, tuple[ctypes.c_void_p, ctypes.c_size_t]]:
    array = np.array(numbers, np.int64)
    return array, (ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.size))


def packed_bytes(words: Sequence[int]) -> int:
    """The size of a second operand of a contraction once packed."""
    held, given = _words(words)
    size: int = _loaded().neuron_packed_bytes(*given)
    if size < 0:
        raise ValueError(f"runtime.units: the words must be a contraction, got {held.tolist()}")
    return size


def pack(words: Sequence[int], array: np.ndarray, room: np.ndarray) -> None:
    """Write a second operand of a contraction in the order in which the kernel reads it."""
    _, given = _words(words)
    source = np.ascontiguousarray(array)
    _loaded().neuron_pack(
        *given, ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(room.ctypes.data)
    )


def call(
    kernel: str,
    shape: Shape,
    words: Sequence[int],
    operands: Sequence[Value | Place],
    memory: Value | None = None,
) -> jax.Array:
    """The result of a kernel on arrays, as a part of what is being traced.

    Those that are places are there in `memory`.
    """
    _loaded()
    result = jax.ShapeDtypeStruct(shape.dims, shape.numpy)
    given = [o for o in operands if not isinstance(o, Place)]
    if len(given) < len(operands):
        given.insert(0, memory)
    places = (o if isinstance(o, Place) else GIVEN for o in operands)
    every = (len(operands), *sum(places, ()), *words)
    made: jax.Array = jax.ffi.ffi_call(kernel, result)(*given, words=np.array(every, np.int64))
    return made
