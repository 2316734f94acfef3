"""The one error that reading, checking and printing HLO raise."""

from __future__ import annotations


class HloError(ValueError):
    """A file, text or instruction that is not well-formed HLO; the message says what must hold."""


class DynamicShapeError(HloError):
    """A dimension whose size is not known when compiling."""
