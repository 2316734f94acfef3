"""Calls of the PyTorch API while a program is captured: CPU tensors become lazy ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from hlo_frontend.capture.function_rules import RULES
from hlo_frontend.capture.lifting import apply
from hlo_frontend.capture.session import Session
from hlo_frontend.errors import CaptureError


class FunctionMode(TorchFunctionMode):
    """Replaces every CPU tensor among the arguments by its lazy tensor before PyTorch sees it.

    The program is told that it runs on the CPU, as it would in `torch.jit.trace`.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if torch.is_autocast_enabled("cpu"):
            raise _autocast(self._session, func)
        return RULES.get(func, apply)(self._session, func, args, kwargs or {})


def _autocast(session: Session, func: Callable[..., Any]) -> CaptureError:
    return session.refusal(
        f"torch.{getattr(func, '__name__', func)}",
        "runs under torch.autocast('cpu'), whose casts are not part of the graph",
        "give the model the wanted dtype (model.to(torch.bfloat16)), or compile with --auto-cast",
    )
