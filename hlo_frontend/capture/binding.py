"""Which placeholder stands for which example input, weight or constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import _disable_current_modes

from hlo_frontend.capture import xla
from hlo_frontend.capture.dtypes import element_type
from hlo_frontend.capture.forms import Forms
from hlo_frontend.errors import CaptureError


@dataclass(slots=True, eq=False)
class Binding:
    """One placeholder. `lazy` is what the program computes with in its stead.

    `tensor` is the CPU tensor it stands for, None for an example input. `kind` is "input",
    "weight", "state" or "constant": what the program made itself from Python data.
    """

    kind: str
    name: str
    tensor: torch.Tensor | None
    lazy: torch.Tensor
    original: torch.Tensor  # the lazy tensor before any update in place
    leaf: int  # by this number the graph refers to the placeholder
    placeholder: torch.Tensor  # kept alive: its number must not be given to another
    index: int = -1  # of the example input, or of the output that a state takes

    @property
    def is_modified(self) -> bool:
        """Whether the program updated the tensor in place, also through a view."""
        return xla.value_id(self.lazy) != xla.value_id(self.original)


_KINDS = {"input": "example input", "weight": "weight", "state": "state"}


class Bindings:
    """Finds or makes the placeholder of a tensor.

    One tensor has one placeholder, and so has one place in memory seen the same way: tied weights
    are one parameter.
    """

    def __init__(self, names: Iterable[tuple[str, torch.Tensor]]) -> None:
        self._names: dict[object, str] = {}
        for name, tensor in names:
            self._names.setdefault(_view(tensor), name)
        self._taken = set(self._names.values())
        self._made: dict[int, torch.Tensor] = {}  # by id, kept alive
        self._states: dict[object, tuple[int, torch.Tensor]] = {}
        self._by_object: dict[int, Binding] = {}
        self._by_view: dict[object, Binding] = {}
        self._by_leaf: dict[int, Binding] = {}
        self._kept: list[torch.Tensor] = []  # their ids are keys: they must outlive this
        self.forms = Forms()

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._by_leaf.values())

    def declare_state(self, tensor: torch.Tensor, output_index: int) -> None:
        """Says that a tensor is state, which takes the value of an output after each call."""
        self._states[_view(tensor)] = (output_index, tensor)

    def declare_made(self, tensor: torch.Tensor) -> torch.Tensor:
        """Says that the program made a CPU tensor itself; returns it."""
        self._made[id(tensor)] = tensor
        return tensor

    def name_of(self, tensor: torch.Tensor) -> str:
        """The qualified name of a model's tensor, or an empty string."""
        return self._names.get(_view(tensor), "")

    def is_known(self, tensor: torch.Tensor) -> bool:
        """Whether a CPU tensor is the model's, was made by the program, or has a placeholder."""
        return (
            id(tensor) in self._by_object
            or id(tensor) in self._made
            or bool(self.name_of(tensor) or self.find(tensor))
        )

    def is_free(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is on the CPU and no lazy tensor stands for it."""
        return tensor.is_cpu and self.find(tensor) is None

    def find(self, tensor: torch.Tensor) -> Binding | None:
        """The binding of a CPU tensor, if it has a placeholder."""
        return self._by_object.get(id(tensor)) or self._by_view.get(_view(tensor))

    def of_leaf(self, leaf: int) -> Binding | None:
        """The binding that a number from `xla.leaves` refers to; None for what torch_xla made."""
        return self._by_leaf.get(leaf)

    def add_input(self, tensor: torch.Tensor, name: str, index: int) -> torch.Tensor:
        """The lazy tensor that stands for an example input."""
        return self._add("input", name, tensor, None, index).lazy

    def lazy(self, tensor: torch.Tensor) -> torch.Tensor:
        """The lazy tensor that stands for a CPU tensor, the same at each call."""
        binding = self._by_object.get(id(tensor))
        if binding is None:
            self._kept.append(tensor)
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                binding = self.find(tensor) or self._bind(tensor)
            self._by_object[id(tensor)] = binding
        return binding.lazy

    def constant(self, tensor: torch.Tensor) -> Binding:
        """A binding, without a place in the graph yet, for the value of a constant."""
        lazy = self.lazy(self.declare_made(tensor))
        return next(b for b in self._by_leaf.values() if b.lazy is lazy)

    def as_weight(self, binding: Binding) -> Binding:
        """The binding of a constant, named as a weight."""
        binding.kind, binding.name = "weight", self._new_name()
        return binding

    def require_updates_seen(self) -> None:
        """Raises CaptureError if a tensor was updated and another of the same storage was used."""
        held = [b for b in self if b.tensor is not None and b.tensor.numel()]
        for updated in (b for b in held if b.kind != "constant" and b.is_modified):
            for other in held:
                if other is not updated and _storage(other.tensor) == _storage(updated.tensor):
                    raise CaptureError(
                        f"capture: {updated.name!r}, which is updated in place, must not share "
                        f"memory with another tensor that is used, got {other.name!r}"
                    )

    def _bind(self, tensor: torch.Tensor) -> Binding:
        if id(tensor) in self._made:
            # What the program made may be written to later, through numpy: keep its value now.
            return self._add("constant", "", tensor, tensor.clone(), -1)
        view = _view(tensor)
        name = self._names.get(view) or self._new_name()
        output_index, _ = self._states.get(view, (-1, None))
        kind = "weight" if output_index < 0 else "state"
        binding = self._add(kind, name, tensor, tensor.detach(), output_index)
        self._by_view[view] = binding
        return binding

    def _new_name(self) -> str:
        number = sum(name.startswith("constant_") for name in self._taken)
        while f"constant_{number}" in self._taken:
            number += 1
        self._taken.add(f"constant_{number}")
        return f"constant_{number}"

    def _add(
        self, kind: str, name: str, like: torch.Tensor, tensor: torch.Tensor | None, index: int
    ) -> Binding:
        require_dense(like, f"{_KINDS[kind]} {name!r}" if name else kind)
        placeholder = xla.placeholder(like.shape, like.dtype)
        lazy = xla.functional(xla.identity(placeholder))
        self.forms.give(lazy, like)
        leaf = xla.tensor_id(placeholder)
        binding = Binding(kind, name, tensor, lazy, lazy.clone(), leaf, placeholder, index)
        self._by_leaf[leaf] = binding
        return binding


def require_dense(tensor: torch.Tensor, what: str) -> None:
    """Raises CaptureError unless a tensor holds its values in CPU memory, densely."""
    element_type(tensor, what)
    if tensor.layout is not torch.strided or tensor.is_quantized:
        kind = "a quantized one" if tensor.is_quantized else str(tensor.layout)
        raise CaptureError(f"capture: {what} must be a dense tensor, got {kind}")
    if tensor.device.type != "cpu":
        raise CaptureError(f"capture: {what} must be on the CPU, got device {tensor.device}")


def _storage(tensor: torch.Tensor | None) -> int:
    assert tensor is not None
    return tensor.untyped_storage().data_ptr()


def _view(tensor: torch.Tensor) -> object:
    """What two tensors share that see the same memory in the same way."""
    if tensor.layout is not torch.strided or tensor.numel() == 0 or tensor.device.type != "cpu":
        return id(tensor)
    return (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
