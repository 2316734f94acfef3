"""The state of one capture: bindings, places, what went wrong, and reading of known values."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import _disable_current_modes

from hlo_frontend.capture import xla
from hlo_frontend.capture.binding import Binding, Bindings
from hlo_frontend.capture.source import Places
from hlo_frontend.errors import CaptureError, UnsupportedOperatorError


class Session:
    """What the function mode and the operator mode share while a program runs once."""

    def __init__(self, bindings: Bindings, places: Places) -> None:
        self.bindings = bindings
        self.forms = bindings.forms
        self.places = places
        self.error: CaptureError | None = None
        self.draws_random = False
        self.open: list[object] = []  # operators that are being decomposed, outermost first

    def refusal(self, operator: str, because: str, remedy: str = "") -> UnsupportedOperatorError:
        """The error for an operator that the graph cannot hold.

        The first one is kept and raised when the program has run, even if the program caught it:
        the path it then took is not that of eager execution.
        """
        place = self.places.here()
        message = "\n  ".join(
            part
            for part in (
                f"capture: {operator} {because}",
                str(place),
                f"try: {remedy}" if remedy else "",
            )
            if part
        )
        error = UnsupportedOperatorError(message, operator, place.source)
        self.error = self.error or error
        return error

    def value(self, tensor: torch.Tensor, operator: str) -> torch.Tensor:
        """The value of a tensor, on the CPU, if every run of the graph has the same.

        Raises UnsupportedOperatorError if it depends on an example input, on state, on a tensor
        that the program updates or on a random number.
        """
        if tensor.device.type == "cpu":
            binding = self.bindings.find(tensor)
            if binding is None or not self._varies(binding):
                return tensor
            tensor = binding.lazy
        leaves = xla.leaves([tensor])
        values = [self._leaf_value(leaf, held, operator) for leaf, held in leaves]
        with _disable_current_modes():
            return xla.evaluate(tensor, values)

    def is_known(self, tensor: torch.Tensor) -> bool:
        """Whether `value` would return rather than raise."""
        if tensor.device.type == "cpu":
            binding = self.bindings.find(tensor)
            return binding is None or not self._varies(binding)
        return all(self._unknown(leaf) is None for leaf, _ in xla.leaves([tensor]))

    def constant(self, tensor: torch.Tensor) -> torch.Tensor:
        """The lazy tensor for a value computed on the CPU while the program runs."""
        return self.bindings.lazy(self.bindings.declare_made(tensor))

    def _leaf_value(self, leaf: int, held: torch.Tensor, operator: str) -> torch.Tensor:
        unknown = self._unknown(leaf)
        if unknown is not None:
            raise self.refusal(
                operator,
                f"needs a value that depends on {unknown}, which is not known when the graph "
                "is made",
                "compute with tensors instead (torch.where in place of if), "
                "or read the value outside the traced callable",
            )
        binding = self.bindings.of_leaf(leaf)
        if binding is None:
            return held
        assert binding.tensor is not None
        return binding.tensor

    def _unknown(self, leaf: int) -> str | None:
        """What the value of a leaf depends on, None if it is known."""
        binding = self.bindings.of_leaf(leaf)
        if binding is None:
            return "a random number" if xla.is_seed(leaf) else None
        if binding.kind == "input":
            return f"example input {binding.name!r}"
        if self._varies(binding):
            return f"{binding.name!r}, which the program updates"
        return None

    def _varies(self, binding: Binding) -> bool:
        return binding.kind in ("input", "state") or binding.is_modified
