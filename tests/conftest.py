"""What holds for every test."""

from __future__ import annotations

import signal

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have PyTorch know the device of captures before any test computes a gradient: it counts
    devices once (tests/capture/test_gradients.py has what happens otherwise)."""
    if any("grad" in item.name for item in session.items):
        import torch_xla

        torch_xla.device()


def pytest_configure() -> None:
    """Have Ctrl-C interrupt, as in a terminal: a shell starts background jobs with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
