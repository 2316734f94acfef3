"""A callable as a module, which is what keeps weights out of the constants of a traced graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

from torch import nn

from hlo_frontend.capture.naming import roots

_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def as_module(func: Callable[..., Any]) -> nn.Module:
    """The callable itself where it is a module, the module of a `forward`, else a module that
    calls it. That one has the callable's argument names, which the tracer gives to the graph, and
    the modules that the callable reaches as submodules."""
    if isinstance(func, nn.Module):
        return func
    if isinstance(func, MethodType) and isinstance(func.__self__, nn.Module):
        module, called = func.__self__, func.__func__
        return module if called is type(module).forward else _Function.named(func)
    return _Function.named(func)


class _Function(nn.Module):
    """Calls a function."""

    def __init__(self, func: Callable[..., Any]) -> None:
        super().__init__()
        self._func = [func]  # in a list: a method's module must not become a submodule twice
        for name, module in roots(func).items():
            self.add_module(name.replace(".", "_") or "module", module)
        self.train(any(module.training for module in self.children()))

    def forward(self, *arguments: Any) -> Any:
        return self._func[0](*arguments)

    @staticmethod
    def named(func: Callable[..., Any]) -> _Function:
        class Function(_Function):
            def forward(self, *arguments: Any) -> Any:
                return self._func[0](*arguments)

        try:
            given = [p for p in inspect.signature(func).parameters.values() if p.kind in _KINDS]
        except (TypeError, ValueError):  # built in, or TorchScript: the inputs stay without names
            given = []
        first = inspect.Parameter("self", _KINDS[0])
        names = [inspect.Parameter(p.name, _KINDS[0]) for p in given if p.name != "self"]
        Function.forward.__signature__ = inspect.Signature([first, *names])  # type: ignore[attr-defined]
        return Function(func)
