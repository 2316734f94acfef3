"""The pages of packed weights: asked for at once, and made large ones, which are read faster.

In large pages GPT-2's step takes 9 % less time, BERT-base in bf16 3 %.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np

from runtime.background import in_background

LEAST = 4 << 20  # bytes of an array from which on numpy, too, asks for large pages
SMALL, PAGE = 4 << 10, 2 << 20
PIECE = 8 * PAGE  # what is done at once: a page being moved cannot be read
DELAY = 0.5  # seconds, in which first calls are made; of a model gone by then nothing is moved
NICE = 19
# <linux/mman.h>
MADV_HUGEPAGE = 14
MADV_POPULATE_WRITE = 23
MADV_COLLAPSE = 25
_madvise = ctypes.CDLL(None).madvise


def populate(room: np.ndarray) -> None:
    """Have the system provide the pages of bytes that will be written, all at once.

    Where it cannot (before Linux 5.14), it provides each as it is first written.
    """
    start, end = _whole_pages(room, SMALL)
    if start < end:
        _madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_POPULATE_WRITE)


def _whole_pages(array: np.ndarray, size: int) -> tuple[int, int]:
    """Where the first page of a size that lies within an array begins, and the last ends."""
    start = array.ctypes.data
    return -(-start // size) * size, (start + array.nbytes) // size * size


def enlarge(array: np.ndarray) -> None:
    """Have the system put an array into large pages, a little later and behind all other work.

    Where it cannot when it is told to (before Linux 6.1), it does so in its own time.
    """
    if array.nbytes >= LEAST:
        in_background("neuron-pages", _enlarging(array))


def _enlarging(array: np.ndarray) -> Callable[[], None]:
    start, end = _whole_pages(array, PAGE)
    there = weakref.ref(array)  # so that it is gone as soon as its model is

    def run() -> None:
        time.sleep(DELAY)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        for at in range(start, end, PIECE):
            kept = there()
            piece = ctypes.c_void_p(at), ctypes.c_size_t(min(PIECE, end - at))
            if kept is None or _madvise(*piece, MADV_HUGEPAGE) != 0:
                return
            _madvise(*piece, MADV_COLLAPSE)
            del kept

    return run
