"""The errors that capturing a program raises."""

from __future__ import annotations


class CaptureError(RuntimeError):
    """The callable cannot be turned into one fixed graph; the message says where and why."""


class UnsupportedOperatorError(CaptureError):
    """An operator that no fixed graph can hold.

    `operator` is its name as PyTorch spells it (`aten::nonzero`); `source` is the user's line
    (`model.py:41`), or an empty string where no line of the user's is known.
    """

    def __init__(self, message: str, operator: str, source: str) -> None:
        super().__init__(message)
        self.operator = operator
        self.source = source
