"""What a process does on the side, put off while much memory is taken and many objects are made."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What the variable NUMPY_MADVISE_HUGEPAGE sets when numpy is imported; there is no public function.
from numpy._core.multiarray import _set_madvise_hugepage  # type: ignore[attr-defined]


class _Pause:
    """How many blocks are under way in all threads, and what was in force before the first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.collecting = self.large_pages = True

    def enter(self) -> None:
        with self.lock:
            if self.blocks == 0:
                self.collecting = gc.isenabled()
                gc.disable()
                self.large_pages = _set_madvise_hugepage(False)
            self.blocks += 1

    def leave(self) -> None:
        with self.lock:
            if self.blocks == 1:
                self._end()
            self.blocks = max(self.blocks - 1, 0)  # a child leaves blocks that its parent entered

    def _end(self) -> None:
        _set_madvise_hugepage(self.large_pages)
        if self.collecting:
            gc.enable()

    def forked(self) -> None:
        """In a child: the threads that were in blocks are its parent's."""
        self.lock = threading.Lock()
        if self.blocks > 0:
            self.blocks = 0
            self._end()


_pause = _Pause()
os.register_at_fork(after_in_child=_pause.forked)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Collect no garbage, and let numpy ask for no large pages, until the last such block ends.

    A collection goes through all objects: 0.25 s where JAX and torch_xla are imported, and one or
    two fall into a load or a compile, which leave no cycles. A virtual machine whose host takes
    back what is free as large pages takes 5 ms to give each of them anew: 0.5 s for the weights of
    BERT-base. What stays and is read often becomes large pages later (runtime/units/pages.py).
    """
    _pause.enter()
    try:
        yield
    finally:
        _pause.leave()
