"""What the compiler's passes make of a module, one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.verify import verify_module
from hlo_frontend.inspect.difference import (
    BlockDifference,
    Changed,
    Difference,
    difference,
    opcodes,
)
from hlo_frontend.inspect.document import Document, difference_document
from hlo_frontend.inspect.graph import Graph, Node
from neff.inspect.graph import graph_of_program
from neff.lower import lower
from neff.options import CompileOptions
from neff.pipeline import PassRecord, pipeline, run


@dataclass(frozen=True, slots=True)
class Stage:
    """A pass and the program after it; `seconds` is None where it is not known."""

    name: str
    seconds: float | None
    graph: Graph


def compile_stages(module: HloModule, options: CompileOptions) -> list[Stage]:
    """Compile a module whose parameters are all inputs, and keep every stage.

    Raises HloError, CompileError or NotImplementedError.
    """
    verify_module(module)
    start = time.perf_counter()
    program = replace(lower(module), target=options.target)
    stages = [Stage("lower", time.perf_counter() - start, graph_of_program(program))]
    for step in pipeline(options):
        records: list[PassRecord] = []
        program = run(program, (step,), records.append)
        (record,) = records
        stages.append(Stage(record.name, record.seconds, graph_of_program(program)))
    return stages


@dataclass(frozen=True, slots=True)
class Step:
    """What one pass changed; `placement` says what it gave every instruction."""

    number: int
    stage: Stage
    before: int  # instructions of the entry function before the pass
    difference: Difference
    placement: tuple[str, ...] = ()

    @property
    def after(self) -> int:
        return len(self.stage.graph.entry.nodes)

    @property
    def entry(self) -> BlockDifference:
        """The difference of the entry function, which always stands last."""
        return self.difference.blocks[-1]

    @property
    def changes(self) -> bool:
        return bool(self.difference or self.placement)

    @property
    def changed(self) -> int:
        """Instructions that stayed and have another type or other attributes."""
        return sum(bool(_kinds(c) - {"operands", "engine"}) for c in self.entry.changed)

    @property
    def rewired(self) -> int:
        """Instructions that stayed as they are and read other ones."""
        return sum("operands" in _kinds(c) <= {"operands", "engine"} for c in self.entry.changed)


def _kinds(change: Changed) -> set[str]:
    return {what for what, _, _ in change.what}


def steps(stages: Sequence[Stage]) -> Iterator[Step]:
    """What each pass changed, in order; the stage before all passes comes as it is."""
    first = stages[0]
    count = len(first.graph.entry.nodes)
    start = BlockDifference(first.graph.entry.name, same=count)
    yield Step(0, first, count, Difference((), (start,)))
    for number, (before, after) in enumerate(pairwise(stages), start=1):
        found = difference(before.graph, after.graph)
        count = len(before.graph.entry.nodes)
        yield Step(number, after, count, found, tuple(_placement(before.graph, after.graph)))


def _placement(before: Graph, after: Graph) -> Iterator[str]:
    """What a pass was the first to say of where things run and lie."""
    old, new = before.entry.nodes, after.entry.nodes
    places: tuple[tuple[str, Callable[[Node], object]], ...] = (
        ("engines", lambda n: n.engine or None),
        ("regions", lambda n: n.region),
        ("buffers", lambda n: n.buffer or None),
    )
    for what, place in places:
        found = {place(n) for n in new} - {None}
        if found and all(place(n) is None for n in old):
            count = sum(bool(n.buffer) for n in new) if what == "buffers" else len(found)
            yield f"{count:,} {what}"


def step_value(step: Step, detailed: bool) -> Document:
    """A step as JSON; with `detailed`, every instruction that differs."""
    value: Document = {
        "number": step.number,
        "pass": step.stage.name,
        "seconds": step.stage.seconds,
        "instructions_before": step.before,
        "instructions_after": step.after,
        "modified": step.changes,
        "added": len(step.entry.added),
        "removed": len(step.entry.removed),
        "changed": step.changed,
        "rewired": step.rewired,
        "opcodes": opcodes(step.entry),
        "placement": list(step.placement),
    }
    if detailed:
        found = difference_document(step.difference)
        value |= {"interface": found["interface"], "functions": found["functions"]}
    return value
