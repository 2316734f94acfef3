"""Where models are placed: on a range of cores, on all of them, or on the next in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from runtime.core import NeuronCore, machine

# Names the cores when a model is loaded: only then is the environment read. It is told how many
# cores the model takes at once (a pipeline takes consecutive ones), and names a multiple of them.
Placement = Callable[[int], Sequence[NeuronCore]]


def next_cores(size: int = 1) -> Sequence[NeuronCore]:
    """`size` cores; successive loads go round the visible cores in linear order."""
    return machine().next_cores(size)


def all_cores(size: int = 1) -> Sequence[NeuronCore]:
    """Every core that is visible to this process, as far as `size` divides them."""
    machine().require(size)
    every = machine().cores
    return every[: len(every) // size * size]


def cores(start: int = -1, count: int = -1, size: int = 1) -> Sequence[NeuronCore]:
    """`count` cores from `start` on, as far as `size` divides them.

    Start -1 is where cores are least used, count -1 is `size`: the model once. Indices count within
    the cores that are visible to the process. Raises ValueError for cores it does not have and for
    fewer than `size`, NeuronRuntimeError where the runtime cannot be initialized.
    """
    machine().require(size)
    every = machine().cores
    if count < -1 or count == 0 or count > len(every):
        raise ValueError(
            f"nc_count must be -1 or between 1 and {len(every)}, the number of NeuronCores visible "
            f"to this process, got {count}"
        )
    if -1 < count < size:
        raise ValueError(
            f"nc_count must be at least {size}, the NeuronCores that the model takes at once "
            f"(--neuroncore-pipeline-cores), got {count}"
        )
    number = max(count, size) // size * size
    first = _least_used(every, number) if start == -1 else start
    if first < 0 or first + number > len(every):
        raise ValueError(
            f"start_nc={start} with nc_count={count} must name NeuronCores visible to this process "
            f"(0 to {len(every) - 1})"
        )
    return every[first : first + number]


def _least_used(every: Sequence[NeuronCore], number: int) -> int:
    """Where the run of `number` cores begins that has the fewest models, then the least memory."""

    def load(first: int) -> tuple[int, int]:
        run = every[first : first + number]
        return sum(len(c.memory.models) for c in run), sum(c.memory.total for c in run)

    return min(range(len(every) - number + 1), key=load)


_default: Placement = next_cores
_thread = threading.local()


def default() -> Placement:
    """Where a model is loaded that is not told where."""
    here: Placement | None = getattr(_thread, "placement", None)
    return here or _default


@contextmanager
def placing_here(placement: Placement) -> Iterator[None]:
    """Load models in this block, in this thread only, where `placement` says."""
    before = getattr(_thread, "placement", None)
    _thread.placement = placement
    try:
        yield
    finally:
        _thread.placement = before


@contextmanager
def placing(placement: Placement) -> Iterator[None]:
    """Load models in this block, in whatever thread, where `placement` says."""
    global _default
    before, _default = _default, placement
    try:
        yield
    finally:
        _default = before


def set_default(placement: Placement) -> None:
    """Load models where `placement` says, from now on."""
    global _default
    _default = placement
