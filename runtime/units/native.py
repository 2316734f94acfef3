"""The native kernels in this process: built once, called one after the other."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from runtime import library
from runtime.logs import Level, log
from runtime.settings import setting


class Place(NamedTuple):
    """Where an operand of a kernel lies in the memory of weights: Operands in ffi.h reads it."""

    start: int  # in bytes
    type: int
    bytes: int


def available() -> bool:
    """Whether regions may run on native kernels: so the environment says, and they can be built."""
    return setting("NEURON_EMULATOR_KERNELS") != "jax" and _library() is not None


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        native = ctypes.CDLL(str(library.build(library.KERNELS)))
    except (OSError, RuntimeError) as error:
        log(Level.WARNING, "NRT", "load_kernels", f"programs run on JAX alone: {error}")
        return None
    native.neuron_packed_bytes.restype = ctypes.c_int64
    native.neuron_sequence_new.restype = ctypes.c_void_p
    native.neuron_sequence_add.restype = native.neuron_sequence_run.restype = ctypes.c_char_p
    return native


def loaded() -> ctypes.CDLL:
    """The library of the kernels. Raises RuntimeError where there is none."""
    native = _library()
    if native is None:
        raise RuntimeError("runtime.units: the native kernels must be there where they are used")
    return native


def _words(numbers: Sequence[int]) -> tuple[ctypes.Array[ctypes.c_int64], ctypes.c_size_t]:
    return (ctypes.c_int64 * len(numbers))(*numbers), ctypes.c_size_t(len(numbers))


def packed_bytes(words: Sequence[int]) -> int:
    """The size of a second operand of a contraction once packed."""
    size: int = loaded().neuron_packed_bytes(*_words(words))
    if size < 0:
        raise ValueError(f"runtime.units: the words must be a contraction, got {list(words)}")
    return size


def pack(words: Sequence[int], array: np.ndarray, room: np.ndarray) -> None:
    """Write a second operand of a contraction in the order in which the kernel reads it."""
    source = np.ascontiguousarray(array)
    loaded().neuron_pack(
        *_words(words), ctypes.c_void_p(source.ctypes.data), ctypes.c_void_p(room.ctypes.data)
    )


class Calls:
    """Calls of kernels one after the other, with so many bytes of memory for what is between them.

    Sequence in runtime/native/kernels/sequence.h. Safe to run from several threads at once.
    """

    def __init__(self, size: int) -> None:
        native = loaded()
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
