"""Steps of a tile program, and the few registers that their values take turns in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class Immediate(NamedTuple):
    """A value that all elements have, as the 32 bits of a register's element."""

    bits: int

    @staticmethod
    def of(number: float) -> Immediate:
        return Immediate(int(np.float32(number).view(np.uint32)))


Source = int | Immediate  # a value, by its number, or what stands for itself


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction of a tile program that makes the value `to`, or stores its only source."""

    op: str
    to: int
    sources: tuple[Source, ...] = ()
    operand: int = 0  # of a load
    narrow: bool = False  # makes one value per row


def paired(steps: Sequence[Step], pairs: Container[str]) -> list[Step]:
    """The steps, with two made one where the first's value is read by the second alone."""
    read = Counter(s for step in steps for s in step.sources if isinstance(s, int))
    made: dict[int, Step] = {}
    for step in steps:
        for source in [s for s in step.sources if isinstance(s, int)]:
            first = made.get(source)
            if first is None or first.narrow or read[source] != 1:
                continue
            pair = f"{first.op}.{_seen_from(step, source)}"
            if pair in pairs and (not step.narrow or step.op.startswith("reduce-")):
                del made[source]
                rest = tuple(s for s in step.sources if s != source)
                step = replace(step, op=pair, sources=(*first.sources, *rest))
                break
        made[step.to] = step
    return list(made.values())


def _seen_from(step: Step, source: Source) -> str:
    """What a step does to one of its sources."""
    turned = step.op == "subtract" and step.sources[0] != source
    return "subtract-from" if turned else step.op


class Placed(NamedTuple):
    """A step with registers, and immediates after them, for its values."""

    step: Step
    to: int
    sources: tuple[int, ...]


class Registers(NamedTuple):
    """A program's steps, and what its values take."""

    steps: tuple[Placed, ...]
    registers: int
    immediates: tuple[int, ...]


def place(steps: Sequence[Step], preset: bool) -> Registers:
    """Registers for the values of steps in order; value 0, if `preset`, is in register 0.

    A value is over with the step that reads it last.
    """
    immediates = sorted({s.bits for step in steps for s in step.sources if not isinstance(s, int)})
    last = {s: n for n, step in enumerate(steps) for s in step.sources if isinstance(s, int)}
    made = {step.to: step for step in steps if step.op != "store"}
    homes: dict[int, int] = {0: 0} if preset else {}
    count, free = len(homes), list[int]()
    placed: list[tuple[Step, int]] = []
    at: list[dict[int, int]] = []
    for n, step in enumerate(steps):
        over = {s for s in step.sources if isinstance(s, int) and last[s] == n}
        at.append({s: homes[s] for s in step.sources if isinstance(s, int)})
        early = {s for s in over if _may_overwrite(step, made.get(s))}
        free.extend(homes.pop(s) for s in sorted(early))
        if step.op == "store":
            placed.append((step, 0))
            continue
        if free:
            free.sort(reverse=True)
            home = free.pop()
        else:
            home, count = count, count + 1
        homes[step.to] = home
        placed.append((step, home))
        free.extend(homes.pop(s) for s in sorted(over - early))
    number = {bits: max(count, 1) + n for n, bits in enumerate(immediates)}
    return Registers(
        tuple(
            Placed(
                step,
                home,
                tuple(where[s] if isinstance(s, int) else number[s.bits] for s in step.sources),
            )
            for (step, home), where in zip(placed, at, strict=True)
        ),
        max(count, 1),
        tuple(immediates),
    )


def _may_overwrite(step: Step, source: Step | None) -> bool:
    """Whether a step may write where a source lies that it reads as it goes.

    What was loaded may lie in one row for all, what is narrow in one vector for a row.
    """
    if source is None:
        return True
    return step.narrow if source.narrow else source.op != "load"
