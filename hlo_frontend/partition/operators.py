"""What the nodes of a TorchScript graph compute, as functions of Python values."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

Node = Any  # torch._C.Node, which has no complete type of its own

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


def _raise(node: Node, arguments: list[Any]) -> list[Any]:
    raise RuntimeError(f"the program raises {arguments[0]}")


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


def results_of(node: Node, result: Any) -> list[Any]:
    """What an operator returned, as the values of its node's outputs."""
    return [result] if node.outputsSize() == 1 else list(result or ())
