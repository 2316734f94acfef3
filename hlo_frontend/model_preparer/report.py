"""What preparing a model changed, as a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """A call of the model: what it was, and the module that it is now.

    `node` is torch.fx's name for the call in the original graph, `old` what was called there,
    `new` the path and the class of the module. Where the call stayed as it was, `new` says why.
    """

    node: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Report:
    """The changes in the order of the graph, then the modules that were exchanged for others."""

    changes: tuple[Change, ...]
    kept: tuple[Change, ...]  # functions of the table that stayed functions

    def table(self) -> str:
        """The changes, a line each, under the columns node, old and new module."""
        rows = [("node", "old", "new module")]
        rows += [(c.node, c.old, c.new) for c in (*self.changes, *self.kept)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return self.table()
