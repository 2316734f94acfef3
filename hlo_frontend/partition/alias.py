"""Which values of a TorchScript graph may share memory, and which nodes write to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

Node = Any

# Types whose values share nothing.
_PLAIN = {
    "BoolType",
    "ComplexType",
    "DeviceObjType",
    "FloatType",
    "IntType",
    "NoneType",
    "NumberType",
    "StringType",
}
# What builds containers, or takes them apart: results share memory with operands.
_CONTAINERS = {
    "prim::DictConstruct",
    "prim::ListConstruct",
    "prim::ListUnpack",
    "prim::TupleConstruct",
    "prim::TupleIndex",
    "prim::TupleSlice",
    "prim::TupleUnpack",
    "prim::unchecked_cast",
    "prim::unchecked_unwrap_optional",
}
_NOTHING_SHARED = {"prim::Constant", "prim::GetAttr"}
# Writers that change a tensor's sizes or strides.
_RESHAPING = {
    "aten::as_strided_",
    "aten::resize_",
    "aten::resize_as_",
    "aten::set_",
    "aten::squeeze_",
    "aten::swapaxes_",
    "aten::swapdims_",
    "aten::t_",
    "aten::transpose_",
    "aten::unsqueeze_",
}


@dataclass(slots=True)
class Aliases:
    """Classes of values, by `unique` number, that may share memory.

    `written` holds the classes that some node writes to, `reshaped` those whose sizes change.
    By number of a top-level node: `writes`, the classes it writes to, and `views`, the classes of
    results that share memory with its operands.
    """

    parent: dict[int, int] = field(default_factory=dict)
    _written: list[int] = field(default_factory=list)
    _reshaped: list[int] = field(default_factory=list)
    _writes: dict[int, list[int]] = field(default_factory=dict)
    _views: dict[int, list[int]] = field(default_factory=dict)

    def of(self, unique: int) -> int:
        """The class of a value."""
        parent = self.parent
        parent.setdefault(unique, unique)
        while parent[unique] != unique:
            parent[unique] = parent[parent[unique]]
            unique = parent[unique]
        return unique

    def join(self, values: Iterable[int]) -> None:
        first, *rest = values or (0,)
        for unique in rest:
            self.parent[self.of(unique)] = self.of(first)

    def written(self) -> set[int]:
        return {self.of(unique) for unique in self._written}

    def reshaped(self) -> set[int]:
        return {self.of(unique) for unique in self._reshaped}

    def writes(self, number: int) -> set[int]:
        return {self.of(unique) for unique in self._writes.get(number, ())}

    def views(self, number: int) -> set[int]:
        return {self.of(unique) for unique in self._views.get(number, ())}

    def write(self, number: int, kind: str, values: Sequence[int]) -> None:
        self._written += values
        self._writes.setdefault(number, []).extend(values)
        if kind in _RESHAPING:
            self._reshaped += values

    def view(self, number: int, results: Sequence[int], operands: Sequence[int]) -> None:
        if results and operands:
            self.join([*results, *operands])
            self._views.setdefault(number, []).extend(results)


def find_aliases(nodes: Sequence[Node]) -> Aliases:
    """The aliases among the top-level nodes of a graph and what is nested in them."""
    aliases = Aliases()
    for number, node in enumerate(nodes):
        _add(aliases, number, node)
    return aliases


def _add(aliases: Aliases, number: int, node: Node) -> None:
    kind = node.kind()
    if kind in _NOTHING_SHARED:
        return
    blocks = list(node.blocks())
    for block in blocks:
        for inner in block.nodes():
            _add(aliases, number, inner)
    if kind == "prim::If":
        _add_branches(aliases, number, node, blocks)
    elif kind == "prim::Loop":
        _add_loop(aliases, number, node, blocks[0])
    elif kind in _CONTAINERS:
        aliases.view(number, _sharing(node.outputs()), _sharing(node.inputs()))
    elif node.schema() == "(no schema)":
        touched = [*_sharing(node.inputs()), *_sharing(node.outputs())]
        aliases.view(number, touched, touched)
        aliases.write(number, kind, touched)
    else:
        _add_operator(aliases, number, node, kind)


def _add_branches(aliases: Aliases, number: int, node: Node, blocks: Sequence[Any]) -> None:
    for block in blocks:
        for result, made in zip(node.outputs(), block.outputs(), strict=True):
            aliases.view(number, _sharing([result]), _sharing([made]))


def _add_loop(aliases: Aliases, number: int, node: Node, body: Any) -> None:
    carried = zip(
        list(node.inputs())[2:],
        list(body.inputs())[1:],
        list(body.outputs())[1:],
        node.outputs(),
        strict=True,
    )
    for given, inside, made, result in carried:
        aliases.view(number, _sharing([result]), _sharing([given, inside, made]))


@dataclass(frozen=True, slots=True)
class _Sharing:
    """Of a schema: the arguments that are written to, those that share memory with results or with
    each other, and the results that share memory with arguments."""

    written: tuple[int, ...]
    shared: tuple[int, ...]
    stored: bool  # arguments become part of another one
    results: tuple[int, ...]


@cache
def _sharing_of(schema: str) -> _Sharing:
    parsed = torch._C.parse_schema(schema)
    infos = [argument.alias_info for argument in parsed.arguments]
    written = tuple(n for n, info in enumerate(infos) if info is not None and info.is_write)
    shared = tuple(n for n, info in enumerate(infos) if info is not None)
    stored = bool(written) and any(info is not None and "*" in info.after_set for info in infos)
    results = tuple(n for n, result in enumerate(parsed.returns) if result.alias_info is not None)
    return _Sharing(written, shared, stored, results)


def _add_operator(aliases: Aliases, number: int, node: Node, kind: str) -> None:
    sharing = _sharing_of(node.schema())
    if not sharing.shared:
        return
    inputs, outputs = list(node.inputs()), list(node.outputs())
    shared = _sharing(inputs[n] for n in sharing.shared)
    results = _sharing(outputs[n] for n in sharing.results)
    aliases.view(number, results, shared)
    aliases.write(number, kind, _sharing(inputs[n] for n in sharing.written))
    if sharing.stored:
        aliases.view(number, shared, shared)


def _sharing(values: Iterable[Any]) -> list[int]:
    """The values of types that can share memory."""
    return [value.unique() for value in values if value.type().kind() not in _PLAIN]
