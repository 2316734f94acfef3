"""How the compiler fails: one clear message and an exit status; a traceback only in the log."""

from __future__ import annotations

import platform
import shlex
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from hlo_frontend.hlo.errors import HloError
from neff.errors import CompileError, OptionError
from neuronxcc.report import ERROR, prefixed

REFUSED, USAGE, DEFECT, MACHINE, INTERRUPTED = 1, 2, 70, 74, 130
# What a user, a file or the machine can cause, and the exit status of each.
EXPECTED: dict[type[BaseException], int] = {
    OptionError: USAGE,
    HloError: REFUSED,
    CompileError: REFUSED,
    NotImplementedError: REFUSED,
    OSError: MACHINE,
    MemoryError: MACHINE,
    KeyboardInterrupt: INTERRUPTED,
}


class Failure:
    """A context that turns what is raised in it into a message and an exit status."""

    def __init__(self, words: Sequence[str], terminal: TextIO) -> None:
        self.words = words
        self.terminal = terminal
        self.status = 0

    def __enter__(self) -> Failure:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        if value is None or isinstance(value, SystemExit):
            return False
        found = [status for known, status in EXPECTED.items() if isinstance(value, known)]
        self.status = found[0] if found else DEFECT
        message = _message(value) if found else prefixed(ERROR, self._banner(value))
        print(message.rstrip("\n"), file=self.terminal)
        return True

    def _banner(self, value: BaseException) -> str:
        """What the compiler prints for a defect of its own."""
        from neuronxcc.version import __version__

        frame = traceback.extract_tb(value.__traceback__)[-1]
        return "\n".join(
            (
                "*" * 63,
                " An Internal Compiler Error has occurred",
                "*" * 63,
                "",
                f"Error message:  {value}",
                "",
                f"Error class:    {type(value).__name__}",
                f"Error location: {frame.name} ({frame.filename}:{frame.lineno})",
                f"Command line:   {shlex.join([sys.argv[0], *self.words])}",
                "",
                "Version information:",
                f"  NeuronX Compiler version {__version__}",
                f"  Python version {platform.python_version()}",
                "  NEFF version 2.0",
            )
        )


def _message(value: BaseException) -> str:
    match value:
        case KeyboardInterrupt():
            return "neuronx-cc: interrupted"
        case MemoryError():
            return "neuronx-cc: compiling this file needs more memory than there is"
        case OSError(strerror=str(reason), filename=name) if name is not None:
            return f"neuronx-cc: {name}: {reason}"
    text = str(value).removeprefix("compiler_args: ")
    return text if text.startswith(("[NCC_", "neuronx-cc")) else f"neuronx-cc: {text}"
