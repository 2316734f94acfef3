"""Compiles segments of a graph; those that fail are left to TensorFlow, with the reason logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass

from hlo_frontend.errors import CaptureError
from hlo_frontend.graphdef.assemble import Compiled, operator_name, with_all_ports
from hlo_frontend.graphdef.extract import SegmentCapture, UnsupportedNodesError, capture
from hlo_frontend.graphdef.graph import Graph
from hlo_frontend.graphdef.partition import Segment, left_out, partition, set_aside
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.types import Shape
from neff.compile import compile_module
from neff.errors import CompileError
from neff.program import Kind, Variable
from neff.program import Weight as BoundWeight
from neff.support.refusals import refusals
from tensorflow_neuron.flags import Flags
from tensorflow_neuron.workdir import Workdir

logger = logging.getLogger("Neuron")
MOST_COPIES = 64  # cores that the model of one segment goes on at most; of several, one each
TIMEOUT = 10  # seconds, as AWS's compiler writes it into the operator


class RefusedNodesError(Exception):
    """A segment cannot be compiled; `nodes` are those that it can be compiled without."""

    def __init__(self, message: str, nodes: frozenset[str]) -> None:
        super().__init__(message)
        self.nodes = nodes


@dataclass(frozen=True, slots=True)
class Placed:
    """The segments that were compiled."""

    compiled: tuple[Compiled, ...]


def compile_segments(
    graph: Graph, flags: Flags, chosen: Set[str] | None, workdir: Workdir
) -> list[Compiled]:
    """Every segment of the graph that compiles.

    Where nodes are refused, the graph is cut again without them, until all that is left compiles.
    """
    refused: set[str] = set()
    if chosen is None:
        _log_operators(left_out(graph))
    while True:
        found = partition(graph, refused, chosen)
        made: list[Compiled] = []
        for segment in found:
            whole = with_all_ports(graph, segment)
            try:
                made.append(_compile(graph, whole, flags, len(found), workdir))
            except RefusedNodesError as error:
                without = error.nodes or segment.names
                logger.warning("left to TensorFlow: %s\n  %s", _listed(without), str(error).strip())
                refused |= without
                break
        else:
            if chosen is None:
                _log_operators(set_aside(graph, refused, found))
            return made


def _log_operators(left: Mapping[str, Set[str]]) -> None:
    for reason, operators in sorted(left.items()):
        logger.warning("left to TensorFlow: %s\n  %s", _listed(operators), reason)


def _listed(names: Set[str]) -> str:
    shown = sorted(names)[:5]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _compile(
    graph: Graph, segment: Segment, flags: Flags, count: int, workdir: Workdir
) -> Compiled:
    name = operator_name(segment)
    captured = _captured(graph, segment)
    _check(captured.module, segment, flags)
    inputs = [
        Variable(f"input{n}", _shape(captured.module, n)) for n in range(len(captured.inputs))
    ]
    for n, weight in enumerate(captured.weights, start=len(inputs)):
        bound = BoundWeight.of(weight.array)
        inputs.append(Variable(f"{weight.name}:{n}", bound.shape, Kind.WEIGHT, bound))
    try:
        compiled = compile_module(
            captured.module, inputs, list(range(len(inputs))), options=flags.options
        )
    except CompileError as error:
        raise RefusedNodesError(str(error), frozenset()) from error
    workdir.write_segment(name, segment, captured, compiled)
    return Compiled(
        segment,
        compiled.neff.tobytes(),
        _model_config(flags, count),
        flags.dynamic_batch_size,
    )


def _captured(graph: Graph, segment: Segment) -> SegmentCapture:
    try:
        return capture(graph, segment)
    except UnsupportedNodesError as error:
        raise RefusedNodesError(str(error), error.nodes & segment.names) from error
    except (CaptureError, HloError) as error:
        raise RefusedNodesError(str(error), frozenset()) from error


def _check(module: HloModule, segment: Segment, flags: Flags) -> None:
    """Refuse the nodes that the compiler would refuse: instructions carry their node's name."""
    found = refusals(module, flags.options)
    if not found:
        return
    computations = {c.name: c for c in module.computations}
    by_instruction = {
        computations[r.computation].instructions[r.position].metadata.op_name
        for r in found
        if r.computation
    }
    nodes = frozenset(
        name
        for name in segment.names
        if any(o == name or o.startswith(f"{name}/") for o in by_instruction)
    )
    raise RefusedNodesError("\n  ".join(str(r) for r in found[:1]), nodes)


def _shape(module: HloModule, number: int) -> Shape:
    entry = module.entry
    shape = entry.instructions[entry.parameters[number]].shape
    assert isinstance(shape, Shape)
    return shape


def _model_config(flags: Flags, count: int) -> tuple[int, ...]:
    """The cores of all segments, those of one copy, how many copies at most, seconds."""
    cores = flags.pipeline_cores
    return (cores, cores, MOST_COPIES if count == 1 else 1, TIMEOUT)
