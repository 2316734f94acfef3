"""What ran where: a record of executions, for tests and for the curious."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution: the core's index in this process, the model, and when, in seconds."""

    core: int
    model: str
    start: float  # time.perf_counter, when the core was free
    end: float
    thread: int


Record = list[Execution]
# Empty in ordinary use: the one thing that a call looks at.
_records: tuple[Record, ...] = ()


def recording() -> tuple[Record, ...]:
    return _records


@contextmanager
def record_executions() -> Iterator[Record]:
    """The executions that end in this block, in all threads, in the order in which they end."""
    global _records
    record: Record = []
    _records = (*_records, record)
    try:
        yield record
    finally:
        _records = tuple(r for r in _records if r is not record)
