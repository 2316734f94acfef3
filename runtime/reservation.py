"""NeuronCores held by processes: a locked file for each, which a dead process cannot keep.

The directory stands for the machine: processes that share it share the emulated NeuronCores. The
kernel drops a lock when its process ends, however it ends, so nothing is left to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.settings import setting

_NOTE_LIMIT = 1 << 16  # bytes; what a process says about itself needs no more


@dataclass(frozen=True, slots=True)
class Holder:
    """A process on the machine, as it describes itself."""

    pid: int
    command: str
    tag: str
    runtime_version: str
    cores: tuple[int, ...]
    exclusive: bool


def directory(instance_type: str) -> Path:
    """Where the locks of an emulated machine are; made where missing, for this user only."""
    root = setting("NEURON_EMULATOR_RUNTIME_DIR") or setting("XDG_RUNTIME_DIR")
    base = Path(root) / "neuron-emulator" if root else _private_temporary()
    path = base / instance_type
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _private_temporary() -> Path:
    """A directory under the system's temporary one that belongs to this user alone."""
    path = Path(tempfile.gettempdir()) / f"neuron-emulator-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(
            f"runtime: {path} must be a directory that only this user can write to\n"
            "  try: another directory in NEURON_EMULATOR_RUNTIME_DIR"
        )
    return path


class Reservation:
    """The cores that this process holds on a machine, and its note about itself."""

    def __init__(self, machine: Path) -> None:
        self._machine = machine
        self._locks: dict[int, int] = {}  # core: file descriptor
        self._note = -1
        self._noted: Path | None = None

    def take(self, cores: Iterable[int]) -> list[int]:
        """Hold cores exclusively, all or none. Returns those that another process holds."""
        with self._turn():
            taken = [core for core in cores if not self._lock(core, fcntl.LOCK_EX)]
            if taken:
                self._unlock()
            return taken

    def take_any(self, count: int, total: int) -> range | None:
        """Hold the first `count` free cores that follow one another; None where there are none."""
        with self._turn():
            for first in range(total - count + 1):
                cores = range(first, first + count)
                if all(self._lock(core, fcntl.LOCK_EX) for core in cores):
                    return cores
                self._unlock()
        return None

    def held_by_others(self, cores: Iterable[int]) -> list[int]:
        """The cores that some other process holds; none is held afterwards."""
        with self._turn():
            taken = [core for core in cores if not self._lock(core, fcntl.LOCK_SH)]
            self._unlock()
        return taken

    def describe(self, holder: Holder) -> None:
        """Leave a note that lasts as long as this process holds it.

        It appears under its name whole and held, so that nobody takes it for a dead process's.
        """
        path = self._machine / f"process-{holder.pid}.json"
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._note = _open(new)
        fcntl.flock(self._note, fcntl.LOCK_EX)
        os.write(self._note, json.dumps(asdict(holder)).encode())
        new.rename(path)
        self._noted = path

    def release(self) -> None:
        """Give everything back."""
        if self._noted is not None:
            self._noted.unlink(missing_ok=True)
            self._noted = None
        self.abandon()

    def abandon(self) -> None:
        """Close what is held, without giving it back where another process has it open as well:
        a forked child calls this, since a lock lasts as long as any descriptor of it."""
        self._unlock()
        if self._note >= 0:
            os.close(self._note)
            self._note = -1

    def _unlock(self) -> None:
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks = {}

    def _lock(self, core: int, kind: int) -> bool:
        descriptor = _open(self._machine / f"nc{core}.lock")
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._locks[core] = descriptor
        return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time chooses cores, so that two cannot each take half."""
        descriptor = _open(self._machine / "turn.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def holders(machine: Path) -> list[Holder]:
    """The living processes on a machine, by process id; notes of dead ones are removed."""
    found = []
    for path in sorted(machine.glob("process-*.json")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # its process has ended
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # its process lives
            note = json.loads(os.pread(descriptor, _NOTE_LIMIT, 0))
            found.append(Holder(**{**note, "cores": tuple(note["cores"])}))
        else:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return sorted(found, key=lambda h: h.pid)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
