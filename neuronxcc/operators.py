"""What `neuronx-cc list-operators` prints."""

from __future__ import annotations

from neff.support.listed import OPERATORS


def list_operators() -> str:
    """One operator a line, by its documented name."""
    return "".join(f"{name}\n" for name in OPERATORS)
