"""The operators that a callable runs, from its TorchScript graph, with their actual arguments."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from hlo_frontend.capture.naming import roots
from hlo_frontend.capture.tracing import without_fast_path
from hlo_frontend.partition import Traced
from hlo_frontend.partition.operators import STRUCTURE, operator, results_of
from torch_neuronx.xla_impl.operator_graph import Node, graph_of

# Operators whose results nobody can know from their arguments.
RANDOM = ("rand", "normal", "dropout", "bernoulli", "multinomial", "uniform", "exponential")


@dataclass(frozen=True, slots=True)
class Call:
    """One operator that ran: its kind (`aten::relu`), its schema and its arguments in that order.

    `known` says which arguments the example inputs have no part in. `stack` is the Python call
    stack, innermost first; `graph` the TorchScript graph of this operator alone; `result` is the
    number of its first result in the whole graph.
    """

    kind: str
    schema: str
    arguments: tuple[Any, ...]
    known: tuple[bool, ...]
    stack: str
    graph: str
    result: int


def tensors_in(value: object) -> list[torch.Tensor]:
    """The tensors of a nested value, depth first."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return tensors_in(list(value.values()))
    if isinstance(value, tuple | list):
        return [t for item in value for t in tensors_in(item)]
    return []


def operators_of(func: Callable[..., Any], example_inputs: tuple[Any, ...]) -> list[Call]:
    """Every operator that makes a tensor when `func` runs on the example inputs, in order.

    The callable is traced with `torch.jit.trace` and the graph run once more, on the CPU, so that
    the arguments of each operator are known. Raises what either raises.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(without_fast_path())
        stack.enter_context(warnings.catch_warnings())
        # The graph is for these inputs alone: that it may not generalize does not matter.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(_flat(func), example_inputs, strict=False, check_trace=False)
        return _run(traced.inlined_graph, traced, example_inputs)


def operators_at(traced: Traced) -> dict[int, Call]:
    """What ran at each site of a traced graph, by its index; nothing for those that make no tensor
    and for control flow."""
    inputs = copy.deepcopy(traced.example_inputs)  # the program may write to them
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        calls = _run(traced.graph, traced.module, inputs)
    found = {call.result: call for call in calls}
    first = {s.index: s.node.outputsAt(0).unique() for s in traced.sites if s.node.outputsSize()}
    return {index: found[unique] for index, unique in first.items() if unique in found}


def _run(graph: Any, module: Any, example_inputs: Sequence[Any]) -> list[Call]:
    """The operators that run in a graph of a module."""
    run = _Run()
    inputs = list(graph.inputs())
    if len(inputs) > len(example_inputs):
        run.set(inputs.pop(0), module, known=True)
    for value, given in zip(inputs, example_inputs, strict=True):
        run.set(value, given, known=False)
    run.block(graph)
    return run.calls


def _flat(func: Callable[..., Any]) -> torch.nn.Module:
    """A module that returns the tensors of the result in a list, whatever holds them.

    Its arguments have the names of the callable's, which the tracer gives to the graph's inputs.
    """

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.func = func
            self.held = torch.nn.ModuleList(roots(func).values())  # else weights were constants

        def forward(self, *arguments: Any) -> list[torch.Tensor]:
            return tensors_in(self.func(*arguments))

    called = func.forward if isinstance(func, torch.nn.Module) else func
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    try:
        given = [p for p in inspect.signature(called).parameters.values() if p.kind in kinds]
    except ValueError:  # a built-in function, or TorchScript: its inputs stay without names
        given = []
    first = inspect.Parameter("self", kinds[0])
    names = [inspect.Parameter(p.name, kinds[0]) for p in given if p.name != "self"]
    Flat.forward.__signature__ = inspect.Signature([first, *names])  # type: ignore[attr-defined]
    return Flat()


class _Run:
    """Runs a graph node by node. `values` and `known` are by the name of a TorchScript value."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.known: set[str] = set()
        self.calls: list[Call] = []

    def set(self, value: Any, result: Any, known: bool) -> None:
        name = value.debugName()
        self.values[name] = result
        (self.known.add if known else self.known.discard)(name)

    def get(self, values: Sequence[Any]) -> list[Any]:
        return [self.values[v.debugName()] for v in values]

    def is_known(self, values: Sequence[Any]) -> list[bool]:
        return [v.debugName() in self.known for v in values]

    def block(self, block: Any) -> None:
        for node in block.nodes():
            self.node(node)

    def node(self, node: Node) -> None:
        kind, inputs = node.kind(), list(node.inputs())
        if kind in ("prim::If", "prim::Loop"):
            (self._branch if kind == "prim::If" else self._loop)(node)
            return
        arguments, known = self.get(inputs), self.is_known(inputs)
        if kind in STRUCTURE:
            results = STRUCTURE[kind](node, arguments)
        elif kind.startswith("prim::"):
            raise RuntimeError(
                f"torch_neuronx.analyze: a TorchScript graph must hold operators and what nests "
                f"them, got {kind}\n  in  {str(node).strip()}"
            )
        else:
            results = self._call(node, arguments, known)
        random = any(word in kind for word in RANDOM)
        for value, result in zip(node.outputs(), results, strict=True):
            self.set(value, result, known=all(known) and not random)

    def _call(self, node: Node, arguments: list[Any], known: list[bool]) -> list[Any]:
        schema = node.schema()
        graph = graph_of(node, arguments)
        result = operator(schema)(*arguments)
        if tensors_in(result):
            kept = tuple(map(_described, arguments))
            stack = node.sourceRange()
            number = node.outputsAt(0).unique()
            self.calls.append(Call(node.kind(), schema, kept, tuple(known), stack, graph, number))
        return results_of(node, result)

    def _branch(self, node: Node) -> None:
        (condition,) = node.inputs()
        chosen = list(node.blocks())[0 if self.values[condition.debugName()] else 1]
        self.block(chosen)
        self._pass(node.outputs(), chosen.outputs())

    def _loop(self, node: Node) -> None:
        limit, condition, *carried = node.inputs()
        (body,) = node.blocks()
        counter, *inside = body.inputs()
        goes_on, count = self.values[condition.debugName()], 0
        self._pass(node.outputs(), carried)
        while goes_on and count < self.values[limit.debugName()]:
            self.set(counter, count, known=True)
            self._pass(inside, node.outputs())
            self.block(body)
            again, *made = body.outputs()
            self._pass(node.outputs(), made)
            goes_on, count = self.values[again.debugName()], count + 1

    def _pass(self, targets: Any, sources: Any) -> None:
        targets, sources = list(targets), list(sources)
        results, known = self.get(sources), self.is_known(sources)
        for target, result, k in zip(targets, results, known, strict=True):
            self.set(target, result, k)


def _described(value: Any) -> Any:
    """An argument as it was before the operator ran; a large tensor only by what it looks like."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone() if value.numel() <= SMALL else value.detach().to("meta")
    if isinstance(value, list):
        return [_described(item) for item in value]
    return value


SMALL = 4096  # elements of a tensor that is kept by value
