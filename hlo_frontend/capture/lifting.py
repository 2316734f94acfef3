"""CPU tensors among the arguments of a call become lazy ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from hlo_frontend.capture import xla
from hlo_frontend.capture.session import Session


def apply(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The call with lazy tensors, followed on their forms."""
    lift = functools.partial(lifted, session)
    args = tuple(map(lift, args))
    kwargs = _on_device(lift, kwargs)
    result = func(*args, **kwargs)
    if not session.forms.follow(func, args, kwargs, result):
        raise session.refusal(
            f"torch.{func.__name__}",
            "writes to a tensor that may or may not share memory with another",
            "call .clone() on the tensor first",
        )
    return result


def lifted(session: Session, value: Any) -> Any:
    """A value of an argument with lazy tensors for CPU tensors and their device for the CPU."""
    if isinstance(value, torch.Tensor):
        return value if value.device.type == "xla" else _lazy(session, value)
    kind = type(value)
    if kind is tuple or kind is list:
        return kind(lifted(session, v) for v in value)
    if kind is dict:
        return {k: lifted(session, v) for k, v in value.items()}
    if kind is torch.device:
        return xla.device() if value.type == "cpu" else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*(lifted(session, v) for v in value))
    return value


def _lazy(session: Session, tensor: torch.Tensor) -> torch.Tensor:
    """The lazy tensor for one of the model's; the program may make and use meta tensors itself."""
    if tensor.is_meta and not session.bindings.name_of(tensor):
        return tensor
    return session.bindings.lazy(tensor)


def _on_device(lift: Callable[[Any], Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: xla.device() if name == "device" and is_cpu(value) else lift(value)
        for name, value in kwargs.items()
    }


def is_cpu(value: Any) -> bool:
    """Whether a value names the CPU as a device."""
    if isinstance(value, str):
        return value.split(":")[0] == "cpu"
    return isinstance(value, torch.device) and value.type == "cpu"
