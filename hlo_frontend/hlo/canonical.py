"""One spelling for attributes that mean the same, so that equal instructions compare equal."""

from __future__ import annotations

from typing import Any

from hlo_frontend.hlo.module import Attributes
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.types import AnyShape, Shape
from hlo_frontend.hlo.vocabulary import ATTRIBUTES, COMPARISON_TYPES


def default_comparison_type(operand: AnyShape | None) -> str | None:
    """What `compare` means for an operand when it states no type; None for what is no array."""
    return COMPARISON_TYPES[operand.element.kind][0] if isinstance(operand, Shape) else None


def canonical_attributes(
    opcode: str, attrs: dict[str, Any], first_operand: AnyShape | None
) -> Attributes:
    """Attributes sorted by name, without those that only repeat what their absence says."""
    return tuple(
        (name, value)
        for name, value in sorted(attrs.items())
        if not _is_redundant(opcode, name, value, first_operand)
    )


def _is_redundant(opcode: str, name: str, value: Any, first_operand: AnyShape | None) -> bool:
    if OPS[opcode].attrs.get(name, True):
        return False
    if name == "type":
        return bool(value == default_comparison_type(first_operand))
    if name == "operand_precision":
        return all(p == "default" for p in value)
    return bool(value == ATTRIBUTES[name].default)
