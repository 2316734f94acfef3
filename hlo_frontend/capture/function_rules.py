"""The functions of the PyTorch API that a capture treats otherwise than by lazy arguments alone."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import _disable_current_modes

from hlo_frontend.capture import xla
from hlo_frontend.capture.forms import in_transform
from hlo_frontend.capture.lifting import apply, is_cpu, lifted
from hlo_frontend.capture.pooling import POOLS, pool
from hlo_frontend.capture.session import Session

Function = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Rule = Callable[[Session, Function, Args, Kwargs], Any]
_CPU = torch.device("cpu")


def _unchanged(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """Questions about a tensor's form get the answer of the tensor that was asked."""
    return func(*args, **kwargs)


def _answer(value: Any) -> Rule:
    return lambda session, func, args, kwargs: value


def _make(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """Factory functions make lazy tensors where they would make CPU tensors."""
    device = kwargs.get("device")
    if device is None or is_cpu(device):
        kwargs = {**kwargs, "device": xla.device()}
    return apply(session, func, args, kwargs)


def _make_from_data(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """A tensor of Python or numpy data is a constant; one of a tensor is that tensor, copied."""
    data = args[0] if args else kwargs.get("data")
    if isinstance(data, torch.Tensor):
        dtype = kwargs.get("dtype") or (args[1] if len(args) > 1 else None) or data.dtype
        copy = {"copy": func is torch.tensor}
        return apply(session, torch.Tensor.to, (data, dtype), copy)
    operator = f"torch.{func.__name__}"
    known = functools.partial(_known, session, operator)
    args, kwargs = known(args), known(kwargs)
    with _disable_current_modes():
        return session.bindings.declare_made(func(*args, **kwargs))


def _sizes(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """`torch._shape_as_tensor` looks at the storage, which a lazy tensor has not."""
    with _disable_current_modes():
        return session.bindings.declare_made(torch.tensor(tuple(args[0].shape)))


def _to(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    args = tuple(xla.device() if is_cpu(a) else a for a in args)
    return apply(session, func, args, kwargs)


def _to_cpu(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    return lifted(session, args[0])


def _copy(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    return apply(session, torch.Tensor.clone, args[:1], {})


def _view_or_copy(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """What copies on the CPU must copy here, for a later update in place to mean the same."""
    if in_transform():
        return apply(session, func, args, kwargs)
    read = lifted if func is torch.Tensor.reshape_as else _size
    args = (lifted(session, args[0]), *(read(session, size) for size in args[1:]))
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


def _layer_norm(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """The statistics of nothing have the type of what is normalized too."""
    found = apply(session, func, args, kwargs)
    if args[0].numel():
        return found
    return tuple(part.to(args[0].dtype) for part in found)


def _tensor_split(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """Where to split must be known, as the sizes of the parts depend on it."""
    places = args[1] if len(args) > 1 else kwargs.get("tensor_indices_or_sections")
    if not isinstance(places, torch.Tensor):
        return apply(session, func, args, kwargs)
    known = session.value(places, "aten::tensor_split").tolist()
    rest = {k: v for k, v in kwargs.items() if k != "tensor_indices_or_sections"}
    return apply(session, func, (args[0], known, *args[2:]), rest)


def _size(session: Session, value: Any) -> Any:
    """A size, or several; one that is a tensor must be known."""
    if isinstance(value, tuple | list):
        return [_size(session, v) for v in value]
    return session.value(value, "aten::item").item() if isinstance(value, torch.Tensor) else value


def _as_strided(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    source = lifted(session, args[0])
    if in_transform() or session.forms.is_uncertain(source) or not session.forms.is_whole(source):
        raise session.refusal(
            "aten::as_strided",
            "needs a tensor whose place in memory is known and that is row-major",
            "call .contiguous() on the tensor first",
        )
    result = apply(session, func, args, kwargs)
    session.forms.mark_ambiguous(source)  # torch_xla gets writes through overlapping rows wrong
    return result


def _index(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """Slices may reach beyond a tensor, as `x[-512:]` of a short one; torch_xla refuses these."""
    return apply(session, func, (args[0], _within(args[1], args[0].shape), *args[2:]), kwargs)


def _within(index: Any, sizes: Sequence[int]) -> Any:
    """An index whose slices of plain numbers lie within the sizes of the dimensions they cut."""
    if isinstance(index, slice):
        return _within((index,), sizes)[0]
    if not isinstance(index, tuple) or not any(isinstance(i, slice) for i in index):
        return index
    taken = [_dimensions(i) for i in index]
    spread = len(sizes) - sum(taken)
    position, within = 0, []
    for item, count in zip(index, taken, strict=True):
        if isinstance(item, slice) and position < len(sizes):
            item = _clamped(item, sizes[position])
        within.append(item)
        position += spread if item is Ellipsis else count
    return tuple(within)


def _dimensions(item: Any) -> int:
    """How many dimensions of a tensor one part of an index consumes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, torch.Tensor) and item.dtype in (torch.bool, torch.uint8):
        return item.ndim
    return 1


def _clamped(cut: slice, size: int) -> slice:
    start, stop = (
        max(-size, min(size, edge)) if isinstance(edge, int) else edge
        for edge in (cut.start, cut.stop)
    )
    return slice(start, stop, cut.step)


def _ask_form(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    return func(session.forms.of(lifted(session, args[0])), *args[1:], **kwargs)


def _type(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    result = apply(session, func, args, kwargs)
    return result.replace("torch.xla.", "torch.") if isinstance(result, str) else result


def _read(operator: str) -> Rule:
    """Reading a value back to Python: exact where it is known, an error where it is not."""

    def rule(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
        known = functools.partial(_known, session, operator)
        values, kwargs = known(args), known(kwargs)
        with _disable_current_modes():
            result = func(*values, **kwargs)
        if isinstance(result, np.ndarray) and not session.bindings.is_free(args[0]):
            result.flags.writeable = False  # writing to it could not reach the lazy tensor
        return result

    return rule


def _known(session: Session, operator: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return session.value(value, operator)
    if type(value) in (list, tuple):
        return type(value)(_known(session, operator, v) for v in value)
    if type(value) is dict:
        return {k: _known(session, operator, v) for k, v in value.items()}
    return value


def _address(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """Asked for to know whether it is aligned, which it will be, and whether two are the same."""
    return 64 * (1 + zlib.crc32(xla.value_id(lifted(session, args[0])).encode()))


def _check(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """`torch._check_tensor_all` of what is not known is left out: a graph cannot raise."""
    if session.is_known(args[0]):
        return apply(session, func, args, kwargs)
    with _disable_current_modes():
        return torch.tensor(True)


def _show(session: Session, func: Function, args: Args, kwargs: Kwargs) -> Any:
    """Printing must not fail: a value that is not known shows as its dtype and sizes."""
    tensor = args[0]
    if session.is_known(tensor):
        return _read(f"Tensor.{func.__name__}")(session, func, args, kwargs)
    return f"<traced {str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}>"


def _getter(name: str) -> Function:
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
_READS: dict[Function, str] = {
    _T.item: "aten::item", _T.tolist: "Tensor.tolist", _T.numpy: "Tensor.numpy",
    _T.__array__: "Tensor.__array__", _T.__bool__: "aten::is_nonzero",
    _T.__int__: "aten::Int", _T.__float__: "aten::Float", _T.__index__: "Tensor.__index__",
    _T.__complex__: "aten::Complex", _T.__dlpack__: "Tensor.__dlpack__",
    _T.untyped_storage: "Tensor.untyped_storage",
    _T.__reduce_ex__: "Tensor.__reduce_ex__",
    torch.equal: "aten::equal", _T.equal: "aten::equal",
    torch.is_nonzero: "aten::is_nonzero", _T.is_nonzero: "aten::is_nonzero",
}  # fmt: skip

RULES: dict[Function, Rule] = {
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
    **dict.fromkeys(POOLS, pool),
    **dict.fromkeys((_T.as_strided, torch.as_strided), _as_strided),
    **dict.fromkeys((_T.stride, _T.is_contiguous, _T.storage_offset), _ask_form),
    **dict.fromkeys((_T.__getitem__, _T.__setitem__), _index),
    **dict.fromkeys((torch.tensor_split, _T.tensor_split), _tensor_split),
    torch.native_layer_norm: _layer_norm,
    _T.__deepcopy__: _copy,
    _T.data_ptr: _address,
    _T._is_all_true: _check,
    torch._shape_as_tensor: _sizes,
    _T.to: _to,
    _T.cpu: _to_cpu,
    _T.type: _type,
}
"""What is special about a function; all others just get lazy tensors."""
