"""What a compilation says while it runs: on the terminal by verbosity, in the log file whole."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import TextIO

LEVELS = {"debug": 10, "info": 20, "warning": 30, "35": 35, "error": 40, "critical": 50}
DEBUG, INFO, WARNING, USER, ERROR = 10, 20, 30, 35, 40
_NAMES = {
    DEBUG: "DEBUG",
    INFO: "INFO",
    WARNING: "WARNING",
    USER: "USER",
    ERROR: "ERROR",
    50: "CRITICAL",
}


def timestamp(seconds: float | None = None) -> str:
    """`2024-05-22T17:01:40Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def prefixed(level: int, text: str) -> str:
    """Each line with the time, its level and the process, as on the terminal and in the log."""
    head = f"{timestamp()} {_NAMES[level]} {os.getpid()} [neuronx-cc]: "
    return "".join(f"{head}{line}\n" for line in text.splitlines())


class Report:
    """Lines of one compilation. Debug and info go to stdout, warnings and errors to stderr."""

    def __init__(self, logfile: Path, verbose: str) -> None:
        self.threshold = LEVELS[verbose]
        self.logfile = logfile
        self._log: TextIO | None = None
        self._dots = 0

    def __enter__(self) -> Report:
        """Start the log file anew. Raises OSError where it cannot be written."""
        try:
            self._log = open(self.logfile, "w", buffering=1)
        except OSError as error:
            reason = f"the log file must be writable ({error.strerror})\n  try: --logfile FILE"
            raise type(error)(error.errno, reason, str(self.logfile)) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the log, with what was raised and where: the terminal is told no traceback."""
        self._end_dots()
        if value is not None:
            self.log(prefixed(ERROR, str(value) or type(value).__name__))
            self.log(prefixed(DEBUG, "".join(traceback.format_exception(value))))
        if self._log is not None:
            self._log.close()
            self._log = None

    def say(self, level: int, text: str) -> None:
        """A message for the terminal, where the verbosity asks for it, and for the log."""
        lines = prefixed(level, text)
        self.log(lines)
        if level >= self.threshold:
            self._end_dots()
            print(lines, end="", file=sys.stderr if level >= WARNING else sys.stdout)

    def log(self, lines: str) -> None:
        """Whole lines for the log only."""
        if self._log is not None:
            self._log.write(lines)

    def stage(self, name: str, seconds: float) -> None:
        """A stage that ended now: two lines in the log, a dot of progress at user level."""
        now = time.time()
        lines = (
            f"{timestamp(now - seconds)} Running {name}\n"
            f"{timestamp(now)} {name} finished after {seconds:.3f} seconds\n"
        )
        self.log(lines)
        if self.threshold <= INFO:
            print(lines, end="")
        elif self.threshold <= USER:
            print(".", end="", flush=True)
            self._dots += 1

    def passed(self) -> None:
        """The compilation succeeded."""
        self._end_dots()
        self.log("Compiler status PASS\n")
        if self.threshold <= USER:
            print("Compiler status PASS")

    def _end_dots(self) -> None:
        if self._dots:
            print()
        self._dots = 0
