"""Steps of a tile program that are one op together, which computes what they do, as they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

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


def chosen_by_row(steps: Sequence[Step]) -> list[Step]:
    """The steps, where a softmax is 0 for rows of nothing but -infinity, without a choice for each
    element: such a row's maximum is taken for 0 and its sum for 1, and 0 / 1 is left.
    """
    made = {step.to: step for step in steps}
    read = Counter(s for step in steps for s in step.sources if isinstance(s, int))
    for choice in steps:
        found = _softmax(choice, made, read)
        if found is None:
            continue
        maximum, total = (
            Step(
                "select",
                max(made) + n,
                (choice.sources[0], Immediate.of(number), of.to),
                narrow=True,
            )
            for n, number, of in ((1, 0.0, found.maximum), (2, 1.0, found.total))
        )
        shifted = replace(found.shifted, sources=(found.shifted.sources[0], maximum.to))
        quotient = replace(found.quotient, to=choice.to, sources=(found.power.to, total.to))
        new = {
            found.shifted.to: [maximum, shifted],
            found.total.to: [found.total, total],
            found.quotient.to: [],
            choice.to: [quotient],
        }
        *others, store = steps
        return [*(s for step in others for s in new.get(step.to, [step])), store]
    return list(steps)


class _Softmax(NamedTuple):
    """The steps of exp(x - maximum) / total."""

    maximum: Step
    shifted: Step
    power: Step
    total: Step
    quotient: Step


def _softmax(choice: Step, made: Mapping[int, Step], read: Mapping[int, int]) -> _Softmax | None:
    """What a step chooses, or 0 where a row's maximum is -infinity."""

    def step(source: Source, op: str, reads: int = 1) -> Step | None:
        found = made.get(source) if isinstance(source, int) else None
        return found if found is not None and found.op == op and read[found.to] == reads else None

    if choice.op != "select" or choice.narrow or choice.sources[1] != Immediate.of(0.0):
        return None
    quotient = step(choice.sources[2], "divide")
    power = quotient and step(quotient.sources[0], "exponential", 2)
    total = quotient and step(quotient.sources[1], "reduce-add")
    shifted = power and step(power.sources[0], "subtract")
    condition = made.get(choice.sources[0]) if isinstance(choice.sources[0], int) else None
    if not (quotient and power and total and shifted and condition):
        return None
    maximum = step(shifted.sources[1], "reduce-maximum", 2)
    order = list(made)
    holds = (
        maximum is not None
        and maximum.sources == shifted.sources[:1]
        and total.sources == (power.to,)
        and condition.op == "EQ"
        and sorted(condition.sources, key=str)
        == sorted((maximum.to, Immediate.of(-np.inf)), key=str)
        and order.index(condition.to) < order.index(shifted.to)
    )
    return _Softmax(maximum, shifted, power, total, quotient) if maximum and holds else None


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
            return source == Immediate.of(operand)
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
