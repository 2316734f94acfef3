"""The operators that a callable runs, from its TorchScript graph, with their actual arguments."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from torch_neuronx.xla_impl.operator_graph import Node, graph_of

# TorchScript writes a dtype as PyTorch's own number for it.
DTYPES: dict[int, torch.dtype] = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    8: torch.complex32,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
    23: torch.float8_e5m2,
    24: torch.float8_e4m3fn,
}
# Operators whose results nobody can know from their arguments.
RANDOM = ("rand", "normal", "dropout", "bernoulli", "multinomial", "uniform", "exponential")


@dataclass(frozen=True, slots=True)
class Call:
    """One operator that ran: its kind (`aten::relu`), its schema and its arguments in that order.

    `known` says which arguments the example inputs have no part in. `stack` is the Python call
    stack, innermost first; `graph` the TorchScript graph of this operator alone.
    """

    kind: str
    schema: str
    arguments: tuple[Any, ...]
    known: tuple[bool, ...]
    stack: str
    graph: str


def operator(schema: str) -> Callable[..., Any]:
    """The function of an operator, called with the arguments of its schema in their order.

    Raises AttributeError or ImportError if nothing in this process provides it.
    """
    parsed = torch._C.parse_schema(schema)
    namespace, name = parsed.name.split("::")
    if not hasattr(getattr(torch.ops, namespace), name):
        importlib.import_module(namespace)  # `torchvision::nms` comes with torchvision
    packet = getattr(getattr(torch.ops, namespace), name)
    overload = getattr(packet, parsed.overload_name or "default")
    names = [a.name for a in parsed.arguments]
    first_keyword = sum(not a.kwarg_only for a in parsed.arguments)

    def call(*arguments: Any) -> Any:
        values = [
            DTYPES[value] if name == "dtype" and type(value) is int else value
            for name, value in zip(names, arguments, strict=True)
        ]
        keywords = dict(zip(names[first_keyword:], values[first_keyword:], strict=True))
        return overload(*values[:first_keyword], **keywords)

    return call


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
        stack.enter_context(_no_fast_path())
        stack.enter_context(warnings.catch_warnings())
        # The graph is for these inputs alone: that it may not generalize does not matter.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(_flat(func), example_inputs, strict=False, check_trace=False)
        graph = traced.inlined_graph
        run = _Run()
        inputs = list(graph.inputs())
        if len(inputs) > len(example_inputs):
            run.set(inputs.pop(0), traced, known=True)
        for value, given in zip(inputs, example_inputs, strict=True):
            run.set(value, given, known=False)
        run.block(graph)
    return run.calls


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Keep attention layers from calling an operator of their own, which no graph has."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _flat(func: Callable[..., Any]) -> torch.nn.Module:
    """A module that returns the tensors of the result in a list, whatever holds them.

    Its arguments have the names of the callable's, which the tracer gives to the graph's inputs.
    """

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.func = func
            self.held = torch.nn.ModuleList(_modules_of(func))  # else weights were constants

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


def _modules_of(func: Callable[..., Any]) -> list[torch.nn.Module]:
    """The modules that a function or method refers to."""
    held = [getattr(func, "__self__", None)]
    if inspect.isfunction(func):
        found = inspect.getclosurevars(func)
        held += [*found.nonlocals.values(), *found.globals.values()]
    return [m for m in held if isinstance(m, torch.nn.Module)]


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
            self.calls.append(Call(node.kind(), schema, kept, tuple(known), stack, graph))
        return [result] if node.outputsSize() == 1 else list(result or ())

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


def _raise(node: Node, arguments: list[Any]) -> list[Any]:
    raise RuntimeError(f"torch_neuronx.analyze: the program raises {arguments[0]}")


def _items(node: Node, arguments: list[Any]) -> list[Any]:
    return list(arguments[0])


def _same(node: Node, arguments: list[Any]) -> list[Any]:
    return arguments


# What nests values and computes nothing: each gives the node's outputs.
STRUCTURE: dict[str, Callable[[Node, list[Any]], list[Any]]] = {
    "prim::Constant": lambda node, _: [node.output().toIValue()],
    "prim::GetAttr": lambda node, values: [getattr(values[0], node.s("name"))],
    "prim::ListConstruct": lambda _, values: [list(values)],
    "prim::TupleConstruct": lambda _, values: [tuple(values)],
    "prim::DictConstruct": lambda _, v: [dict(zip(v[::2], v[1::2], strict=True))],
    "prim::ListUnpack": _items,
    "prim::TupleUnpack": _items,
    "prim::TupleIndex": lambda _, values: [values[0][values[1]]],
    "prim::NumToTensor": lambda _, values: [torch.tensor(values[0])],
    "aten::__getitem__": lambda _, values: [values[0][values[1]]],
    "prim::device": lambda _, values: [values[0].device],
    "prim::min": lambda _, values: [min(*values)],
    "prim::max": lambda _, values: [max(*values)],
    "prim::data": _same,
    "prim::unchecked_cast": _same,
    "prim::unchecked_unwrap_optional": _same,
    "prim::RaiseException": _raise,
}
