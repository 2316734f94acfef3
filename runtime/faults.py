"""Faults that a user's test asks for: a load or an execution that fails, is slow, or gives NaN.

`NEURON_EMULATOR_FAULTS` holds them for a whole process, `inject_fault` for a block:

    NEURON_EMULATOR_FAULTS="execute nth=3 core=0 status=NRT_TIMEOUT; load status=NRT_RESOURCE"
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from runtime.settings import setting
from runtime.status import NeuronRuntimeError, Status

CALLS = ("load", "execute")


@dataclass(slots=True)
class Fault:
    """What happens to the `nth` load or execution on a core, and to the `times - 1` after it."""

    call: str  # "load" or "execute"
    nth: int = 1  # counted from when the fault was put in place, on the cores it is for
    core: int | None = None  # None: any
    times: int = 1  # 0: for ever
    status: Status | None = None  # what the call ends with; None: it is carried out
    delay: float = 0.0  # seconds by which it is late, while it holds the core
    nan: bool = False  # every floating-point output is NaN
    seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.call not in CALLS:
            raise ValueError(f"fault: the call must be one of {', '.join(CALLS)}, got {self.call}")
        if self.nth < 1 or self.times < 0 or self.delay < 0:
            raise ValueError("fault: nth must be at least 1, times and delay at least 0")
        if self.nan and self.call == "load":
            raise ValueError("fault: only an execution can give NaN")
        if self.status is None and not self.delay and not self.nan:
            raise ValueError("fault: one of status, delay and nan must be given")

    def strikes(self, core: int) -> bool:
        """Count a call on a core; whether the fault is for it."""
        if self.core not in (None, core):
            return False
        with self._lock:
            self.seen += 1
            late = self.seen - self.nth
        return late >= 0 and (self.times == 0 or late < self.times)


# Empty in ordinary use: the one thing that a call looks at.
_active: tuple[Fault, ...] = ()
_changing = threading.Lock()


def active() -> tuple[Fault, ...]:
    return _active


def strike(call: str, core: int, timeout: float) -> bool:
    """Suffer the faults for a call on a core. Returns whether its outputs are to be NaN.

    Raises NeuronRuntimeError with the status a fault asks for, or NRT_TIMEOUT once it has been
    late by `timeout` seconds.
    """
    spoiled = False
    for fault in [f for f in _active if f.call == call and f.strikes(core)]:
        time.sleep(min(fault.delay, timeout))
        if fault.delay >= timeout:
            raise NeuronRuntimeError(f"nrt_{call}", Status.NRT_TIMEOUT, _where(core))
        if fault.status is not None:
            raise NeuronRuntimeError(f"nrt_{call}", fault.status, _where(core))
        spoiled = spoiled or fault.nan
    return spoiled


def _where(core: int) -> str:
    return f"NeuronCore {core} (an injected fault)"


@contextmanager
def inject_fault(
    call: str,
    *,
    nth: int = 1,
    core: int | None = None,
    times: int = 1,
    status: Status | str | int | None = None,
    delay: float = 0.0,
    nan: bool = False,
) -> Iterator[Fault]:
    """In this block, the `nth` "load" or "execute" on `core` (None: any) fails with `status`,
    is `delay` seconds late, or gives NaN; so do the `times - 1` after it (0: all of them).

    `status` is a name or number of `runtime.status.Status`. Raises ValueError for an unknown one.
    """
    fault = Fault(call, nth, core, times, _status(status), delay, nan)
    global _active
    with _changing:
        _active = (*_active, fault)
    try:
        yield fault
    finally:
        with _changing:
            _active = tuple(f for f in _active if f is not fault)


def read_environment() -> None:
    """Put the faults of NEURON_EMULATOR_FAULTS in place, in the stead of those put there before.

    Raises ValueError for what is none.
    """
    text = setting("NEURON_EMULATOR_FAULTS")
    _put_from_environment(tuple(parse_fault(part) for part in text.split(";") if part.strip()))


def forget_environment() -> None:
    """Take away the faults of NEURON_EMULATOR_FAULTS."""
    _put_from_environment(())


_from_environment: tuple[Fault, ...] = ()


def _put_from_environment(faults: tuple[Fault, ...]) -> None:
    global _active, _from_environment
    with _changing:
        _active = (*faults, *(f for f in _active if all(f is not e for e in _from_environment)))
        _from_environment = faults


def parse_fault(text: str) -> Fault:
    """`execute nth=3 core=0 times=1 status=NRT_TIMEOUT delay=0.5 nan=1`; the call must be there."""
    call, *words = text.split()
    fault: dict[str, object] = {}
    readers: dict[str, Callable[[str], object]] = {
        "nth": int,
        "core": int,
        "times": int,
        "status": _status,
        "delay": float,
        "nan": lambda v: {"0": False, "1": True}[v],
    }
    for word in words:
        name, _, value = word.partition("=")
        if name not in readers:
            raise ValueError(
                f"NEURON_EMULATOR_FAULTS: a fault has {', '.join(readers)}, got {word!r}"
            )
        try:
            fault[name] = readers[name](value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"NEURON_EMULATOR_FAULTS: {name} cannot be {value!r}") from error
    return Fault(call, **fault)  # type: ignore[arg-type]


def _status(value: Status | str | int | None) -> Status | None:
    if value is None or isinstance(value, Status):
        return value
    if isinstance(value, str) and not value.isdigit():
        if value not in Status.__members__:
            raise ValueError(
                f"fault: unknown status {value!r}; known: {', '.join(Status.__members__)}"
            )
        return Status[value]
    return Status(int(value))
