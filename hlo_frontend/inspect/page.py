"""The graph as one self-contained page for a browser: no network, no other file."""

from __future__ import annotations

import html
import json
from importlib import resources
from pathlib import Path
from typing import Any

from hlo_frontend.inspect.document import graph_document
from hlo_frontend.inspect.graph import Graph
from hlo_frontend.inspect.stats import totals

SCRIPTS = ("tree.js", "layout.js", "view.js", "panel.js", "main.js")  # one scope, in this order
# What could end the script element, or a line in it, inside a JSON string.
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def page(graph: Graph) -> str:
    """The page's HTML."""
    parts = {
        "TITLE": html.escape(graph.name),
        "STYLE": _asset("graph.css"),
        "SCRIPT": '"use strict";\n' + "\n".join(map(_asset, SCRIPTS)),
        "DATA": _script_json(_data(graph)),
    }
    text = _asset("graph.html")
    before, *rest = text.split("@@")  # @@NAME@@ marks a place
    for name, after in zip(rest[::2], rest[1::2], strict=True):
        before += parts[name] + after
    return before


def write_page(path: Path, graph: Graph) -> None:
    path.write_text(page(graph), encoding="utf-8")


def _asset(name: str) -> str:
    return resources.files("hlo_frontend.inspect").joinpath("assets", name).read_text("utf-8")


def _data(graph: Graph) -> dict[str, Any]:
    """The document that `show --json` prints, and the totals the page opens with."""
    count = totals(graph)
    return {
        **graph_document(graph),
        "summary": {
            "instructions": count.instructions,
            "flops": count.cost.flops,
            "parameters": count.parameters,
            "parameter_bytes": count.parameter_bytes,
        },
    }


def _script_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "".join(_ESCAPES.get(c, c) for c in text)
