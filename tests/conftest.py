"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Have Ctrl-C interrupt, as in a terminal: a shell starts background jobs with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
