"""The errors of preparing a model: each is also the error that torch.fx or Python raises there."""

from __future__ import annotations

from torch.fx.proxy import TraceError


class PrepareError(Exception):
    """The model cannot be traced; the message says where, and what to do."""


class ControlFlowError(PrepareError, TraceError):
    """A branch or a loop depends on what the inputs hold."""


class UntraceableCallError(PrepareError, TypeError):
    """A function that knows nothing of torch.fx, or a tensor's constructor, got a traced value."""


class UntraceableLengthError(PrepareError, RuntimeError):
    """`len()` of a traced value, which Python wants to be a number."""
