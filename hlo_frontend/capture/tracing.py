"""Tells the program that it is being traced, as `torch.jit.trace` would."""

from __future__ import annotations

import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.backends.mha
from torch.nn.utils import stateless

_FUNCTIONAL_CALL = stateless._functional_call.__code__


@contextmanager
def without_fast_path() -> Iterator[None]:
    """Transformer layers run as the layers that they are made of, as on any device but a CPU."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def said_to_trace() -> Iterator[None]:
    """`torch.jit.is_tracing()` is true in this thread.

    Libraries ask it before they look at values, which a graph does not know: attention masks of
    `transformers` above all. PyTorch has no public way to set it without its own tracer.
    """
    real, thread = torch._C._is_tracing, threading.get_ident()
    rounding = torch.ceil, torch.floor

    def is_tracing() -> bool:
        if sys._getframe(2).f_code is _FUNCTIONAL_CALL:
            return real()  # it refuses to be traced, which a capture does not need it to
        return threading.get_ident() == thread or real()

    torch._C._is_tracing = is_tracing
    torch.ceil, torch.floor = (
        _of_numbers(torch.ceil, math.ceil),
        _of_numbers(torch.floor, math.floor),
    )
    try:
        yield
    finally:
        torch._C._is_tracing = real
        torch.ceil, torch.floor = rounding


def _of_numbers(
    of_tensors: Callable[..., Any], of_numbers: Callable[[float], int]
) -> Callable[..., Any]:
    """A function of PyTorch that also takes numbers: sizes, which are tensors to its own tracer."""

    @functools.wraps(of_tensors)
    def function(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, int | float):
            return float(of_numbers(value))
        return of_tensors(value, *args, **kwargs)

    return function
