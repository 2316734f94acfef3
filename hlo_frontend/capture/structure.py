"""How flat tensors nest in tuples, lists and dicts, as `torch.jit.trace` keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Leaf:
    """The tensor at a place of the flat list."""

    index: int


@dataclass(frozen=True, slots=True)
class Items:
    """A `tuple` or a `list`, as `kind` says."""

    kind: str
    items: tuple[Structure, ...]


@dataclass(frozen=True, slots=True)
class Dict:
    """A dict; a `transformers` ModelOutput is one too."""

    keys: tuple[str | int, ...]
    items: tuple[Structure, ...]


Structure = Leaf | Items | Dict


def flatten(value: object, name: str) -> tuple[Structure, list[torch.Tensor]]:
    """The structure of a nested value and its tensors, depth first.

    Named tuples become tuples and subclasses of dict become dicts, as in `torch.jit.trace`.
    Raises TypeError that names the first element which is neither (`example_inputs[1]`).
    """
    tensors: list[torch.Tensor] = []
    return _flatten(value, name, tensors), tensors


def _flatten(value: object, name: str, tensors: list[torch.Tensor]) -> Structure:
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return Leaf(len(tensors) - 1)
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        items = (_flatten(v, f"{name}[{i}]", tensors) for i, v in enumerate(value))
        return Items(kind, tuple(items))
    if isinstance(value, dict):
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(
                    f"{name}: keys of a dict must be str or int, got {type(key).__name__}"
                )
        items = (_flatten(v, f"{name}[{k!r}]", tensors) for k, v in value.items())
        return Dict(tuple(value), tuple(items))
    raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")


def unflatten(structure: Structure, flat: Sequence[Any]) -> Any:
    """The nested value whose leaves are the elements of `flat`."""
    if isinstance(structure, Leaf):
        return flat[structure.index]
    items = [unflatten(item, flat) for item in structure.items]
    if isinstance(structure, Dict):
        return dict(zip(structure.keys, items, strict=True))
    return tuple(items) if structure.kind == "tuple" else items


def leaf_names(structure: Structure, name: str) -> list[str]:
    """A dotted name for every leaf, in flat order (`cache.0.key`)."""
    if isinstance(structure, Leaf):
        return [name]
    keys = structure.keys if isinstance(structure, Dict) else range(len(structure.items))
    return [
        leaf
        for key, item in zip(keys, structure.items, strict=True)
        for leaf in leaf_names(item, f"{name}.{key}" if name else str(key))
    ]


def require_scriptable(structure: Structure, name: str, *, output: bool) -> str:
    """The TorchScript type of a structure.

    Raises TypeError where `torch.jit.trace` knows no type: an empty list or dict, one that mixes
    types, and, in an output, a list of anything but tensors or a dict of lists or dicts.
    """
    if isinstance(structure, Leaf):
        return "Tensor"
    types = [
        require_scriptable(item, f"{name}[{key!r}]", output=output)
        for key, item in _children(structure)
    ]
    if isinstance(structure, Items) and structure.kind == "tuple":
        return f"Tuple[{', '.join(types)}]"
    kind = "dict" if isinstance(structure, Dict) else "list"
    if len(set(types)) != 1:
        got = " and ".join(sorted(set(types))) or "no elements"
        raise TypeError(
            f"{name}: elements of a {kind} must be of one type (as in torch.jit.trace), got {got}"
        )
    if output and not _may_be_in_output(kind, types[0]):
        raise TypeError(
            f"{name}: a {kind} in an output must hold tensors (as in torch.jit.trace), "
            f"got {types[0]}"
        )
    if isinstance(structure, Dict):
        return f"Dict[{_key_type(structure, name, output)}, {types[0]}]"
    return f"List[{types[0]}]"


def _children(structure: Items | Dict) -> list[tuple[str | int, Structure]]:
    keys: Sequence[str | int] = (
        structure.keys if isinstance(structure, Dict) else range(len(structure.items))
    )
    return list(zip(keys, structure.items, strict=True))


def _may_be_in_output(kind: str, element: str) -> bool:
    flat_tuple = element.startswith("Tuple[Tensor") and element.count("[") == 1
    return element == "Tensor" or (kind == "dict" and flat_tuple)


def _key_type(structure: Dict, name: str, output: bool) -> str:
    types = sorted({type(key).__name__ for key in structure.keys})
    if len(types) != 1 or (output and types != ["str"]):
        want = "str" if output else "of one type"
        raise TypeError(
            f"{name}: keys of a dict must be {want} (as in torch.jit.trace), "
            f"got {' and '.join(types)}"
        )
    return types[0]
