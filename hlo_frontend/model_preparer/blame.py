"""Why torch.fx could not trace a model: the user's line, and what to do about it."""

from __future__ import annotations

import inspect
import linecache
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType, TracebackType

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
    *("arange", "as_tensor", "empty", "eye", "full", "linspace", "logspace", "ones", "rand"),
    *("randint", "randn", "randperm", "scalar_tensor", "tensor", "zeros"),
)
_WRAP = "move the code into a function at the top level of {file}, decorated with @torch.fx.wrap"
# A traced value seems to have every attribute, those too that announce an array in memory.
_TRACED = re.compile(r"\b(Proxy|Attribute|__array\w*__|__cuda_array_interface__)\b")


@dataclass(frozen=True, slots=True)
class Where:
    """The user's line that was being traced, the part that ran, and the module it belongs to."""

    path: str
    line: int
    text: str
    part: str
    layer: str
    parameters: tuple[str, ...]  # of the model, which concrete_args may name

    def __str__(self) -> str:
        layer = f", in layer {self.layer}" if self.layer else ""
        return f"  from {self.file}:{self.line}{layer}\n    {self.text}"

    @property
    def file(self) -> str:
        return os.path.basename(self.path)

    @property
    def called(self) -> str:
        """`sqrt` of `np.sqrt(x)`; empty where the part that ran is no call of a name."""
        call = re.match(r"(?:\w+\.)*(\w+)\(", self.part)
        return call[1] if call else ""


def explain(error: Exception, model: torch.nn.Module) -> Exception:
    """The error to raise instead: one that says where and what to do, or the same, with a note."""
    where = _where(error, model)
    if where is None:
        return error
    for kind, applies, describe in _CASES:
        if applies(error, where):
            what, remedy = describe(where)
            said = re.split(r"\.\s|\n", str(error))[0]
            return kind(f"prepare_model: {what} ({said})\n{where}\n  try: {remedy}")
    error.add_note(f"prepare_model: torch.fx was tracing the model\n{where}")
    return error


def _control_flow(where: Where) -> tuple[str, str]:
    decides = re.findall(r"\w+", where.part)
    named = [p for p in where.parameters if p in decides] or [*where.parameters, "flag"]
    return (
        f"which way the model goes must not depend on its inputs, got `{where.part}`",
        f"prepare_model(model, concrete_args={{{named[-1]!r}: ...}}) if that argument never "
        f"changes, else {_WRAP.format(file=where.file)}",
    )


def _length(where: Where) -> tuple[str, str]:
    return (
        f"the length of a traced value is not known, got `{where.part}`",
        f"torch.fx.wrap('len') at the top level of {where.file}",
    )


def _constructor(where: Where) -> tuple[str, str]:
    return (
        f"a tensor's constructor must be given constants, got `{where.part}`",
        f"constants, as in torch.arange(10), or {_WRAP.format(file=where.file)}",
    )


def _foreign(where: Where) -> tuple[str, str]:
    wrap = f"torch.fx.wrap({where.called!r}) at the top level of {where.file}, or "
    exclude = (
        f", or prepare_model(model, modules_to_exclude=[model.get_submodule({where.layer!r})])"
    )
    return (
        f"a function that is not torch's cannot take a traced value, got `{where.part}`",
        (wrap if where.called else "")
        + _WRAP.format(file=where.file)
        + (exclude if where.layer else ""),
    )


def _cannot_take_a_proxy(error: Exception, where: Where) -> bool:
    return isinstance(error, TypeError | ValueError) and bool(_TRACED.search(str(error)))


_CASES: tuple[
    tuple[
        type[PrepareError], Callable[[Exception, Where], bool], Callable[[Where], tuple[str, str]]
    ],
    ...,
] = (
    (ControlFlowError, lambda e, w: isinstance(e, TraceError), _control_flow),
    (UntraceableLengthError, lambda e, w: "'len' is not supported" in str(e), _length),
    (
        UntraceableCallError,
        lambda e, w: _cannot_take_a_proxy(e, w) and w.called in _CONSTRUCTORS,
        _constructor,
    ),
    (UntraceableCallError, _cannot_take_a_proxy, _foreign),
)


def _where(error: Exception, model: torch.nn.Module) -> Where | None:
    steps = [step for step in _steps(error.__traceback__) if _is_user(step.tb_frame)]
    if not steps:
        return None
    last = steps[-1]
    frame, line = last.tb_frame, last.tb_lineno
    text = linecache.getline(frame.f_code.co_filename, line, frame.f_globals)
    return Where(
        frame.f_code.co_filename,
        line,
        text.strip(),
        _part(last, text),
        _layer((step.tb_frame for step in reversed(steps)), model),
        tuple(inspect.signature(model.forward).parameters),
    )


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _part(step: TracebackType, text: str) -> str:
    """The expression that ran; the whole line where Python does not know, or it is on several."""
    positions = list(step.tb_frame.f_code.co_positions())
    line, end_line, start, end = positions[step.tb_lasti // 2]
    if line == end_line == step.tb_lineno and start is not None:
        return text.encode()[start:end].decode()
    return text.strip()


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
