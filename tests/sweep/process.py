"""Judges pairs in a worker process, so that a crash or a hang is a verdict too."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.sweep.verdict import Verdict

_ROOT = Path(__file__).parents[2]
_PAIRS_PER_PROCESS = 150  # what torch_xla and XLA keep of each would fill the memory in the end
_COMMAND = (sys.executable, "-W", "ignore", "-m", "tests.sweep.worker")


class Worker:
    """Starts the process when it is needed, again after a crash, a hang or many pairs."""

    def __init__(self, timeout: float, command: Sequence[str] = _COMMAND) -> None:
        """`timeout` is in seconds, for one pair; `command` starts the worker."""
        self._timeout = timeout
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  it lives as long as this
        self._done = 0

    def judge(self, name: str, kind: str, limit: int | None = None) -> Verdict:
        """The verdict on a pair."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: there will be no answer
            process.stdin.write(json.dumps([name, kind, limit]) + "\n")
            process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            ready = selector.select(self._timeout)
        line = process.stdout.readline() if ready else ""
        self._done += 1
        if line:
            made = json.loads(line)
            return Verdict(**{**made, "falls_back": tuple(made["falls_back"])})
        if not ready:
            self.close()
            return Verdict(name, kind, "fails", "hang", f"took more than {self._timeout:.0f} s")
        code = process.wait()
        return Verdict(name, kind, "fails", "crash", f"exit status {code}: {self._last_words()}")

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._done >= _PAIRS_PER_PROCESS:
            self.close()
        if self._process is None or self._process.poll() is not None:
            self._done = 0
            self._errors.seek(0)
            self._errors.truncate()
            self._process = subprocess.Popen(
                self._command,
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        return self._process

    def _last_words(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().replace("\0", "")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if "Check failed" in line or "Error" in line]
        return (telling or lines or ["nothing said"])[-1][:300]
