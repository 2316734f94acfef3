"""The native kernels in this process: built once, registered with XLA, called from JAX."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hlo_frontend.hlo.types import Shape
from runtime import library
from runtime.kernels.kind import Value
from runtime.logs import Level, log
from runtime.settings import setting

_KERNELS = ("neuron_chain", "neuron_contraction", "neuron_pair", "neuron_rows", "neuron_windows")


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
    _register(loaded)
    loaded.neuron_packed_bytes.restype = ctypes.c_int64
    loaded.neuron_sequence_new.restype = ctypes.c_void_p
    loaded.neuron_sequence_add.restype = loaded.neuron_sequence_run.restype = ctypes.c_char_p
    return loaded


def _register(loaded: ctypes.CDLL) -> None:
    """Tell XLA of the kernels: what makes a call of one of its words, once, and what runs it."""
    capsule = jax.ffi.pycapsule

    def told(part: str) -> Any:
        tell = getattr(loaded, f"neuron_call_{part}")
        tell.restype = ctypes.c_void_p
        return capsule(ctypes.c_void_p(tell()))

    described: Any = {"type_id": told("id"), "type_info": told("info")}
    jax.ffi.register_ffi_type("neuron_call", described, platform="cpu")
    for name in _KERNELS:
        stages = {"instantiate": getattr(loaded, f"{name}_make"), "execute": getattr(loaded, name)}
        handlers = {stage: capsule(handler) for stage, handler in stages.items()}
        jax.ffi.register_ffi_target(name, handlers, platform="cpu")


def _loaded() -> ctypes.CDLL:
    native = _library()
    if native is None:
        raise RuntimeError("runtime.units: the native kernels must be there where they are used")
    return native


def _words(numbers: Sequence[int]) -> tuple[ctypes.Array[ctypes.c_int64], ctypes.c_size_t]:
    return (ctypes.c_int64 * len(numbers))(*numbers), ctypes.c_size_t(len(numbers))


def packed_bytes(words: Sequence[int]) -> int:
    """The size of a second operand of a contraction once packed."""
    size: int = _loaded().neuron_packed_bytes(*_words(words))
    if size < 0:
        raise ValueError(f"runtime.units: the words must be a contraction, got {list(words)}")
    return size


def pack(words: Sequence[int], array: np.ndarray, room: np.ndarray) -> None:
    """Write a second operand of a contraction in the order in which the kernel reads it."""
    source = np.ascontiguousarray(array)
    _loaded().neuron_pack(
        *_words(words), ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(room.ctypes.data)
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


class Calls:
    """Calls of kernels one after the other, with so many bytes of memory for what is between them.

    Sequence in runtime/native/kernels/sequence.h. Safe to run from several threads at once.
    """

    def __init__(self, size: int) -> None:
        native = _loaded()
        self._add, self._run = native.neuron_sequence_add, native.neuron_sequence_run
        self._made = ctypes.c_void_p(native.neuron_sequence_new(ctypes.c_int64(size)))
        freed = weakref.finalize(self, native.neuron_sequence_free, self._made)
        freed.atexit = False  # a thread may be running it until the process is gone

    def add(self, kernel: str, words: Sequence[int], places: Sequence[int]) -> None:
        """A call; four numbers each are where its operands, and last its result, lie: a pointer, a
        byte, a type, a size in bytes. Raises ValueError."""
        refused = self._add(self._made, kernel.encode(), *_words(words), *_words(places))
        if refused is not None:
            _refuse(refused)

    def run(self, pointers: Sequence[int]) -> bool:
        """Make all calls, where the pointers that places name are these, from 1 on.

        Returns whether it was done: not where an operand holds a number that is out of bounds.
        """
        refused = self._run(self._made, (ctypes.c_void_p * len(pointers))(*pointers))
        if refused:
            _refuse(refused)
        return refused is None


def _refuse(sentence: bytes) -> None:
    raise ValueError(f"runtime.units: {sentence.decode()}")
