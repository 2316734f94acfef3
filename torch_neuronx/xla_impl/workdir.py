"""The compiler's work directory: the HLO, the command, the NEFF and the logs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.proto import write_module
from hlo_frontend.hlo.text import print_module
from neff.compile import Compiled
from neff.files import write_atomically
from torch_neuronx.version import __version__


@dataclass(frozen=True, slots=True)
class WorkDirectory:
    """A directory that can be written to, and what its files are called."""

    path: Path
    command: tuple[str, ...]  # the command line that would compile what is in it
    stem: str = "graph"
    log: str = "log-neuron-cc.txt"

    @staticmethod
    def make(
        who: str,
        path: str | Path,
        command: tuple[str, ...],
        stem: str = "graph",
        log: str = "log-neuron-cc.txt",
    ) -> WorkDirectory:
        """Make the directory, and know that it is writable before any work is done.

        Raises OSError, of the kind that the system raised, in the name of `who`.
        """
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
            write_atomically(Path(path) / log, b"")
        except OSError as error:
            raise type(error)(
                error.errno,
                f"{who}: compiler_workdir must be a directory that can be written to "
                f"({error.strerror})",
                str(path),
            ) from error
        return WorkDirectory(Path(path), command, stem, log)

    def write_module(self, module: HloModule) -> None:
        """Write what goes into the compiler."""
        self._write(f"{self.stem}.hlo", write_module(module))
        self._write(f"{self.stem}.hlo.txt", print_module(module).encode())
        self._write("command.txt", shlex.join(self.command).encode() + b"\n")

    def write_compiled(self, compiled: Compiled) -> None:
        """Write what came out of it."""
        self._write(f"{self.stem}.neff", compiled.neff.data)
        self._write("metaneff.pb", compiled.metaneff)
        lines = [f"neuron emulator {__version__}, target {compiled.program.target}"]
        lines += [
            f"{s.name} finished after {s.seconds:.3f} seconds, {s.instructions} instructions"
            for s in compiled.stages
        ]
        self._write(self.log, "\n".join([*lines, ""]).encode())

    def _write(self, name: str, data: bytes | memoryview) -> None:
        write_atomically(self.path / name, data)
