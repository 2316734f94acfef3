"""How lazy tensors would lie in memory on the CPU, where that decides what the program means.

On the CPU `x.t().reshape(-1)` is a copy and `x.reshape(-1)` a view, so a later update in place
does not, or does, reach `x`. To torch_xla every tensor is row-major. So each lazy tensor has a
form: a tensor on PyTorch's meta device, with strides and shared storage but no data, on which all
calls are repeated.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

_META = torch.device("meta")
_ATTRIBUTE = "_cpu_form"
# The CPU kernel lays its result out otherwise than what it is composed of on the meta device.
_UNTRUSTED = frozenset({F.scaled_dot_product_attention})
# Of row-major operands these make a new row-major tensor: no need to ask the meta device.
_FRESH = frozenset({
    F.linear, F.embedding, F.layer_norm, F.conv1d, F.conv2d, F.batch_norm, F.softmax, F.gelu,
    torch.matmul, torch.bmm, torch.add, torch.mul, torch.sub, torch.div,
    torch.softmax, torch.tanh, torch.sigmoid, torch.relu, torch.batch_norm, torch.layer_norm,
    *(getattr(torch.Tensor, f"__{name}__") for name in ("add", "radd", "mul", "rmul", "sub")),
    *(getattr(torch.Tensor, f"__{name}__") for name in ("truediv", "matmul", "pow", "rsub")),
})  # fmt: skip


class Forms:
    """Forms of lazy tensors, and what is not certain about them."""

    def __init__(self) -> None:
        self._uncertain: dict[int, torch.Tensor] = {}  # by storage, which it keeps alive
        self._ambiguous: dict[int, torch.Tensor] = {}
        self._lazies: list[weakref.ref[torch.Tensor]] = []

    def give(self, lazy: torch.Tensor, tensor: torch.Tensor) -> None:
        """Says that a lazy tensor lies in memory as a CPU tensor does."""
        form = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)
        self._set(lazy, form)

    def of(self, lazy: torch.Tensor) -> torch.Tensor:
        """The form of a lazy tensor; an uncertain one if it was made where calls are not seen."""
        form = lazy.__dict__.get(_ATTRIBUTE)
        if form is None or form.shape != lazy.shape:
            form = torch.empty(lazy.shape, dtype=lazy.dtype, device=_META)
            self._uncertain[_storage(form)] = form
            self._set(lazy, form)
        return form

    def is_uncertain(self, lazy: torch.Tensor) -> bool:
        """Whether it is not known how a lazy tensor would lie in memory."""
        return _storage(self.of(lazy)) in self._uncertain

    def is_whole(self, lazy: torch.Tensor) -> bool:
        """Whether a lazy tensor is all of its storage, row by row."""
        form = self.of(lazy)
        size = form.untyped_storage().nbytes()
        return form.is_contiguous() and size == form.numel() * form.element_size()

    def is_copied_by(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        """Whether a function that views its first argument if it can would copy it on the CPU."""
        with torch._C._DisableTorchDispatch():
            form = self.of(args[0])
            return _storage(func(form, *args[1:], **kwargs)) != _storage(form)

    def mark_ambiguous(self, *lazies: torch.Tensor) -> None:
        """Says that tensors may or may not share storage: writing to one must be refused."""
        for lazy in lazies:
            form = self.of(lazy)
            self._ambiguous[_storage(form)] = form

    def follow(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> bool:
        """Gives the results of a call their forms.

        False if the call wrote to a tensor of which it is not known what else that changes.
        """
        lazies = [t for t in _tensors((args, kwargs)) if _is_lazy(t)]
        results = [t for t in _tensors(result) if _is_lazy(t)]
        if in_transform() or not (lazies or results):
            return True
        with torch._C._DisableTorchDispatch():
            forms = [self.of(lazy) for lazy in lazies]
            if func in _FRESH and "out" not in kwargs and self._are_row_major(forms):
                for lazy in results:
                    self.give(lazy, lazy)  # to torch_xla all are row-major, and here they are
                return True
            before = [form._version for form in forms]
            made = self._repeated(func, args, kwargs)
            for lazy, form in zip(results, made, strict=True) if len(made) == len(results) else ():
                if form.shape == lazy.shape and form.dtype == lazy.dtype:
                    self._set(lazy, form)
            if func in _UNTRUSTED:
                self._uncertain.update((_storage(f), f) for f in map(self.of, results))
        return not self._ambiguous or not any(
            form._version != version and _storage(form) in self._ambiguous
            for form, version in zip(forms, before, strict=True)
        )

    def living(self) -> list[torch.Tensor]:
        """The lazy tensors that something still holds."""
        return [lazy for lazy in (ref() for ref in self._lazies) if lazy is not None]

    def _set(self, lazy: torch.Tensor, form: torch.Tensor) -> None:
        assert _is_lazy(lazy), "only what a capture made may get an attribute"
        setattr(lazy, _ATTRIBUTE, form)
        self._lazies.append(weakref.ref(lazy))

    def _are_row_major(self, forms: list[torch.Tensor]) -> bool:
        return all(f.is_contiguous() and _storage(f) not in self._uncertain for f in forms)

    def _repeated(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[torch.Tensor]:
        try:
            return list(_tensors(func(*self._formed(args), **self._formed(kwargs))))
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
            return []  # no meta kernel, or one that asks for values: results stay uncertain

    def _formed(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.of(value) if _is_lazy(value) else value
        if isinstance(value, torch.device):
            return _META if value.type == "xla" else value
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self._formed, value))
        if type(value) in (tuple, list):
            return type(value)(map(self._formed, value))
        if type(value) is dict:
            return {k: self._formed(v) for k, v in value.items()}
        return value


def in_transform() -> bool:
    """Whether a function transform (vmap, grad) runs: its tensors have no storage to speak of."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _is_lazy(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "xla"


def _storage(form: torch.Tensor) -> int:
    return form.untyped_storage()._cdata


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
