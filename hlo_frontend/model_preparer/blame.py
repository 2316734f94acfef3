"""Why torch.fx could not trace a model: the user's line, and what to do about it."""

from __future__ import annotations

import inspect
import linecache
import os
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType

import torch
from torch.fx.proxy import TraceError

from hlo_frontend.model_preparer.errors import (
    ControlFlowError,
    PrepareError,
    UntraceableCallError,
    UntraceableLengthError,
)

_NOT_THE_USERS = tuple(
    os.path.join(directory, "")
    for directory in (os.path.dirname(torch.__file__), os.path.dirname(__file__))
)
_CONSTRUCTORS = (
    *("arange", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randint"),
    *("randn", "randperm", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
)
_WRAP = "move the code into a function of the module's top level, decorated with @torch.fx.wrap"


@dataclass(frozen=True, slots=True)
class Where:
    """The user's line that was being traced, and the path of the module it belongs to."""

    file: str
    line: int
    text: str
    layer: str
    parameters: tuple[str, ...]  # of the model, which concrete_args may name

    def __str__(self) -> str:
        layer = f", in layer {self.layer}" if self.layer else ""
        return f"  from {os.path.basename(self.file)}:{self.line}{layer}\n    {self.text}"

    def concrete(self) -> str:
        """How to give the argument that the line names, or the first that may decide."""
        words = re.findall(r"\w+", self.text)
        named = [p for p in self.parameters if p in words] or [*self.parameters[1:], "flag"]
        return f"prepare_model(model, concrete_args={{{named[0]!r}: True}})"


def explain(error: Exception, model: torch.nn.Module) -> Exception:
    """The error to raise instead: one that says where and what to do, or the same, with a note."""
    where = _where(error, model)
    if where is None:
        return error
    for kind, applies, describe in _CASES:
        if applies(error):
            return kind(f"prepare_model: {describe(error, where)}")
    error.add_note(f"prepare_model: torch.fx was tracing the model\n{where}")
    return error


def _control_flow(error: Exception, where: Where) -> str:
    return (
        "a branch or a loop must not depend on what the inputs hold, got one that does "
        f"(torch.fx: {_first_line(error)})\n{where}\n"
        f"  try: {where.concrete()} for an argument that never changes, else {_WRAP}"
    )


def _length(error: Exception, where: Where) -> str:
    return (
        f"the length of a traced value is not known while tracing (torch.fx: {_first_line(error)})"
        f"\n{where}\n  try: torch.fx.wrap('len') at the top level of {_module(where)}"
    )


def _constructor(error: Exception, where: Where) -> str:
    return (
        "the arguments of a tensor's constructor must be known while tracing, got ones that "
        f"depend on the inputs ({_first_line(error)})\n{where}\n"
        f"  try: constants, as in torch.arange(10), or {_WRAP}"
    )


def _foreign(error: Exception, where: Where) -> str:
    return (
        "a function that is not torch's cannot be given a traced value "
        f"({_first_line(error)})\n{where}\n"
        f"  try: torch.fx.wrap('NAME OF THE FUNCTION') at the top level of {_module(where)}, "
        "or modules_to_exclude=[the module that calls it]"
    )


def _is_constructor(error: Exception) -> bool:
    name = re.match(r"\w+", str(error))
    return _names_a_proxy(error) and name is not None and name[0] in _CONSTRUCTORS


def _names_a_proxy(error: Exception) -> bool:
    return isinstance(error, TypeError) and re.search(r"\bProxy\b", str(error)) is not None


_CASES: tuple[
    tuple[type[PrepareError], Callable[[Exception], bool], Callable[[Exception, Where], str]],
    ...,
] = (
    (ControlFlowError, lambda error: isinstance(error, TraceError), _control_flow),
    (UntraceableLengthError, lambda error: "'len' is not supported" in str(error), _length),
    (UntraceableCallError, _is_constructor, _constructor),
    (UntraceableCallError, _names_a_proxy, _foreign),
)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _module(where: Where) -> str:
    return os.path.basename(where.file)


def _where(error: Exception, model: torch.nn.Module) -> Where | None:
    frames = [(f, line) for f, line in traceback.walk_tb(error.__traceback__) if _is_user(f)]
    if not frames:
        return None
    frame, line = frames[-1]
    file = frame.f_code.co_filename
    return Where(
        file,
        line,
        linecache.getline(file, line, frame.f_globals).strip(),
        _layer((f for f, _ in reversed(frames)), model),
        tuple(inspect.signature(model.forward).parameters),
    )


def _is_user(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith("<frozen") and not os.path.abspath(file).startswith(_NOT_THE_USERS)


def _layer(frames: Iterable[FrameType], model: torch.nn.Module) -> str:
    """The path of the innermost module whose method is one of these frames."""
    paths = {id(module): path for path, module in model.named_modules()}
    for frame in frames:
        path = paths.get(id(frame.f_locals.get("self")))
        if path is not None:
            return path
    return ""
