"""Tells the program that it is being traced, as `torch.jit.trace` would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def said_to_trace() -> Iterator[None]:
    """`torch.jit.is_tracing()` is true in this thread.

    Libraries ask it before they look at values, which a graph does not know: attention masks of
    `transformers` above all. PyTorch has no public way to set it without its own tracer.
    """
    real, thread = torch._C._is_tracing, threading.get_ident()

    def is_tracing() -> bool:
        return threading.get_ident() == thread or real()

    torch._C._is_tracing = is_tracing
    try:
        yield
    finally:
        torch._C._is_tracing = real
