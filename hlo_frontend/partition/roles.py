"""What each node of a TorchScript graph is to a partition: repeated, kept on the CPU, or free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from hlo_frontend.partition.alias import Aliases, find_aliases

Node = Any


class Role(Enum):
    """CONSTANT, ATTRIBUTE, SCALAR and BUILDER nodes are repeated wherever they are needed.

    A SCALAR works out sizes and numbers from the shapes of tensors, which are fixed: in a Neuron
    segment it is a constant. A BUILDER puts values in a list, tuple or dict. A WORK node runs once.
    """

    CONSTANT = auto()
    ATTRIBUTE = auto()
    SCALAR = auto()
    BUILDER = auto()
    WORK = auto()


BUILDERS = {"prim::ListConstruct", "prim::TupleConstruct", "prim::DictConstruct"}
UNPACKERS = {"prim::ListUnpack", "prim::TupleUnpack", "prim::TupleIndex", "aten::__getitem__"}
# What depends on the shape or type of a tensor alone.
_OF_SHAPE = {
    "aten::dim",
    "aten::is_complex",
    "aten::is_floating_point",
    "aten::numel",
    "aten::size",
    "prim::device",
    "prim::dtype",
    "prim::layout",
}
# What makes a tensor of one element out of such, as `torch.jit.trace` writes arithmetic on sizes.
_SCALAR_TENSORS = {
    "aten::abs",
    "aten::add",
    "aten::bitwise_and",
    "aten::ceil",
    "aten::clamp",
    "aten::clone",
    "aten::detach",
    "aten::div",
    "aten::floor",
    "aten::floor_divide",
    "aten::maximum",
    "aten::minimum",
    "aten::mul",
    "aten::neg",
    "aten::pow",
    "aten::remainder",
    "aten::round",
    "aten::rsub",
    "aten::scalar_tensor",
    "aten::sqrt",
    "aten::sub",
    "aten::to",
    "aten::trunc",
    "prim::NumToTensor",
}
_NUMBERS = {
    "BoolType",
    "DeviceObjType",
    "FloatType",
    "IntType",
    "NoneType",
    "NumberType",
    "StringType",
}
# What has results whose shape depends on data.
_SHAPED_BY_DATA = {
    "aten::argwhere",
    "aten::bincount",
    "aten::masked_select",
    "aten::nonzero",
    "aten::nonzero_numpy",
    "aten::unique",
    "aten::unique_consecutive",
    "aten::unique_dim",
    "aten::_unique",
    "aten::_unique2",
    "torchvision::nms",
}
# Looks at memory as it is, whatever the tensor's shape.
LOOKS_AT_MEMORY = {"aten::as_strided", "aten::as_strided_"}


@dataclass(frozen=True, slots=True)
class Roles:
    """The top-level nodes of a graph with their roles; values are named by `unique` number.

    `inputs` are the values each node needs, those used only inside its blocks as well, `made` its
    results. `capable`
    says which WORK nodes can be in a Neuron segment at all. `sites` are the operators.
    """

    nodes: tuple[Node, ...]
    role: tuple[Role, ...]
    inputs: tuple[tuple[int, ...], ...]
    made: tuple[tuple[int, ...], ...]
    producer: dict[int, int]
    capable: tuple[bool, ...]
    aliases: Aliases
    sites: tuple[int, ...]
    returned: tuple[int, ...]

    def is_scalar(self, number: int) -> bool:
        return self.role[number] is Role.SCALAR

    def outputs(self, number: int) -> tuple[int, ...]:
        return self.made[number]


def hoist_attributes(graph: Any) -> None:
    """Move what reads attributes out of the branches and loops of a graph."""
    for node in list(graph.nodes()):
        for inner in list(_inside(node)):
            if inner.kind() == "prim::GetAttr":
                inner.moveBefore(node)


def forward_elements(graph: Any) -> None:
    """Replace what takes elements out of a container that was just built by these elements."""
    nodes = list(graph.nodes())
    written = find_aliases(nodes)
    changing = written.written()
    for node in nodes:
        if node.kind() not in UNPACKERS or node.kind() == "aten::__getitem__":
            continue
        container = next(iter(node.inputs()))
        maker = container.node()
        if maker.kind() not in BUILDERS or written.of(container.unique()) in changing:
            continue
        elements = list(maker.inputs())
        if node.kind() == "prim::TupleIndex":
            place = list(node.inputs())[1].toIValue()
            node.output().replaceAllUsesWith(elements[place])
            continue
        for result, element in zip(node.outputs(), elements, strict=True):
            result.replaceAllUsesWith(element)


def find_roles(graph: Any) -> Roles:
    """The roles of a graph's nodes. Takes time linear in the graph."""
    nodes = tuple(graph.nodes())
    found = _Finder(graph, nodes)
    for number, node in enumerate(nodes):
        found.add(number, node)
    returned = tuple(value.unique() for value in graph.outputs())
    sites = [n for n, node in enumerate(nodes) if _is_site(node, found.role[n])]
    return Roles(
        nodes,
        tuple(found.role),
        tuple(found.inputs),
        tuple(found.made),
        found.producer,
        tuple(found.capable_in_the_end(returned)),
        found.aliases,
        tuple(sites),
        returned,
    )


def _is_site(node: Node, role: Role) -> bool:
    if role not in (Role.WORK, Role.SCALAR) or node.kind() in UNPACKERS:
        return False
    return not node.kind().startswith("prim::") or bool(list(node.blocks()))


def _inside(node: Node) -> Iterator[Node]:
    for block in node.blocks():
        for inner in block.nodes():
            yield from _inside(inner)
            yield inner


def _needed(node: Node) -> tuple[int, ...]:
    """The values from outside that a node and what is nested in it use."""
    if not list(node.blocks()):
        return tuple(value.unique() for value in node.inputs())
    made: set[int] = set()
    used = [value.unique() for value in node.inputs()]
    _uses(node, made, used)
    return tuple(dict.fromkeys(unique for unique in used if unique not in made))


def _uses(node: Node, made: set[int], used: list[int]) -> None:
    for block in node.blocks():
        made.update(value.unique() for value in block.inputs())
        for inner in block.nodes():
            used += [value.unique() for value in inner.inputs()]
            _uses(inner, made, used)
            made.update(value.unique() for value in inner.outputs())
        used += [value.unique() for value in block.outputs()]


class _Finder:
    """Goes through the nodes in their order and finds the role of each."""

    def __init__(self, graph: Any, nodes: Sequence[Node]) -> None:
        self.aliases = find_aliases(nodes)
        self.written = self.aliases.written()
        self.reshaped = self.aliases.reshaped()
        self.role: list[Role] = []
        self.inputs: list[tuple[int, ...]] = []
        self.made: list[tuple[int, ...]] = []
        self.capable: list[bool] = []
        self.producer: dict[int, int] = {}
        self.static: set[int] = set()  # values that are fixed once shapes are
        self.crossing: set[int] = set()  # values that may come from another segment
        self.held: set[int] = set()  # containers made by WORK that may be on Neuron
        self.loose: set[int] = set()  # tensors whose shape depends on data
        self.crossing.update(v.unique() for v in graph.inputs() if _is_tensor(v))

    def add(self, number: int, node: Node) -> None:
        needed = _needed(node)
        role = self._role(node, needed)
        results = list(node.outputs())
        capable = role is Role.WORK and self._capable(node, needed)
        self.role.append(role)
        self.inputs.append(needed)
        self.capable.append(capable)
        self.made.append(tuple(value.unique() for value in results))
        for unique in self.made[-1]:
            self.producer[unique] = number
        self._values(node, role, needed, results, capable)

    def _values(
        self, node: Node, role: Role, needed: Sequence[int], results: Sequence[Any], capable: bool
    ) -> None:
        uniques = [value.unique() for value in results]
        if role in (Role.CONSTANT, Role.SCALAR):
            self.static.update(uniques)
            self.crossing.update(uniques)
        elif role is Role.ATTRIBUTE:
            self.crossing.update(v.unique() for v in results if _is_tensor(v) or _is_number(v))
            self.static.update(v.unique() for v in results if _is_number(v))
        elif role is Role.BUILDER:
            if all(unique in self.static for unique in needed):
                self.static.update(uniques)
            if node.kind() != "prim::DictConstruct" and all(u in self.crossing for u in needed):
                self.crossing.update(uniques)
        else:
            self.crossing.update(v.unique() for v in results if _is_tensor(v))
            if capable:
                self.held.update(v.unique() for v in results if not _is_tensor(v))
        if self._is_loose(node, needed):
            self.loose.update(uniques)

    def _role(self, node: Node, needed: Sequence[int]) -> Role:
        kind = node.kind()
        if kind == "prim::Constant":
            return Role.CONSTANT
        if kind == "prim::GetAttr":
            return Role.ATTRIBUTE
        changing = any(self.aliases.of(v.unique()) in self.written for v in node.outputs())
        if kind in BUILDERS and not changing:
            return Role.BUILDER
        return Role.SCALAR if not changing and self._is_scalar(node, kind, needed) else Role.WORK

    def _is_scalar(self, node: Node, kind: str, needed: Sequence[int]) -> bool:
        results = list(node.outputs())
        if not results or list(node.blocks()) or node.isNondeterministic():
            return False
        if kind in _OF_SHAPE:
            looked_at, *rest = needed
            fixed = looked_at not in self.loose
            fixed &= self.aliases.of(looked_at) not in self.reshaped
            return fixed and looked_at in self.crossing and all(r in self.static for r in rest)
        if not all(unique in self.static for unique in needed):
            return False
        if kind in _SCALAR_TENSORS and all(map(_is_tensor, results)):
            return all(_is_one_number(value) for value in node.inputs())
        return all(map(_is_fixed, results))

    def _capable(self, node: Node, needed: Sequence[int]) -> bool:
        kind = node.kind()
        if list(node.blocks()) or (kind.startswith("prim::") and kind not in UNPACKERS):
            return False
        if kind not in UNPACKERS and node.schema() == "(no schema)":
            return False
        results = list(node.outputs())
        if not results or self._is_loose(node, needed):
            return False
        if kind in UNPACKERS and needed[0] not in self.held:
            return False
        reachable = all(u in self.crossing or u in self.held for u in needed)
        return reachable and all(_is_tensor(v) or _is_tensor_list(v) for v in results)

    def capable_in_the_end(self, returned: Sequence[int]) -> list[bool]:
        """Without what writes to the caller's tensors, weights or constants, or makes views of
        them, and without containers that the caller gets."""
        outside = {self.aliases.of(u) for u in self.aliases.parent if self._is_outside(u)}
        outside &= self.written
        capable = list(self.capable)
        for number in range(len(capable)):
            changed = self.aliases.writes(number) | self.aliases.views(number)
            capable[number] &= not changed & outside
        for unique in self.held.intersection(returned):
            capable[self.producer[unique]] = False
        return capable

    def _is_outside(self, unique: int) -> bool:
        number = self.producer.get(unique)
        return number is None or self.role[number] in (Role.ATTRIBUTE, Role.CONSTANT)

    def _is_loose(self, node: Node, needed: Iterable[int]) -> bool:
        kind = node.kind()
        if kind in _SHAPED_BY_DATA or any(unique in self.loose for unique in needed):
            return True
        if kind in ("aten::index", "aten::repeat_interleave", "aten::where"):
            return _picks_by_data(node)
        return False


def _picks_by_data(node: Node) -> bool:
    """Whether an operator picks elements by a mask, counts repeats, or lists places."""
    inputs = list(node.inputs())
    if node.kind() == "aten::where":
        return len(inputs) == 1
    if node.kind() == "aten::repeat_interleave":
        return _is_tensor(inputs[-1]) or (len(inputs) > 1 and _is_tensor(inputs[1]))
    chosen = list(inputs[1].node().inputs()) if inputs[1].node().kind() in BUILDERS else []
    return not chosen or any(_element_kind(v) in ("torch.bool", "torch.uint8") for v in chosen)


def _element_kind(value: Any) -> str:
    if not _is_tensor(value):  # None: a dimension that is left whole
        return ""
    dtype = value.type().dtype()
    return "torch.bool" if dtype is None else str(dtype)  # not known: it may be a mask


def _is_tensor(value: Any) -> bool:
    return value.type().kind() == "TensorType"


def _is_number(value: Any) -> bool:
    return value.type().kind() in _NUMBERS


def _is_tensor_list(value: Any) -> bool:
    kind = value.type()
    return kind.kind() == "ListType" and kind.getElementType().kind() == "TensorType"


def _is_fixed(value: Any) -> bool:
    """Whether a value is a number, or a list of numbers."""
    kind = value.type()
    if kind.kind() == "ListType":
        kind = kind.getElementType()
    return kind.kind() in _NUMBERS


def _is_one_number(value: Any) -> bool:
    """Whether a value is a number or a tensor without dimensions."""
    if not _is_tensor(value):
        return True
    if value.node().kind() == "prim::Constant":
        return getattr(value.toIValue(), "ndim", 0) == 0  # it may be a number
    return True  # made by a scalar, as all of its inputs are
