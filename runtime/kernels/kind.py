"""What a kernel is, and how an instruction calls a function of its program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neff.program import Function

Value = Any  # a JAX array, a tuple of values, or None for a token
Kernel = Callable[..., Value]


@dataclass(frozen=True, slots=True, weakref_slot=True)  # JAX keeps weak references
class Body:
    """A function of the program, callable on values."""

    function: Function
    run: Callable[[Function, tuple[Value, ...]], tuple[Value, ...]]

    def __call__(self, *arguments: Value) -> Value:
        """The function's one result (functions other than the entry return one value)."""
        (result,) = self.run(self.function, arguments)
        return result

    def combines(self) -> str | None:
        """The op of a body that is `op(parameter 0, parameter 1)`; else None.

        A body that returns its second parameter replaces: it is named `parameter`.
        """
        result = self.function.instructions[self.function.results[0]]
        if result.op == "parameter":
            return "parameter" if result["number"] == 1 else None
        sources = [self.function.instructions[o] for o in result.operands]
        numbers = [s["number"] for s in sources if s.op == "parameter"]
        return result.op if sorted(numbers) == [0, 1] and len(sources) == 2 else None
