"""Names: of the modules and tensors that a callable holds, and of its inputs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn


def roots(func: Callable[..., Any]) -> dict[str, nn.Module]:
    """The outermost modules that a callable reaches, by the prefix that their names take.

    A module, or the module that a method is bound to, has no prefix. Of a function, those in its
    closure, its defaults and the globals it names are found, under the names of these variables;
    of another object, those among its attributes.
    """
    found: dict[str, nn.Module] = {}
    for name, module in _reached(func, "", set()):
        if all(module is not known for known in found.values()):
            found[_free(name, found)] = module
    return found


def _free(name: str, taken: dict[str, Any]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{i}" for i in range(1, len(taken) + 2) if f"{name}_{i}" not in taken)


def _reached(value: object, name: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        yield name, value
        return
    for child_name, child in _held(value, name):
        yield from _reached(child, child_name, seen)


def _held(value: object, name: str) -> Iterator[tuple[str, object]]:
    """The values that a callable holds and may use when called."""
    if isinstance(value, MethodType):
        yield name, value.__self__
        yield name, value.__func__
    elif isinstance(value, functools.partial):
        yield name, value.func
        yield from ((f"arg{i}", v) for i, v in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, FunctionType):
        yield from _variables(value)
    elif isinstance(value, list | tuple):
        yield from ((f"{name}.{i}", v) for i, v in enumerate(value) if _may_hold(v))
    elif isinstance(value, dict):
        yield from ((f"{name}.{k}", v) for k, v in value.items() if _may_hold(v))
    elif _may_hold(value):
        yield from ((k, v) for k, v in vars(value).items() if _may_hold(v))


def _may_hold(value: object) -> bool:
    kinds = (nn.Module, FunctionType, MethodType, functools.partial)
    if isinstance(value, kinds):
        return True
    return callable(value) and hasattr(value, "__dict__") and not isinstance(value, type)


def _variables(function: FunctionType) -> Iterator[tuple[str, object]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from ((name, v) for name, v in (function.__kwdefaults__ or {}).items())
    yield from ((f"default{i}", v) for i, v in enumerate(function.__defaults__ or ()))
    for name in code.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, nn.Module | MethodType | functools.partial):
            yield name, value


def layer_paths(modules: dict[str, nn.Module]) -> dict[int, str]:
    """The path of every module below the given roots, by its id; the first path of several."""
    paths: dict[int, str] = {}
    for prefix, root in modules.items():
        for path, module in root.named_modules(prefix=prefix):
            paths.setdefault(id(module), path)
    return paths


def named_tensors(modules: dict[str, nn.Module]) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers and tensors that are plain attributes, with qualified names."""
    for prefix, root in modules.items():
        for named in (root.named_parameters, root.named_buffers):
            yield from named(prefix=prefix, remove_duplicate=False)
        for path, module in root.named_modules(prefix=prefix):
            for name, value in vars(module).items():
                if isinstance(value, torch.Tensor):
                    yield f"{path}.{name}" if path else name, value


def input_names(func: Callable[..., Any], count: int) -> list[str]:
    """A name for each positional argument: that of its parameter, or `arg0`, `arg1`."""
    names = [f"arg{i}" for i in range(count)]
    known = _positional(func)[:count]
    return known + names[len(known) :]


def _positional(func: Callable[..., Any]) -> list[str]:
    if isinstance(func, torch.jit.ScriptModule):
        return [a.name for a in func._c._get_method("forward").schema.arguments[1:]]
    if isinstance(func, torch.jit.ScriptFunction):
        schema: Any = func.schema
        return [a.name for a in schema.arguments]
    try:
        signature = inspect.signature(func.forward if isinstance(func, nn.Module) else func)
    except (TypeError, ValueError):  # built in C++
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.kind in kinds]


def display_name(func: Callable[..., Any]) -> str:
    """A name for the whole program: that of the module's class or of the function."""
    if isinstance(func, functools.partial):
        return display_name(func.func)
    if isinstance(func, torch.jit.ScriptModule):
        return func.original_name
    if isinstance(func, nn.Module):
        return type(func).__name__
    return getattr(func, "__name__", type(func).__name__)
