"""Steps of a tile program that are one op together, which computes what they do, as they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from runtime.units.registers import Immediate, Source, Step

# What an op makes of the value `x`: an op and its operands, numbers standing for themselves.
Expression = tuple["str | float | Expression", ...]
IDIOMS: dict[str, Expression] = {
    "silu": ("multiply", ("logistic", "x"), "x"),
    "hard-swish": (
        "multiply",
        ("divide", ("minimum", ("maximum", ("add", "x", 3.0), 0.0), 6.0), 6.0),
        "x",
    ),
    "gelu": (
        "multiply",
        ("multiply", "x", 0.5),
        ("add", ("erf", ("multiply", "x", 0.7071067690849304)), 1.0),
    ),
}
_COMMUTATIVE = frozenset({"add", "multiply", "maximum", "minimum"})


def spoken(steps: Sequence[Step]) -> list[Step]:
    """The steps, with those made one that are an idiom and whose values nothing else reads."""
    read = Counter(s for step in steps for s in step.sources if isinstance(s, int))
    made: dict[int, Step] = {}
    for step in steps:
        for name, expression in IDIOMS.items():
            match = _Match(made, read)
            if not step.narrow and match.is_step(step, expression) and match.x is not None:
                for inner in match.inner:
                    del made[inner]
                step = replace(step, op=name, sources=(match.x,))
                break
        made[step.to] = step
    return list(made.values())


class _Match:
    """The reading of one step as an expression: what its `x` is, the values in between."""

    def __init__(self, made: Mapping[int, Step], read: Mapping[int, int]) -> None:
        self._made, self._read = made, read
        self.x: int | None = None
        self.inner: list[int] = []

    def is_step(self, step: Step, expression: Expression) -> bool:
        op, *operands = expression
        if step.op != op or len(step.sources) != len(operands):
            return False
        before = self.x, list(self.inner)
        orders = [operands, operands[::-1]] if op in _COMMUTATIVE else [operands]
        for order in orders:
            self.x, self.inner = before[0], list(before[1])
            if all(map(self._is_source, step.sources, order)):
                return True
        return False

    def _is_source(self, source: Source, operand: str | float | Expression) -> bool:
        if isinstance(operand, float):
            return source == Immediate(int(np.float32(operand).view(np.uint32)))
        if not isinstance(source, int):
            return False
        if isinstance(operand, str):
            self.x = source if self.x is None else self.x
            return self.x == source
        step = self._made.get(source)
        if step is None or step.narrow or self._read[source] != 1:
            return False
        self.inner.append(source)
        return self.is_step(step, operand)
