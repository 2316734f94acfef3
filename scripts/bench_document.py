"""Figures in a document: what stands between two marks is replaced."""

from __future__ import annotations

from pathlib import Path

Rows = list[tuple[str, str, str]]  # what, figure, goal
END = "<!-- end -->"


def replaced(text: str, begin: str, made: str, document: Path) -> str:
    """A text with `made` after `begin`. Raises ValueError where it has no place for it."""
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"bench: {document.name} must hold {begin!r} and {END!r} after it")
    return f"{before}{begin}\n{made}{END}{after}"
