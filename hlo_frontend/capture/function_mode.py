"""Calls of the PyTorch API while a program is captured: CPU tensors become lazy ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import _disable_current_modes

from hlo_frontend.capture import xla
from hlo_frontend.capture.forms import in_transform
from hlo_frontend.capture.session import Session
from hlo_frontend.errors import CaptureError

Handler = Callable[[Session, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
_CPU = torch.device("cpu")


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
        handler = HANDLERS.get(func)
        if handler is not None:
            return handler(self._session, func, args, kwargs or {})
        return _apply(self._session, func, args, kwargs or {})


def _apply(
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
        return value if value.is_xla else _lazy(session, value)
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
        name: xla.device() if name == "device" and _is_cpu(value) else lift(value)
        for name, value in kwargs.items()
    }


def _is_cpu(value: Any) -> bool:
    if isinstance(value, str):
        return value.split(":")[0] == "cpu"
    return isinstance(value, torch.device) and value.type == "cpu"


def _autocast(session: Session, func: Callable[..., Any]) -> CaptureError:
    return session.refusal(
        f"torch.{getattr(func, '__name__', func)}",
        "runs under torch.autocast('cpu'), whose casts are not part of the graph",
        "give the model the wanted dtype (model.to(torch.bfloat16)), or compile with --auto-cast",
    )


def _unchanged(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Questions about a tensor's form get the answer of the tensor that was asked."""
    return func(*args, **kwargs)


def _answer(value: Any) -> Handler:
    return lambda session, func, args, kwargs: value


def _make(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Factory functions make lazy tensors where they would make CPU tensors."""
    device = kwargs.get("device")
    if device is None or _is_cpu(device):
        kwargs = {**kwargs, "device": xla.device()}
    return _apply(session, func, args, kwargs)


def _make_from_data(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A tensor of Python or numpy data is a constant; one of a tensor is that tensor, copied."""
    data = args[0] if args else kwargs.get("data")
    if isinstance(data, torch.Tensor):
        dtype = kwargs.get("dtype") or (args[1] if len(args) > 1 else None) or data.dtype
        copy = {"copy": func is torch.tensor}
        return _apply(session, torch.Tensor.to, (data, dtype), copy)
    operator = f"torch.{func.__name__}"
    known = functools.partial(_known, session, operator)
    args, kwargs = known(args), known(kwargs)
    with _disable_current_modes():
        return session.bindings.declare_made(func(*args, **kwargs))


def _to(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    args = tuple(xla.device() if _is_cpu(a) else a for a in args)
    return _apply(session, func, args, kwargs)


def _to_cpu(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return lifted(session, args[0])


def _copy(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return _apply(session, torch.Tensor.clone, args[:1], {})


def _view_or_copy(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What copies on the CPU must copy here, for a later update in place to mean the same."""
    if in_transform():
        return _apply(session, func, args, kwargs)
    args = tuple(lifted(session, a) for a in args)
    source, forms = args[0], session.forms
    uncertain = forms.is_uncertain(source)
    given = args
    if uncertain or forms.is_copied_by(func, args, kwargs):
        given = (source.clone(), *args[1:])
    result = func(*given, **kwargs)
    forms.follow(func, args, kwargs, result)
    if uncertain:
        forms.mark_ambiguous(source, result)
    return result


def _as_strided(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    source = lifted(session, args[0])
    if in_transform() or session.forms.is_uncertain(source) or not session.forms.is_whole(source):
        raise session.refusal(
            "aten::as_strided",
            "needs a tensor whose place in memory is known and that is row-major",
            "call .contiguous() on the tensor first",
        )
    result = _apply(session, func, args, kwargs)
    session.forms.mark_ambiguous(source)  # torch_xla gets writes through overlapping rows wrong
    return result


def _ask_form(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return func(session.forms.of(lifted(session, args[0])), *args[1:], **kwargs)


def _type(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    result = _apply(session, func, args, kwargs)
    return result.replace("torch.xla.", "torch.") if isinstance(result, str) else result


def _read(operator: str) -> Handler:
    """Reading a value back to Python: exact where it is known, an error where it is not."""

    def handler(
        session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        known = functools.partial(_known, session, operator)
        values, kwargs = known(args), known(kwargs)
        with _disable_current_modes():
            result = func(*values, **kwargs)
        if isinstance(result, np.ndarray) and not session.bindings.is_free(args[0]):
            result.flags.writeable = False  # writing to it could not reach the lazy tensor
        return result

    return handler


def _known(session: Session, operator: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return session.value(value, operator)
    if type(value) in (list, tuple):
        return type(value)(_known(session, operator, v) for v in value)
    if type(value) is dict:
        return {k: _known(session, operator, v) for k, v in value.items()}
    return value


def _show(
    session: Session, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Printing must not fail: a value that is not known shows as its dtype and sizes."""
    tensor = args[0]
    if session.is_known(tensor):
        return _read(f"Tensor.{func.__name__}")(session, func, args, kwargs)
    return f"<traced {str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}>"


def _getter(name: str) -> Callable[..., Any]:
    return getattr(torch.Tensor, name).__get__


_T = torch.Tensor
_FROM_DATA = (
    torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, torch.frombuffer,
)  # fmt: skip
_FORM = (
    "shape", "dtype", "ndim", "layout", "requires_grad", "is_leaf", "grad_fn", "is_sparse",
    "is_quantized", "is_meta", "is_cuda", "itemsize", "nbytes", "names", "is_nested", "is_mps",
)  # fmt: skip
_FORM_METHODS = (
    _T.dim, _T.size, _T.numel, _T.is_floating_point, _T.is_complex, _T.__len__, _T.nelement,
    _T.element_size, _T.__hash__, torch.is_floating_point, torch.is_complex, torch.numel,
)  # fmt: skip
_VIEW_OR_COPY = (
    _T.contiguous, _T.reshape, torch.reshape, _T.flatten, torch.flatten, _T.ravel, torch.ravel,
    _T.reshape_as,
)  # fmt: skip
_READS = {
    _T.item: "aten::item", _T.tolist: "Tensor.tolist", _T.numpy: "Tensor.numpy",
    _T.__array__: "Tensor.__array__", _T.__bool__: "aten::is_nonzero",
    _T.__int__: "aten::Int", _T.__float__: "aten::Float", _T.__index__: "Tensor.__index__",
    _T.__complex__: "aten::Complex", _T.__dlpack__: "Tensor.__dlpack__",
    _T.untyped_storage: "Tensor.untyped_storage", _T.data_ptr: "Tensor.data_ptr",
    _T.__reduce_ex__: "Tensor.__reduce_ex__",
    torch.equal: "aten::equal", _T.equal: "aten::equal",
    torch.is_nonzero: "aten::is_nonzero", _T.is_nonzero: "aten::is_nonzero",
}  # fmt: skip

HANDLERS: dict[Callable[..., Any], Handler] = {
    **dict.fromkeys(_device_constructors(), _make),
    **dict.fromkeys(_FROM_DATA, _make_from_data),
    **{_getter(name): _unchanged for name in _FORM},
    **dict.fromkeys(_FORM_METHODS, _unchanged),
    **{func: _read(operator) for func, operator in _READS.items()},
    **dict.fromkeys((_T.__repr__, _T.__format__), _show),
    _getter("device"): _answer(_CPU),
    _getter("is_cpu"): _answer(True),
    _getter("is_xla"): _answer(False),
    _T.get_device: _answer(-1),
    **dict.fromkeys(_VIEW_OR_COPY, _view_or_copy),
    **dict.fromkeys((_T.as_strided, torch.as_strided), _as_strided),
    **dict.fromkeys((_T.stride, _T.is_contiguous, _T.storage_offset), _ask_form),
    _T.__deepcopy__: _copy,
    _T.to: _to,
    _T.cpu: _to_cpu,
    _T.type: _type,
}
"""What is special about a function; all others just get lazy tensors."""
