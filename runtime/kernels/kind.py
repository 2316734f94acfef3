"""What a kernel is, how it refuses, and how an instruction calls a function of its program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neff.program import Function

Value = Any  # a JAX array, a tuple of values, or None for a token
Kernel = Callable[..., Value]


class UnsupportedInstructionError(NotImplementedError):
    """The program has an instruction, or a form of one, that the runtime has no kernel for."""


class UnsupportedFormError(NotImplementedError):
    """A form of an op that its kernel does not compute; the interpreter adds the instruction."""


@dataclass(frozen=True, slots=True, weakref_slot=True)  # JAX keeps weak references
class Body:
    """A function of the program, callable on values."""

    function: Function
    run: Callable[[Function, tuple[Value, ...]], tuple[Value, ...]]

    def __call__(self, *arguments: Value) -> Value:
        """The function's one result (functions other than the entry return one value)."""
        (result,) = self.run(self.function, arguments)
        return result
