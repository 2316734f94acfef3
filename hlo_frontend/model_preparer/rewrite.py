"""Rewrites a traced graph: functions become modules, every module is called once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import fx

from hlo_frontend.model_preparer.calls import Call, Keep
from hlo_frontend.model_preparer.copying import independent_copy
from hlo_frontend.model_preparer.modules import CustomSiLU
from hlo_frontend.model_preparer.report import Change, Report
from hlo_frontend.model_preparer.rules import RULES
from hlo_frontend.model_preparer.tracing import Tracer

# Where users find what torch defines elsewhere.
_HOME = {
    "torch._C._nn": "torch.nn.functional",
    "torch.functional": "torch",
    "_operator": "operator",
}


class Rewrite:
    """One pass over a graph module, which is changed.

    The names are AIMET's. A function called `NODE` by torch.fx becomes `module_NODE` beside the
    children of the module whose forward calls it; the second call and every later one of a module
    becomes `module_CHILD_SUFFIX` beside it, where the suffix ends the node's name.
    """

    def __init__(self, prepared: fx.GraphModule, model: torch.nn.Module, tracer: Tracer) -> None:
        self._prepared, self._graph = prepared, prepared.graph
        self._model, self._tracer = model, tracer
        self._nodes = tuple(prepared.graph.nodes)
        self._leaves = {n.target for n in self._nodes if n.op == "call_module"}
        self._taken = {
            prefix
            for n in self._nodes
            if n.op in ("call_module", "get_attr")
            for prefix in _prefixes(str(n.target))
        }
        self._changes: list[Change] = []
        self._kept: list[Change] = []

    def run(self) -> Report:
        """Change the graph and the modules; to make the code anew is left to the caller."""
        called: dict[str, str] = {}  # by the path of a module, the node that calls it first
        for node in self._nodes:
            if node.op in ("call_function", "call_method"):
                self._replace_function(node)
            elif node.op == "call_module":
                target = str(node.target)
                if target in called:
                    self._unroll(node, target)
                called.setdefault(target, node.name)
        for path, module in list(self._prepared.named_modules(remove_duplicate=False)):
            if type(module) is torch.nn.SiLU and path in called:
                self._open_silu(path, module, called[path])
        return Report(tuple(self._changes), tuple(self._kept))

    def _replace_function(self, node: fx.Node) -> None:
        rule = RULES.get(node.target) if isinstance(node.target, Hashable) else None
        if rule is None:
            return
        old = _shown(node)
        try:
            new = rule(Call(node.args, dict(node.kwargs), self._tensor_of))
        except Keep as reason:
            self._kept.append(Change(node.name, old, f"stays: {reason}"))
            return
        scope = self._tracer.scope_of(node)
        name = f"module_{node.name}"
        if new.training is None:
            new.module.train(self._model.get_submodule(scope).training)
        path = self._call(node, _join(scope, name), new.module, new.args, new.kwargs)
        self._changes.append(Change(node.name, old, f"{path} ({type(new.module).__name__})"))

    def _unroll(self, node: fx.Node, target: str) -> None:
        parent, _, child = target.rpartition(".")
        original = self._model.get_submodule(target)
        module = self._opened(original) or independent_copy(original)
        name = f"module_{child}_{node.name.rpartition('_')[2]}"
        path = self._call(node, _join(parent, name), module, node.args, dict(node.kwargs))
        tied = ", tied" if next(module.parameters(), None) is not None else ""
        new = f"{path} ({type(module).__name__}{tied})"
        self._changes.append(Change(node.name, f"{target}, called again", new))

    def _open_silu(self, path: str, module: torch.nn.Module, node: str) -> None:
        parent, _, child = path.rpartition(".")
        opened = self._opened(module)
        if opened is not None and self._is_ours(parent):
            self._prepared.get_submodule(parent).add_module(child, opened)
            self._changes.append(Change(node, "SiLU", f"{path} (CustomSiLU)"))

    def _opened(self, module: torch.nn.Module) -> CustomSiLU | None:
        """A SiLU whose parts are modules, for one that is not excluded."""
        if type(module) is not torch.nn.SiLU or self._tracer.is_excluded(module):
            return None
        opened = CustomSiLU(module.inplace)
        opened.train(module.training)
        return opened

    def _call(
        self,
        node: fx.Node,
        path: str,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> str:
        """Call a new module in the place of a node; its path, which is another if this is taken."""
        with self._graph.inserting_after(node):
            new = self._graph.create_node("call_module", path, args, dict(kwargs))
            while not self._is_free(path):
                # The new node counts as a second call of what has the name: AIMET's way out.
                path = f"module_{new.name}"
                self._graph.erase_node(new)
                new = self._graph.create_node("call_module", path, args, dict(kwargs))
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        self._graph.erase_node(node)
        self._prepared.add_submodule(path, module)
        self._taken.update(_prefixes(path))
        return path

    def _is_free(self, path: str) -> bool:
        return path not in self._taken and self._is_ours(path.rpartition(".")[0])

    def _is_ours(self, path: str) -> bool:
        """Whether the module there was made for the prepared model: no leaf, and not in one."""
        return self._leaves.isdisjoint(_prefixes(path))

    def _tensor_of(self, node: fx.Node) -> torch.Tensor | None:
        if node.op != "get_attr":
            return None
        parent, _, name = str(node.target).rpartition(".")
        value = getattr(self._prepared.get_submodule(parent), name)
        return value if isinstance(value, torch.Tensor) else None


def _prefixes(path: str) -> list[str]:
    """`a`, `a.b` and `a.b.c` of `a.b.c`; none of the root."""
    atoms = path.split(".") if path else []
    return [".".join(atoms[:end]) for end in range(1, len(atoms) + 1)]


def _join(parent: str, child: str) -> str:
    return f"{parent}.{child}" if parent else child


def _shown(node: fx.Node) -> str:
    """`torch.add`, `x.add` or `operator.add`: what the node calls, as users write it."""
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    target: Any = node.target
    return f"{_HOME.get(target.__module__, target.__module__)}.{target.__name__}"
